"""BPF instructions as Python statements on local variables: one statement or two for each.

A register is a local variable, ``r0`` to ``r10``. What it may hold is known as a range, and that
saves most of the masks that keep numbers below 2**64: a variable may hold any number that equals
the register modulo 2**64, and is brought into ``0 <= x < 2**64`` where it is compared, shifted to
the right, divided, handed on, or where the block ends.

An access to memory is one look into a dictionary of regions and one access to bytes, which check
both (see :class:`~pylibbpf.engine.emulator.vm.memory.Memory`). Where one of the two refuses, the
rest of the function is interpreted: that knows what is right, or what to say. So no statement may
change a register before its access has succeeded.

Nothing of a program gets into the text but numbers.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.flow import is_tail_call
from pylibbpf.engine.emulator.vm.memory import ADDRESSES
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from pylibbpf.isa.insn import Insn

    Range = tuple[int, int]

__all__ = ["FULL", "Known", "Statements"]

U64 = alu.U64
U32 = alu.U32
_TOP = 1 << 63
FULL = (0, U64)
_HALF = (0, U32)
_BIT = (0, 1)
# Numbers get no longer than this without being masked: arithmetic would get slow.
_LONGEST = 1 << 120
# A pointer into the stack that is moved no further does not leave 0 <= x < 2**64.
_NO_WRAP = 1 << 40
# What an access through a register says of it.
_NEAR = (0, ADDRESSES + (1 << 16))

_UNSIGNED = {1: (0, 0xFF), 2: (0, 0xFFFF), 4: _HALF, 8: FULL}
_SIGNED = {1: (-0x80, 0x7F), 2: (-0x8000, 0x7FFF), 4: (-0x80000000, 0x7FFFFFFF)}


class Known:
    """What is known at a place: of each register its range, and what it points to.

    ``frame``: offset from r10, for pointers into the stack. ``root``: registers with the same root
    differ by what their roots say. ``found``: regions that were looked up, by root and
    whether for writing: names of the bytes and of the offset, and what the root then said.
    ``held``: registers that are no less than the start of a region that a loop looked up before it
    began, by the number of that.
    """

    __slots__ = ("found", "frame", "held", "ranges", "root")

    def __init__(self) -> None:
        self.ranges: list[Range] = [FULL] * isa.REGISTERS
        self.frame: dict[int, int] = {isa.R10: 0}
        self.root: dict[int, tuple[int, int]] = {}
        self.found: dict[tuple[int, bool], tuple[str, str, int]] = {}
        self.held: dict[int, int] = {}

    def copy(self) -> Known:
        new = Known.__new__(Known)
        new.ranges = self.ranges.copy()
        new.frame = self.frame.copy()
        new.root = self.root.copy()
        new.found = self.found.copy()
        new.held = self.held.copy()
        return new

    def called(self) -> None:
        """Regions may be gone now."""
        self.found.clear()
        self.held.clear()

    def join(self, other: Known) -> None:
        """Know only what both do."""
        mine, its = self.ranges, other.ranges
        if mine != its:
            self.ranges = [
                a if a == b else (min(a[0], b[0]), max(a[1], b[1]))
                for a, b in zip(mine, its, strict=True)
            ]
        if self.frame != other.frame:
            self.frame = {r: off for r, off in self.frame.items() if other.frame.get(r) == off}
        self.root.clear()
        self.found.clear()
        if self.held != other.held:
            self.held = {r: held for r, held in self.held.items() if other.held.get(r) == held}


def _bits(low: int, high: int) -> int:
    return max(low.bit_length(), high.bit_length())


class Statements:
    """Writes the statements of a function, line by line.

    ``lines`` is the text, ``places`` the instruction of each line. ``frame``: the function has a
    stack frame that others may see (``r10`` is its end); else its bytes are ``k`` alone.
    """

    def __init__(
        self,
        insns: tuple[Insn, ...],
        *,
        slow: frozenset[int],
        probes: frozenset[int],
        fatal: Container[int],
    ) -> None:
        self.insns = insns
        self.slow = slow
        self.probes = probes
        self.fatal = fatal
        self.lines: list[str] = []
        self.places: list[int] = []
        self.indent = ""
        self.at = self.end = 0
        self.fused = -1
        self.known = Known()
        self.roots = 0
        self.held: dict[tuple[int, bool], int] = {}
        """The least offset for what was looked up before a loop; by that, and if it is to write."""
        self.names: set[str] = set()
        """Global names that the text uses, beyond the ones that all have."""
        self.stack = False
        """Whether the bytes of the stack frame are used."""

    # ---------------------------------------------------------------------------- output

    def put(self, text: str) -> None:
        self.lines.append(self.indent + text if text else "")
        self.places.append(self.at)

    def set(self, r: int, range_: Range) -> None:
        known = self.known
        known.ranges[r] = range_
        if r in known.frame:
            del known.frame[r]
        if r in known.root:
            del known.root[r]
        if r in known.held:
            del known.held[r]

    def whole(self, r: int) -> str:
        """Make a register hold its number itself, and give its name."""
        low, high = self.known.ranges[r]
        if low < 0 or high > U64:
            self.put(f"r{r}&=M")
            self.known.ranges[r] = FULL
        return f"r{r}"

    def settle(self, live: int) -> None:
        """At the end of a block: what is read later holds its number itself."""
        ranges = self.known.ranges
        for r in range(isa.R10):
            low, high = ranges[r]
            if low < 0 or high > U64:
                if live >> r & 1:
                    self.put(f"r{r}&=M")
                ranges[r] = FULL

    def block(self, start: int, end: int) -> None:
        """Write the instructions of a block, but for a jump at its end."""
        insns = self.insns
        at = start
        self.end = end
        while at < end:
            insn = insns[at]
            self.at = at
            if at in self.fatal:
                self.put(f"fatal(PR,{at})")
            else:
                _WRITERS[insn.code & isa.CLASS_MASK](self, insn)
            at += 2 if insn.code == isa.LD_IMM64 else 1

    # ------------------------------------------------------------------------ arithmetic

    def alu64(self, insn: Insn) -> None:
        op = insn.code & isa.OP_MASK
        dst = insn.dst
        if op == isa.END:
            self._swap(insn, 64)
        elif op == isa.MOV:
            self._mov64(insn)
        elif op == isa.NEG:
            low, high = self.known.ranges[dst]
            self.put(f"r{dst}=-r{dst}")
            self.set(dst, (-high, -low))
            self._shorten(dst)
        elif insn.code & isa.X:
            src = insn.src
            _ALU64[op](self, dst, f"r{src}", self.known.ranges[src], src, insn.off)
        else:
            imm = insn.imm
            _ALU64[op](self, dst, str(imm), (imm, imm), None, insn.off)

    def _mov64(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        known = self.known
        if not insn.code & isa.X:
            value = insn.imm & U64
            self.put(f"r{dst}={value}")
            self.set(dst, (value, value))
            return
        if insn.off == isa.ADDR_SPACE_CAST:
            self.put(f"r{dst}=cast(PR,{self.whole(src)},{insn.imm})")
            self.names |= {"cast", "PR"}
            self.set(dst, FULL)
            return
        if insn.off:
            self._extend(dst, src, insn.off, "")
            return
        if dst == src:
            return
        after = self.insns[self.at + 1] if self.at + 1 < self.end else None
        if after is not None and after.code == isa.ALU64 | isa.ADD | isa.K and after.dst == dst:
            self.fused = src  # the addition does both
        frame, root, held = known.frame.get(src), self._root(src), known.held.get(src)
        if self.fused < 0:
            self.put(f"r{dst}=r{src}")
        self.set(dst, known.ranges[src])
        if frame is not None:
            known.frame[dst] = frame
        else:
            known.root[dst] = root
        if held is not None:
            known.held[dst] = held

    def _extend(self, dst: int, src: int, width: int, mask: str) -> None:
        """A sign-extending move of the low ``width`` bits."""
        low, high = self.known.ranges[src]
        top = 1 << (width - 1)
        if low >= 0 and high < top:
            if dst != src:
                self.put(f"r{dst}=r{src}")
            self.set(dst, (low, high))
            return
        self.put(f"r{dst}=(r{src}&{2 * top - 1}^{top})-{top}{mask}")
        self.set(dst, _HALF if mask else (-top, top - 1))

    def _shorten(self, r: int) -> None:
        """Mask a register whose number got long."""
        low, high = self.known.ranges[r]
        if low < -_LONGEST or high > _LONGEST:
            self.put(f"r{r}&=M")
            self.known.ranges[r] = FULL

    def _root(self, r: int) -> tuple[int, int]:
        root = self.known.root.get(r)
        if root is None:
            self.roots += 1
            root = self.known.root[r] = (self.roots, 0)
        return root

    def _add(self, dst: int, text: str, by: Range, src: int | None, sign: int) -> None:
        known = self.known
        low, high = known.ranges[dst]
        frame = root = None
        held = known.held.get(dst)
        if sign < 0 or by[0] < 0:
            held = None
        elif held is None and src is not None and low >= 0:
            held = known.held.get(src)
        if src is None:
            moved = sign * by[0]
            if sign < 0 and moved >= 0:
                held = known.held.get(dst)
            if dst in known.frame:
                frame = known.frame[dst] + moved
            elif moved >= 0:
                name, delta = self._root(dst)
                root = (name, delta + moved)
            if self.fused >= 0:
                self.put(f"r{dst}=r{self.fused}{moved:+}")
                self.fused = -1
            else:
                self.put(f"r{dst}{'+' if moved >= 0 else '-'}={abs(moved)}")
            low, high = low + moved, high + moved
        elif sign > 0:
            self.put(f"r{dst}+={text}")
            low, high = low + by[0], high + by[1]
        else:
            self.put(f"r{dst}-={text}")
            low, high = (0, 0) if src == dst else (low - by[1], high - by[0])
        self.set(dst, (low, high))
        if frame is not None and abs(frame) < _NO_WRAP:
            known.frame[dst] = frame
            known.ranges[dst] = FULL
        elif root is not None:
            known.root[dst] = root
        if held is not None:
            known.held[dst] = held
        self._shorten(dst)

    def add64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        self._add(dst, text, by, src, 1)

    def sub64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        self._add(dst, text, by, src, -1)

    def mul64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        low, high = self.known.ranges[dst]
        corners = (low * by[0], low * by[1], high * by[0], high * by[1])
        self.put(f"r{dst}*={text}")
        self.set(dst, (min(corners), max(corners)))
        self._shorten(dst)

    def _bitwise(self, sign: str, dst: int, text: str, by: Range) -> None:
        low, high = self.known.ranges[dst]
        if by[0] == by[1] and by[0] < 0 and low >= 0:
            by = (by[0] & U64, by[0] & U64)  # then the result needs no mask
            text = str(by[0])
        self.put(f"r{dst}{sign}={text}")
        if low >= 0 and by[0] >= 0:
            self.set(dst, (0, (1 << max(high.bit_length(), by[1].bit_length())) - 1))
        else:
            size = 1 << max(_bits(low, high), _bits(*by))
            self.set(dst, (-size, size - 1))

    def or64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        self._bitwise("|", dst, text, by)

    def xor64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        if src == dst:
            self.put(f"r{dst}=0")
            self.set(dst, (0, 0))
        else:
            self._bitwise("^", dst, text, by)

    def and64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        low, high = self.known.ranges[dst]
        self.put(f"r{dst}&={text}")
        highs = [range_[1] for range_ in ((low, high), by) if range_[0] >= 0]
        if highs:
            self.set(dst, (0, min(highs)))
        else:
            size = 1 << max(_bits(low, high), _bits(*by))
            self.set(dst, (-size, size - 1))

    def lsh64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        low, high = self.known.ranges[dst]
        if src is None:
            count = by[0] & 63
            by = (count, count)
            text = str(count)
        else:
            text, by = self._count(src, 63)
        if max(-low, high) << by[1] > _LONGEST:
            self.whole(dst)
            low, high = self.known.ranges[dst]
            if src == dst:
                by = (0, 63)
        self.put(f"r{dst}<<={text}")
        self.set(dst, (min(low << by[1], low << by[0]), max(high << by[1], high << by[0])))
        self._shorten(dst)

    def _count(self, src: int, most: int) -> tuple[str, Range]:
        low, high = self.known.ranges[src]
        if low >= 0 and high <= most:
            return f"r{src}", (low, high)
        return f"(r{src}&{most})", (0, most)

    def rsh64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        self.whole(dst)
        low, high = self.known.ranges[dst]
        if src is None:
            count = by[0] & 63
            self.put(f"r{dst}>>={count}")
            self.set(dst, (low >> count, high >> count))
            return
        text, by = self._count(src, 63)
        self.put(f"r{dst}>>={text}")
        self.set(dst, (low >> by[1], high >> by[0]))

    def arsh64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        count = str(by[0] & 63) if src is None else self._count(src, 63)[0]
        value, low, high = self._signed(dst, 64)
        self.put(f"r{dst}={value}>>{count}")
        if src is None:
            self.set(dst, (low >> (by[0] & 63), high >> (by[0] & 63)))
        else:
            self.set(dst, (min(low, 0), max(high, 0)))

    def _signed(self, r: int, bits: int) -> tuple[str, int, int]:
        """An expression for a register as a signed number, and its range."""
        low, high = self.known.ranges[r]
        top = 1 << (bits - 1)
        if -top <= low and high < top:
            return f"r{r}", low, high
        if bits == 64:
            self.whole(r)
            return f"((r{r}^{top})-{top})", -top, top - 1
        return f"((r{r}&{U32}^{top})-{top})", -top, top - 1

    def div64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        self._divide("//", isa.DIV, 64, dst, by, src, off)

    def mod64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        self._divide("%", isa.MOD, 64, dst, by, src, off)

    def _divide(
        self, sign: str, op: int, bits: int, dst: int, by: Range, src: int | None, off: int
    ) -> None:
        mask = U64 if bits == 64 else U32
        full = (0, mask)
        if src is None:
            value = by[0] & mask
            other = str(value)
        else:
            value = None
            other = self._whole_bits(src, bits)
        mine = self._whole_bits(dst, bits)
        if off:  # signed
            name = f"{'sdiv' if op == isa.DIV else 'smod'}"
            self.names.add(name)
            self.put(f"r{dst}={name}({mine},{other},{bits})")
            self.set(dst, full)
            return
        high = min(self.known.ranges[dst][1], mask)
        if value is not None:
            if value:
                self.put(f"r{dst}={mine}{sign}{other}")
                self.set(dst, (0, high // value if op == isa.DIV else min(high, value - 1)))
            elif op == isa.DIV:
                self.put(f"r{dst}=0")
                self.set(dst, (0, 0))
            else:
                self._keep(dst, mine, bits)
            return
        rest = "0" if op == isa.DIV else mine
        self.put(f"r{dst}={mine}{sign}{other} if {other} else {rest}")
        self.set(dst, (0, high))

    def _whole_bits(self, r: int, bits: int) -> str:
        """An expression for the low bits of a register as an unsigned number."""
        if bits == 64:
            return self.whole(r)
        low, high = self.known.ranges[r]
        return f"r{r}" if low >= 0 and high <= U32 else f"(r{r}&{U32})"

    def _keep(self, dst: int, text: str, bits: int) -> None:
        """Keep the low bits of a register that ``text`` has."""
        if text != f"r{dst}":
            self.put(f"r{dst}={text}")
            self.set(dst, _HALF)

    # ------------------------------------------------------------------------ 32 bits

    def alu32(self, insn: Insn) -> None:
        op = insn.code & isa.OP_MASK
        dst, src, imm = insn.dst, insn.src, insn.imm & U32
        ranges = self.known.ranges
        low, high = ranges[dst]
        if op == isa.END:
            if insn.code & isa.X:
                self._swap(insn, 64)
            elif insn.imm < 64:
                self._low(dst, insn.imm)
            return
        if op == isa.MOV:
            if not insn.code & isa.X:
                self.put(f"r{dst}={imm}")
                self.set(dst, (imm, imm))
            elif insn.off:
                self._extend(dst, src, insn.off, f"&{U32}")
            else:
                range_ = ranges[src]
                if range_[0] >= 0 and range_[1] <= U32:
                    if dst != src:
                        self.put(f"r{dst}=r{src}")
                    self.set(dst, range_)
                else:
                    self.put(f"r{dst}=r{src}&{U32}")
                    self.set(dst, _HALF)
            return
        if op == isa.NEG:
            self.put(f"r{dst}=-r{dst}&{U32}")
            self.set(dst, _HALF)
            return
        register = src if insn.code & isa.X else None
        by = ranges[src] if insn.code & isa.X else (insn.imm, insn.imm)
        if op in (isa.DIV, isa.MOD):
            sign = "//" if op == isa.DIV else "%"
            self._divide(sign, op, 32, dst, by, register, insn.off)
        elif op in _RIGHT:
            self._right32(op, dst, by, register)
        elif op == isa.LSH:
            text, by = (
                (str(imm & 31), (imm & 31, imm & 31)) if register is None else self._count(src, 31)
            )
            if low >= 0 and high << by[1] <= U32:
                self.put(f"r{dst}<<={text}")
                self.set(dst, (low << by[0], high << by[1]))
            else:
                if max(-low, high) > U64:
                    self.whole(dst)
                self.put(f"r{dst}=r{dst}<<{text}&{U32}")
                self.set(dst, _HALF)
        else:
            self._simple32(op, dst, register, by, imm)

    def _simple32(self, op: int, dst: int, src: int | None, by: Range, imm: int) -> None:
        """Operations whose low bits depend on nothing but low bits."""
        low, high = self.known.ranges[dst]
        if op == isa.XOR and src == dst:
            self.put(f"r{dst}=0")
            self.set(dst, (0, 0))
            return
        sign = _SIGNS32[op]
        if src is None:
            if op in (isa.ADD, isa.SUB):
                imm = by[0]
            text, by = str(imm), (imm, imm)
            if imm < 0:  # only of + and -
                sign = "-" if sign == "+" else "+"
                text = str(-imm)
        else:
            text = f"r{src}"
        if op in (isa.ADD, isa.SUB):
            other = by if op == isa.ADD else (-by[1], -by[0])
            range_ = (low + other[0], high + other[1])
        elif op == isa.MUL:
            corners = (low * by[0], low * by[1], high * by[0], high * by[1])
            range_ = (min(corners), max(corners))
        elif op == isa.AND:
            highs = [r[1] for r in ((low, high), by) if r[0] >= 0]
            range_ = (0, min(highs)) if highs else (-1, -1)
        elif low >= 0 and by[0] >= 0:
            range_ = (0, (1 << max(high.bit_length(), by[1].bit_length())) - 1)
        else:
            range_ = (-1, -1)
        if range_[0] >= 0 and range_[1] <= U32:
            self.put(f"r{dst}{sign}={text}")
            self.set(dst, range_)
        else:
            self.put(f"r{dst}=(r{dst}{sign}{text})&{U32}")
            self.set(dst, _HALF)

    def _right32(self, op: int, dst: int, by: Range, src: int | None) -> None:
        if src is None:
            by = (by[0] & 31, by[0] & 31)
            count = str(by[0])
        else:
            count, by = self._count(src, 31)
        if op == isa.RSH:
            low, high = self.known.ranges[dst]
            mine = self._whole_bits(dst, 32)
            low, high = (low, high) if mine == f"r{dst}" else _HALF
            self.put(f"r{dst}={mine}>>{count}")
            self.set(dst, (low >> by[1], high >> by[0]))
            return
        value, low, high = self._signed(dst, 32)
        if low >= 0:
            self.put(f"r{dst}={value}>>{count}")
            self.set(dst, (low >> by[1], high >> by[0]))
        else:
            self.put(f"r{dst}={value}>>{count}&{U32}")
            self.set(dst, _HALF)

    def _low(self, dst: int, bits: int) -> None:
        low, high = self.known.ranges[dst]
        mask = (1 << bits) - 1
        if low < 0 or high > mask:
            self.put(f"r{dst}&={mask}")
            self.set(dst, (0, min(mask, high) if low >= 0 else mask))

    def _swap(self, insn: Insn, bits: int) -> None:
        """Turn bytes around."""
        dst, size = insn.dst, insn.imm
        if size == 16:
            self.put(f"r{dst}=(r{dst}&255)<<8|r{dst}>>8&255")
            self.set(dst, (0, 0xFFFF))
            return
        low, high = self.known.ranges[dst]
        mask = (1 << size) - 1
        mine = f"r{dst}" if low >= 0 and high <= mask else f"r{dst}&{mask}"
        self.names |= {f"swap{size}", f"pack{size}"}
        self.put(f"r{dst},=swap{size}(pack{size}({mine}))")
        self.set(dst, (0, mask))

    # ---------------------------------------------------------------------------- memory

    def ldx(self, insn: Insn) -> None:
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        signed = insn.code & isa.MODE_MASK == isa.MEMSX
        dst = insn.dst
        offset = self._in_frame(insn.src, insn.off, size)
        if offset is not None:
            self._load(dst, "k", str(offset), size, signed)
        elif self._is_slow(insn.src):
            self._load_slowly(insn, size, signed)
        else:
            where = self._find(insn.src, insn.off, size, False)
            self._load(dst, *where, size, signed)
            return
        self.set(dst, _SIGNED[size] if signed else _UNSIGNED[size])

    def _load(self, dst: int, data: str, offset: str, size: int, signed: bool) -> None:
        if size == 1 and not signed:
            self.put(f"r{dst}={data}[{offset}]")
        else:
            self.put(f"r{dst},={'i' if signed else 'u'}{size}({data},{offset})")
        self.set(dst, _SIGNED[size] if signed else _UNSIGNED[size])

    def _load_slowly(self, insn: Insn, size: int, signed: bool) -> None:
        name = "probe" if self.at in self.probes else "load"
        self.names.add(name)
        text = f"{name}({self._address(insn.src, insn.off)},{size})"
        if signed:
            top = 1 << (8 * size - 1)
            text = f"({text}^{top})-{top}"
        self.put(f"r{insn.dst}={text}")

    def _address(self, base: int, off: int) -> str:
        low, high = self.known.ranges[base]
        name = f"r{base}{off:+}" if off else f"r{base}"
        return name if low + off >= 0 and high + off <= U64 else f"{name}&M"

    def _is_slow(self, base: int) -> bool:
        return self.at in self.slow or self.at in self.probes or base in self.known.frame

    def _in_frame(self, base: int, off: int, size: int) -> int | None:
        """The offset in the bytes of the stack frame, where that is known and allowed."""
        moved = self.known.frame.get(base)
        if moved is None or self.at in self.probes:
            return None
        offset = isa.STACK_SIZE + moved + off
        if offset < 0 or offset + size > isa.STACK_SIZE or offset & (size - 1):
            return None
        self.stack = True
        return offset

    def _find(self, base: int, off: int, size: int, write: bool) -> tuple[str, str]:
        """Look a region up, unless that was done; give names of its bytes and the offset."""
        known = self.known
        root, delta = self._root(base)
        found = known.found.get((root, write))
        if found is not None:
            data, start, then = found
            moved = delta + off - then
            if moved >= 0:
                low, high = known.ranges[base]
                if low >= 0 and high <= U64:
                    self._near(base)
                return data, f"{start}+{moved}" if moved else start
        held = known.held.get(base)
        if held is not None and off >= self.held.get((held, write), 1 << 16):
            self._near(base)
            where = f"r{base}-B{held}{off:+}" if off else f"r{base}-B{held}"
            return f"D{held}{'w' if write else ''}", where
        name = self.whole(base)
        # What can be written can be read: where both will be done, one look does.
        both = not write and self._written(base)
        regions = "W" if write or both else "P"
        if off < 0:
            self.put(f"a={name}{off}")
            self.put(f"d={regions}[a>>32]")
            self._near(base)
            return "d", "a&L"
        data, start = f"d{root}{'w' if write else ''}", f"o{root}{'w' if write else ''}"
        self.put(f"{data}={regions}[{name}>>32];{start}={name}&L")
        self._near(base)
        known.found[root, write] = (data, start, delta)
        if both:
            known.found[root, True] = (data, start, delta)
        return data, f"{start}+{off}" if off else start

    def hold(self, known: Known, r: int, least: int, read: bool, write: bool) -> None:
        """Before a loop: look the region of a register up, for accesses from an offset on."""
        self.roots += 1
        held = known.held[r] = self.roots
        name = f"(r{r}{least})" if least else f"r{r}"
        self.put(f"B{held}={name}&H")
        if read:
            self.held[held, False] = least
            self.put(f"D{held}=Pget({name}>>32,Z)")
        if write:
            self.held[held, True] = least
            self.put(f"D{held}w=Wget({name}>>32,Z)")

    def _written(self, base: int) -> bool:
        """Whether the block goes on to write through a register, before anything else happens."""
        insns = self.insns
        for at in range(self.at + 1, self.end):
            insn = insns[at]
            kind = insn.code & isa.CLASS_MASK
            if kind in (isa.ST, isa.STX):
                if insn.dst == base and insn.code & isa.MODE_MASK == isa.MEM:
                    return insn.off >= 0 and at not in self.slow and at not in self.probes
            elif kind in (isa.JMP, isa.JMP32) or insn.dst == base:
                return False
        return False

    def _near(self, base: int) -> None:
        """Once its region is found, a pointer is known not to be far."""
        low, high = self.known.ranges[base]
        self.known.ranges[base] = (max(low, 0), min(high, _NEAR[1]))

    def st(self, insn: Insn) -> None:
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        value = insn.imm & ((1 << 8 * size) - 1)
        self._store(insn, size, str(value), (value, value))

    def stx(self, insn: Insn) -> None:
        if insn.code & isa.MODE_MASK == isa.ATOMIC:
            self._atomic(insn)
            return
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        self._store(insn, size, f"r{insn.src}", self.known.ranges[insn.src])

    def _store(self, insn: Insn, size: int, value: str, range_: Range) -> None:
        mask = (1 << 8 * size) - 1
        if range_[0] < 0 or range_[1] > mask:
            value = f"{value}&{mask if size < 8 else 'M'}"
        offset = self._in_frame(insn.dst, insn.off, size)
        if offset is not None:
            data, start = "k", str(offset)
        elif self._is_slow(insn.dst):
            name = "probed" if self.at in self.probes else "store"
            self.names.add(name)
            self.put(f"{name}({self._address(insn.dst, insn.off)},{size},{value})")
            return
        else:
            data, start = self._find(insn.dst, insn.off, size, True)
        if size == 1:
            self.put(f"{data}[{start}]={value}")
        else:
            self.put(f"p{size}({data},{start},{value})")

    def _atomic(self, insn: Insn) -> None:
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        imm = insn.imm
        base = insn.src if imm == isa.LOAD_ACQ else insn.dst
        address = self._address(base, insn.off)
        probe = self.at in self.probes
        if imm == isa.STORE_REL:
            name, result = "release", None
            arguments = f"{address},{size},r{insn.src}"
        elif imm == isa.LOAD_ACQ:
            name, result = "acquire", insn.dst
            arguments = f"{address},{size}"
        else:
            name = "atomic"
            old = "r0" if imm == isa.ATOMIC_CMPXCHG else "0"
            arguments = f"{address},{size},{imm},r{insn.src},{old}"
            result = insn.src if imm & isa.FETCH else None
            if imm == isa.ATOMIC_CMPXCHG:
                result = 0
            if imm & ~isa.FETCH == isa.ATOMIC_ADD and not probe:
                name, arguments = f"add{size}", f"{address},r{insn.src}"
        if probe:
            name += "_probed"
        self.names.add(name)
        if result is None:
            self.put(f"{name}({arguments})")
        elif probe and imm != isa.LOAD_ACQ:
            self.whole(result)
            self.put(f"x={name}({arguments})")
            self.put(f"if x is not None:r{result}=x")
            self.set(result, FULL)
        else:
            self.put(f"r{result}={name}({arguments})")
            self.set(result, _UNSIGNED[size])

    def ld(self, insn: Insn) -> None:
        if insn.code == isa.LD_IMM64:
            if insn.src == 0:
                value = isa.imm64(self.insns, self.at)
                self.put(f"r{insn.dst}={value}")
                self.set(insn.dst, (value, value))
            else:
                name = f"c{self.at}"
                self.names.add(name)
                self.put(f"r{insn.dst}={name}")
                self.set(insn.dst, FULL)
            return
        size = isa.SIZES[insn.code & isa.SIZE_MASK]
        offset = str(insn.imm)
        if insn.code & isa.MODE_MASK == isa.IND:
            offset = f"r{insn.src}{insn.imm:+}"
        self.names.add("packet")
        self.put(f"x=packet(run,{self.whole(6)},{offset},{size})")
        self.put("if x is None:return 0")
        self.put("r0=x")
        self.known.called()
        self.set(0, _UNSIGNED[size])

    # ----------------------------------------------------------------------------- calls

    def call(self, insn: Insn) -> None:
        if insn.code & isa.CLASS_MASK == isa.JMP32 or insn.code & isa.OP_MASK != isa.CALL:
            return  # a jump, which the layout writes
        arguments = ",".join(self.whole(r) for r in range(1, 6))
        at = self.at
        if is_tail_call(insn):
            self.names |= {"tail", "PR"}
            self.put("x=tail(run,PR,r1,r2,r3)")
            self.put("if x is not None:return run.start(x,r1)")
        elif insn.code & isa.X:
            self.names.add("callx")
            self.put(f"r0=callx(run,{self.whole(insn.dst)},{arguments})")
            self.set(0, FULL)
        elif insn.src == isa.PSEUDO_CALL:
            name = f"F{at + 1 + insn.imm}"
            self.names.add(name)
            self.put(f"r0={name}(run,{arguments})")
            self.set(0, FULL)
        else:
            name = f"h{insn.imm & U32}"
            if insn.src == isa.PSEUDO_KFUNC_CALL:
                name = f"f{insn.imm & U32}_{insn.off & 0xFFFF}"
            self.names.add(name)
            self.put(f"r0={name}(run,{arguments})&M")
            self.set(0, FULL)
        self.known.called()

    # -------------------------------------------------------------------------- compares

    def condition(self, insn: Insn) -> tuple[str, str]:
        """Expressions that are true if a conditional jump is taken, and if it is not."""
        op = insn.code & isa.OP_MASK
        bits = 64 if insn.code & isa.CLASS_MASK == isa.JMP else 32
        if op == isa.JSET:
            if insn.code & isa.X:
                both = f"{self._whole_bits(insn.dst, bits)}&{self._whole_bits(insn.src, bits)}"
            else:
                imm = insn.imm & (U64 if bits == 64 else U32)
                both = f"{self._whole_bits(insn.dst, bits)}&{imm}"
            return both, f"not {both}"
        sign, no, is_signed = _SIGNS[op]
        if is_signed:
            left, right = self._compared(insn, bits)
        else:
            left = self._whole_bits(insn.dst, bits)
            if insn.code & isa.X:
                right = self._whole_bits(insn.src, bits)
            else:
                right = str(insn.imm & (U64 if bits == 64 else U32))
        return f"{left}{sign}{right}", f"{left}{no}{right}"

    def _compared(self, insn: Insn, bits: int) -> tuple[str, str]:
        """Two expressions that compare as their operands do as signed numbers."""
        ranges = self.known.ranges
        top = 1 << (bits - 1)
        low, high = ranges[insn.dst]
        plain = -top <= low and high < top
        if not insn.code & isa.X:
            if plain:
                return f"r{insn.dst}", str(insn.imm)
            mask = 2 * top - 1
            return f"({self._whole_bits(insn.dst, bits)}^{top})", str(insn.imm & mask ^ top)
        low, high = ranges[insn.src]
        if plain and -top <= low and high < top:
            return f"r{insn.dst}", f"r{insn.src}"
        mine, other = self._whole_bits(insn.dst, bits), self._whole_bits(insn.src, bits)
        return f"({mine}^{top})", f"({other}^{top})"

    def refine(self, insn: Insn, taken: bool) -> None:
        """Know what a conditional jump, taken or not, says of its registers."""
        op = insn.code & isa.OP_MASK
        if not taken:
            op = _OPPOSITE.get(op, op)
            if op == isa.JSET:
                return
        ranges = self.known.ranges
        wide = insn.code & isa.CLASS_MASK == isa.JMP
        most = U64 if wide else U32
        low, high = ranges[insn.dst]
        if low < 0 or high > most:
            return
        if insn.code & isa.X:
            other = ranges[insn.src]
            if other[0] < 0 or other[1] > most:
                return
        else:
            imm = insn.imm & most
            other = (imm, imm)
        if op in _UNSIGNED_OF:
            top = (most + 1) >> 1
            if other[1] >= top:
                return
            if high >= top and op in (isa.JSLT, isa.JSLE):
                return
            # Greater than a number that is not negative: it is not negative itself.
            high = min(high, top - 1)
            op = _UNSIGNED_OF[op]
        mine, its = _narrow(op, (low, high), other)
        if mine[0] <= mine[1]:
            ranges[insn.dst] = mine
        if insn.code & isa.X and its[0] <= its[1]:
            ranges[insn.src] = its


def _narrow(op: int, a: Range, b: Range) -> tuple[Range, Range]:
    """What remains of two ranges where an unsigned comparison holds."""
    if op == isa.JEQ:
        both = (max(a[0], b[0]), min(a[1], b[1]))
        return both, both
    if op == isa.JLT:
        return (a[0], min(a[1], b[1] - 1)), (max(b[0], a[0] + 1), b[1])
    if op == isa.JLE:
        return (a[0], min(a[1], b[1])), (max(b[0], a[0]), b[1])
    if op in (isa.JGT, isa.JGE):
        its, mine = _narrow(isa.JLT if op == isa.JGT else isa.JLE, b, a)
        return mine, its
    if op == isa.JNE and b[0] == b[1]:
        if a[0] == b[0]:
            return (a[0] + 1, a[1]), b
        if a[1] == b[0]:
            return (a[0], a[1] - 1), b
    return a, b


_SIGNS = {
    isa.JEQ: ("==", "!=", False),
    isa.JNE: ("!=", "==", False),
    isa.JGT: (">", "<=", False),
    isa.JGE: (">=", "<", False),
    isa.JLT: ("<", ">=", False),
    isa.JLE: ("<=", ">", False),
    isa.JSGT: (">", "<=", True),
    isa.JSGE: (">=", "<", True),
    isa.JSLT: ("<", ">=", True),
    isa.JSLE: ("<=", ">", True),
}
_OPPOSITE = {
    isa.JEQ: isa.JNE,
    isa.JNE: isa.JEQ,
    isa.JGT: isa.JLE,
    isa.JLE: isa.JGT,
    isa.JGE: isa.JLT,
    isa.JLT: isa.JGE,
    isa.JSGT: isa.JSLE,
    isa.JSLE: isa.JSGT,
    isa.JSGE: isa.JSLT,
    isa.JSLT: isa.JSGE,
}
_UNSIGNED_OF = {
    isa.JSGT: isa.JGT,
    isa.JSGE: isa.JGE,
    isa.JSLT: isa.JLT,
    isa.JSLE: isa.JLE,
}
_SIGNS32 = {
    isa.ADD: "+",
    isa.SUB: "-",
    isa.MUL: "*",
    isa.OR: "|",
    isa.AND: "&",
    isa.XOR: "^",
}
_RIGHT = (isa.RSH, isa.ARSH)
_ALU64: dict[int, Callable[[Statements, int, str, Range, int | None, int], None]] = {
    isa.ADD: Statements.add64,
    isa.SUB: Statements.sub64,
    isa.MUL: Statements.mul64,
    isa.DIV: Statements.div64,
    isa.OR: Statements.or64,
    isa.AND: Statements.and64,
    isa.LSH: Statements.lsh64,
    isa.RSH: Statements.rsh64,
    isa.MOD: Statements.mod64,
    isa.XOR: Statements.xor64,
    isa.ARSH: Statements.arsh64,
}
_WRITERS: dict[int, Callable[[Statements, Insn], None]] = {
    isa.LD: Statements.ld,
    isa.LDX: Statements.ldx,
    isa.ST: Statements.st,
    isa.STX: Statements.stx,
    isa.ALU: Statements.alu32,
    isa.ALU64: Statements.alu64,
    isa.JMP: Statements.call,
    isa.JMP32: Statements.call,
}
