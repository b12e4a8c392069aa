"""Arithmetic of 64 bits as Python statements on local variables; see ``statements.py``."""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.known import FULL, HALF, LOWEST, Known
from pylibbpf.engine.emulator.vm.lines import (
    AND,
    NAMES,
    OR,
    SHIFT,
    SUM,
    TERM,
    UNARY,
    XOR,
    Lines,
)
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from pylibbpf.engine.emulator.vm.known import Range
    from pylibbpf.isa.insn import Insn

__all__ = ["Wide"]

U64, U32 = alu.U64, alu.U32
# Numbers get no longer than this without being masked: arithmetic would get slow.
_LONGEST = 1 << 120
# What is moved no further, each time, does not leave 0 <= x < 2**64: a pointer into the stack, or
# one into a region that was looked up before a loop, and that is above its start since.
_NO_WRAP = 1 << 40


def _bits(low: int, high: int) -> int:
    return max(low.bit_length(), high.bit_length())


class Wide(Lines):
    """Writes statements: for arithmetic of 64 bits, and what all need."""

    def __init__(
        self,
        insns: tuple[Insn, ...],
        *,
        slow: frozenset[int],
        probes: frozenset[int],
        fatal: Container[int],
        slots: dict[int, str],
    ) -> None:
        super().__init__()
        self.insns = insns
        self.slow = slow
        self.probes = probes
        self.fatal = fatal
        self.slots = slots
        """Names of what is a variable, and not in the stack frame, by its offset there."""
        self.end = 0
        self.known = Known()
        self.loose = False
        """Whether a register may hold another number than it should, modulo 2**64."""
        self.roots = 0
        self.held: dict[tuple[int, bool], int] = {}
        """The least offset for what was looked up before a loop; by that, and if it is to write."""
        self.absorbed: dict[int, int] = {}
        """The offset that what was looked up before a loop has in its start, by that."""
        self.names: set[str] = set()
        """Global names that the text uses, beyond the ones that all have."""
        self.stack = False
        """Whether the bytes of the stack frame are used."""

    def set(self, r: int, range_: Range) -> None:
        known = self.known
        known.ranges[r] = range_
        if range_[0] < 0 or range_[1] > U64:
            self.loose = True
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
            self._mask(r)
        return NAMES[r]

    def _mask(self, r: int) -> None:
        self.op(r, "&", AND, "M")
        self._masked(r)

    def _masked(self, r: int) -> None:
        """A register that got beyond 64 bits lies anywhere now; what moved a little does not."""
        known = self.known
        if known.ranges[r][1] > U64 + _NO_WRAP:
            known.held.pop(r, None)
        known.ranges[r] = FULL

    def settle(self, live: int) -> None:
        """At the end of a block: what is read later holds its number itself."""
        ranges = self.known.ranges
        for r, (low, high) in enumerate(ranges):
            if low < 0 or high > U64:
                if live >> r & 1:
                    self.op(r, "&", AND, "M")
                self._masked(r)
        self.loose = False

    # ------------------------------------------------------------------------ arithmetic

    def alu64(self, insn: Insn) -> None:
        op = insn.code & isa.OP_MASK
        if insn.code & isa.X:
            src = insn.src
            _ALU64[op](self, insn.dst, f"r{src}", self.known.ranges[src], src, insn.off)
        else:
            imm = insn.imm
            _ALU64[op](self, insn.dst, str(imm), (imm, imm), None, insn.off)

    def neg64(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        self._negate(dst)
        self.set(dst, (-high, -low))
        self._shorten(dst)

    def _negate(self, dst: int) -> None:
        if self.chained >= 0:
            self.flush()
        self.assign(dst, f"-r{dst}", UNARY)

    def swap64(self, insn: Insn) -> None:
        """Turn bytes around."""
        if self.turned == self.at:
            return
        dst, size = insn.dst, insn.imm
        if size == 16:
            self.calm(f"r{dst}=r{dst}<<8&65280|r{dst}>>8&255")
            self.set(dst, (0, 0xFFFF))
            return
        low, high = self.known.ranges[dst]
        mask = (1 << size) - 1
        mine = f"r{dst}" if low >= 0 and high <= mask else f"r{dst}&{mask}"
        self.names |= {f"swap{size}", f"pack{size}"}
        self.calm(f"r{dst},=swap{size}(pack{size}({mine}))")
        self.set(dst, (0, mask))

    def mov64_k(self, insn: Insn) -> None:
        value = insn.imm & U64
        self.assign(insn.dst, str(value))
        self.set(insn.dst, (value, value))

    def mov64_x(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        known = self.known
        if insn.off == isa.ADDR_SPACE_CAST:
            self.whole(src)
            self.put(f"r{dst}=cast(PR,r{src},{insn.imm})")
            self.names |= {"cast", "PR"}
            self.set(dst, FULL)
            return
        if insn.off:
            self.extend(dst, src, insn.off)
            return
        if dst == src:
            return
        range_ = known.ranges[src]
        self.assign(dst, NAMES[src])
        self.set(dst, range_)
        if range_[1] < LOWEST:
            return  # no pointer
        frame, held = known.frame.get(src), known.held.get(src)
        if frame is not None:
            known.frame[dst] = frame
        else:
            known.root[dst] = self._root(src)
        if held is not None:
            known.held[dst] = held

    def extend(self, dst: int, src: int, width: int) -> None:
        """A sign-extending move of the low ``width`` bits."""
        low, high = self.known.ranges[src]
        top = 1 << (width - 1)
        if self.chained >= 0:
            self.flush()  # it may be of the same register
        if low >= 0 and high < top:
            if dst != src:
                self.assign(dst, NAMES[src])
            self.set(dst, (low, high))
            return
        self.assign(dst, f"r{src}&{2 * top - 1}^{top}", XOR)
        self.op(dst, "-", SUM, str(top))
        self.set(dst, (-top, top - 1))

    def _shorten(self, r: int) -> None:
        """Mask a register whose number got long."""
        low, high = self.known.ranges[r]
        if low < -_LONGEST or high > _LONGEST:
            self._mask(r)

    def _root(self, r: int) -> tuple[int, int]:
        root = self.known.root.get(r)
        if root is None:
            self.roots += 1
            root = self.known.root[r] = (self.roots, 0)
        return root

    def add64_k(self, insn: Insn) -> None:
        self._move(insn.dst, insn.imm)

    def sub64_k(self, insn: Insn) -> None:
        self._move(insn.dst, -insn.imm)

    def _move(self, dst: int, moved: int) -> None:
        """Add a constant."""
        known = self.known
        if moved < 0:
            self.op(dst, "-", SUM, str(-moved))
        elif moved:
            self.op(dst, "+", SUM, str(moved))
        low, high = known.ranges[dst]
        low += moved
        high += moved
        known.ranges[dst] = (low, high)
        if low < 0 or high > U64:
            self.loose = True
        if dst in known.frame:
            offset = known.frame[dst] + moved
            if -_NO_WRAP < offset < _NO_WRAP:
                known.frame[dst] = offset
                known.ranges[dst] = FULL
                return
            del known.frame[dst]
        if moved < 0:
            known.root.pop(dst, None)
            known.held.pop(dst, None)
        elif dst in known.root or high >= LOWEST:
            name, delta = self._root(dst)
            known.root[dst] = (name, delta + moved)
        if high > _LONGEST or low < -_LONGEST:
            self._shorten(dst)

    def add64_x(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        known = self.known
        low, high = known.ranges[dst]
        least, most = known.ranges[src]
        held = None
        if least >= 0:
            held = known.held.get(dst)
            if held is None and low >= 0:
                held = known.held.get(src)
        self.op_x(dst, "+", SUM, src)
        self.set(dst, (low + least, high + most))
        if held is not None:
            known.held[dst] = held
        self._shorten(dst)

    def sub64_x(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        low, high = self.known.ranges[dst]
        least, most = self.known.ranges[src]
        self.op_x(dst, "-", SUM, src)
        self.set(dst, (0, 0) if src == dst else (low - most, high - least))
        self._shorten(dst)

    def mul64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        low, high = self.known.ranges[dst]
        corners = (low * by[0], low * by[1], high * by[0], high * by[1])
        if src is None:
            self.op(dst, "*", TERM, text)
        else:
            self.op_x(dst, "*", TERM, src)
        self.set(dst, (min(corners), max(corners)))
        self._shorten(dst)

    def _bitwise(self, sign: str, binds: int, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, sign, binds, insn.src)
        else:
            least = most = insn.imm
            if least < 0 <= low:
                least = most = least & U64  # then the result needs no mask
            self.op(dst, sign, binds, str(least))
        if low >= 0 and least >= 0:
            self.set(dst, (0, (1 << max(high.bit_length(), most.bit_length())) - 1))
        else:
            size = 1 << max(_bits(low, high), _bits(least, most))
            self.set(dst, (-size, size - 1))

    def or64(self, insn: Insn) -> None:
        self._bitwise("|", OR, insn)

    def xor64(self, insn: Insn) -> None:
        if insn.code & isa.X and insn.src == insn.dst:
            self.assign(insn.dst, "0")
            self.set(insn.dst, (0, 0))
        else:
            self._bitwise("^", XOR, insn)

    def and64(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "&", AND, insn.src)
        else:
            least = most = insn.imm
            self.op(dst, "&", AND, str(least))
        if least >= 0:
            self.set(dst, (0, most if low < 0 or most < high else high))
        elif low >= 0:
            self.set(dst, (0, high))
        else:
            size = 1 << max(_bits(low, high), _bits(least, most))
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
        self._shift(dst, "<<", text, src)
        self.set(dst, (min(low << by[1], low << by[0]), max(high << by[1], high << by[0])))
        self._shorten(dst)

    def _shift(self, dst: int, sign: str, text: str, src: int | None) -> None:
        if src == dst and self.chained >= 0:
            self.flush()
        self.op(dst, sign, SHIFT, text)

    def _count(self, src: int, most: int) -> tuple[str, Range]:
        low, high = self.known.ranges[src]
        if low >= 0 and high <= most:
            return f"r{src}", (low, high)
        return f"(r{src}&{most})", (0, most)

    def rsh64_k(self, insn: Insn) -> None:
        dst, count = insn.dst, insn.imm & 63
        low, high = self.known.ranges[dst]
        if low < 0 or high > U64:
            self.op(dst, "&", AND, "M")
            low, high = FULL
        self.op(dst, ">>", SHIFT, str(count))
        self.set(dst, (low >> count, high >> count))

    def rsh64_x(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        self.whole(dst)
        low, high = self.known.ranges[dst]
        text, by = self._count(src, 63)
        self._shift(dst, ">>", text, src)
        self.set(dst, (low >> by[1], high >> by[0]))

    def arsh64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        if src == dst:
            # The count is of the register as it was.
            self.whole(dst)
            self.calm(f"x=r{dst}&63")
            count = "x"
        else:
            count = str(by[0] & 63) if src is None else self._count(src, 63)[0]
        low, high = self._sign(dst, 64)
        self.op(dst, ">>", SHIFT, count)
        if src is None:
            self.set(dst, (low >> (by[0] & 63), high >> (by[0] & 63)))
        else:
            self.set(dst, (min(low, 0), max(high, 0)))

    def _sign(self, r: int, bits: int) -> Range:
        """Make a register hold a signed number, and give its range."""
        low, high = self.known.ranges[r]
        top = 1 << (bits - 1)
        if -top <= low and high < top:
            return low, high
        if bits == 64:
            self.whole(r)
        elif low < 0 or high > U32:
            self.op(r, "&", AND, str(U32))
        self.op(r, "^", XOR, str(top))
        self.op(r, "-", SUM, str(top))
        return -top, top - 1

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
            other = self.whole(src) if bits == 64 else self.low32(src)
        if bits == 64:
            self.whole(dst)
        else:
            self._mask32(dst)
        high = self.known.ranges[dst][1]
        if off:  # signed
            name = f"{'sdiv' if op == isa.DIV else 'smod'}"
            self.names.add(name)
            self.calm(f"r{dst}={name}(r{dst},{other},{bits})")
            self.set(dst, full)
        elif value is not None:
            if value:
                self.op(dst, sign, TERM, other)
                self.set(dst, (0, high // value if op == isa.DIV else min(high, value - 1)))
            elif op == isa.DIV:
                self.assign(dst, "0")
                self.set(dst, (0, 0))
        else:
            rest = "0" if op == isa.DIV else f"r{dst}"
            self.calm(f"r{dst}=r{dst}{sign}{other} if {other} else {rest}")
            self.set(dst, (0, high))

    def _mask32(self, r: int) -> Range:
        """Keep the low half of a register, and give its range."""
        low, high = self.known.ranges[r]
        if low < 0 or high > U32:
            self.op(r, "&", AND, _U32)
            low, high = self.known.ranges[r] = HALF
        return low, high

    def low32(self, r: int) -> str:
        """An operand that is the low half of a register."""
        low, high = self.known.ranges[r]
        if low >= 0 and high <= U32:
            return NAMES[r]
        self.calm(f"x=r{r}&{_U32}")
        return "x"


_U32 = str(U32)
_ALU64: dict[int, Callable[[Wide, int, str, Range, int | None, int], None]] = {
    isa.MUL: Wide.mul64,
    isa.DIV: Wide.div64,
    isa.LSH: Wide.lsh64,
    isa.MOD: Wide.mod64,
    isa.ARSH: Wide.arsh64,
}
