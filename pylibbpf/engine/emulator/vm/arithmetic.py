"""Arithmetic of BPF as Python statements on local variables; see ``statements.py``."""

from __future__ import annotations

import re

from pylibbpf.engine.emulator.vm.known import FULL, HALF, Known
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from pylibbpf.engine.emulator.vm.known import Range
    from pylibbpf.isa.insn import Insn

__all__ = ["Arithmetic"]

U64, U32 = alu.U64, alu.U32
# A statement that does nothing but arithmetic, in which no instruction can fail.
_SIMPLE = re.compile(r"(r\d+)(>>|<<|[-+*&|^])?=([-rM0-9()&|^<>+*]+)$")
# Numbers get no longer than this without being masked: arithmetic would get slow.
_LONGEST = 1 << 120
# A pointer into the stack that is moved no further does not leave 0 <= x < 2**64.
_NO_WRAP = 1 << 40


def _bits(low: int, high: int) -> int:
    return max(low.bit_length(), high.bit_length())


class Arithmetic:
    """Writes statements, line by line: for arithmetic, and what all need.

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
        self.copied: tuple[int, str, str] | None = None
        """The line just written, if it copies a register: which to which."""
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
        if self.copied is not None:
            line, dst, src = self.copied
            self.copied = None
            found = _SIMPLE.match(text)
            if found is not None and found[1] == dst and line == len(self.lines) - 1:
                # What changes a copy just made is made of the original.
                _, sign, rest = found.groups()
                rest = re.sub(rf"\b{dst}\b", src, rest)
                text = f"{dst}={src}{sign}{rest}" if sign else f"{dst}={rest}"
                self.lines.pop()
                self.places.pop()
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
        frame, root, held = known.frame.get(src), self._root(src), known.held.get(src)
        self._copy(dst, src)
        self.set(dst, known.ranges[src])
        if frame is not None:
            known.frame[dst] = frame
        else:
            known.root[dst] = root
        if held is not None:
            known.held[dst] = held

    def _copy(self, dst: int, src: int) -> None:
        self.put(f"r{dst}=r{src}")
        self.copied = (len(self.lines) - 1, f"r{dst}", f"r{src}")

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
        self.set(dst, HALF if mask else (-top, top - 1))

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
            self.set(dst, HALF)

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
                        self._copy(dst, src)
                    self.set(dst, range_)
                else:
                    self.put(f"r{dst}=r{src}&{U32}")
                    self.set(dst, HALF)
            return
        if op == isa.NEG:
            self.put(f"r{dst}=-r{dst}&{U32}")
            self.set(dst, HALF)
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
                self.set(dst, HALF)
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
            self.set(dst, HALF)

    def _right32(self, op: int, dst: int, by: Range, src: int | None) -> None:
        if src is None:
            by = (by[0] & 31, by[0] & 31)
            count = str(by[0])
        else:
            count, by = self._count(src, 31)
        if op == isa.RSH:
            low, high = self.known.ranges[dst]
            mine = self._whole_bits(dst, 32)
            low, high = (low, high) if mine == f"r{dst}" else HALF
            self.put(f"r{dst}={mine}>>{count}")
            self.set(dst, (low >> by[1], high >> by[0]))
            return
        value, low, high = self._signed(dst, 32)
        if low >= 0:
            self.put(f"r{dst}={value}>>{count}")
            self.set(dst, (low >> by[1], high >> by[0]))
        else:
            self.put(f"r{dst}={value}>>{count}&{U32}")
            self.set(dst, HALF)

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


_SIGNS32 = {
    isa.ADD: "+",
    isa.SUB: "-",
    isa.MUL: "*",
    isa.OR: "|",
    isa.AND: "&",
    isa.XOR: "^",
}
_RIGHT = (isa.RSH, isa.ARSH)
_ALU64: dict[int, Callable[[Arithmetic, int, str, Range, int | None, int], None]] = {
    isa.ADD: Arithmetic.add64,
    isa.SUB: Arithmetic.sub64,
    isa.MUL: Arithmetic.mul64,
    isa.DIV: Arithmetic.div64,
    isa.OR: Arithmetic.or64,
    isa.AND: Arithmetic.and64,
    isa.LSH: Arithmetic.lsh64,
    isa.RSH: Arithmetic.rsh64,
    isa.MOD: Arithmetic.mod64,
    isa.XOR: Arithmetic.xor64,
    isa.ARSH: Arithmetic.arsh64,
}
