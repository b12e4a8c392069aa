"""Arithmetic of BPF as Python statements on local variables; see ``statements.py``.

Python's parser takes most of the time that a translation takes: the text is as it likes it best.
It reads a statement behind a semicolon in half the time of one on a line of its own, another
operation in an expression in a quarter of it, and parentheses are as dear as a statement.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.known import FULL, HALF, LOWEST, Known
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from pylibbpf.engine.emulator.vm.known import Range
    from pylibbpf.isa.insn import Insn

__all__ = ["ALU", "TURNS", "Arithmetic"]

U64, U32 = alu.U64, alu.U32
# Numbers get no longer than this without being masked: arithmetic would get slow.
_LONGEST = 1 << 120
# What is moved no further, each time, does not leave 0 <= x < 2**64: a pointer into the stack, or
# one into a region that was looked up before a loop, and that is above its start since.
_NO_WRAP = 1 << 40
# How tightly operators bind, of which Python applies the leftmost first among equals.
_OR, _XOR, _AND, _SHIFT, _SUM, _TERM, _UNARY, _ATOM = range(8)
# So many characters of an expression at most: Python's compiler nests as deep as they do.
_LONG_EXPRESSION = 200
_NAMES = tuple(f"r{r}" for r in range(isa.REGISTERS))


def _bits(low: int, high: int) -> int:
    return max(low.bit_length(), high.bit_length())


class Arithmetic:
    """Writes statements, line by line: for arithmetic, and what all need.

    ``lines`` is the text, ``places`` the instruction of each line. Where several statements stand
    in a line, those that can fail are of the same instruction. A register whose value is still
    being put together, as an expression, is ``chained``; it gets it before anything else happens.
    """

    def __init__(
        self,
        insns: tuple[Insn, ...],
        *,
        slow: frozenset[int],
        probes: frozenset[int],
        fatal: Container[int],
        slots: dict[int, str],
    ) -> None:
        self.insns = insns
        self.slow = slow
        self.probes = probes
        self.fatal = fatal
        self.slots = slots
        """Names of what the stack frame holds, by offset from r10, where these are variables."""
        self.lines: list[str] = []
        self.places: list[int] = []
        self.indent = ""
        self.at = self.end = 0
        self.line: list[str] = []
        """The statements of the line that is not yet in ``lines``."""
        self.risk = -1
        """The instruction in this line that can fail; -1: there is none."""
        self.chained = -1
        """The register that is being put together; -1: none."""
        self.expression = ""
        self.inplace = ""
        """The statement that assigns this to the register, where there is a shorter one."""
        self.binds = 0
        self.known = Known()
        self.loose = False
        """Whether a register may hold another number than it should, modulo 2**64."""
        self.roots = 0
        self.held: dict[tuple[int, bool], int] = {}
        """The least offset for what was looked up before a loop; by that, and if it is to write."""
        self.absorbed: dict[int, int] = {}
        """The offset that what was looked up before a loop has in its start, by that."""
        self.turned = -1
        """The instruction that turns bytes around, where what was before it has done that."""
        self.names: set[str] = set()
        """Global names that the text uses, beyond the ones that all have."""
        self.stack = False
        """Whether the bytes of the stack frame are used."""

    # ---------------------------------------------------------------------------- output

    def put(self, text: str) -> None:
        """Write a statement that can fail."""
        if self.chained >= 0:
            self.flush()
        at = self.at
        if self.risk != at:
            if self.risk >= 0:
                self.end_line()
            self.risk = at
        self.line.append(text)

    def calm(self, text: str) -> None:
        """Write a statement that cannot fail."""
        if self.chained >= 0:
            self.flush()
        self.line.append(text)

    def flush(self) -> None:
        """Write the expression that there is, into its register."""
        self.line.append(self.inplace or f"r{self.chained}={self.expression}")
        self.chained = -1

    def end_line(self) -> None:
        """End a line."""
        if self.chained >= 0:
            self.flush()
        line = self.line
        if line:
            self.lines.append(self.indent + ";".join(line))
            self.places.append(self.at if self.risk < 0 else self.risk)
            self.line = []
            self.risk = -1

    def drop(self, mark: int) -> None:
        """Forget all lines from one on."""
        del self.lines[mark:], self.places[mark:]
        self.line = []
        self.risk = self.chained = self.turned = -1

    def header(self, text: str) -> None:
        """Write a line of its own."""
        self.end_line()
        self.lines.append(self.indent + text if text else "")
        self.places.append(self.at)

    def op(self, dst: int, sign: str, binds: int, operand: str) -> None:
        """Apply an operator to a register; what the operand says does not depend on this one."""
        if self.chained == dst:
            expression = self.expression
            if self.binds >= binds and len(expression) < _LONG_EXPRESSION:
                self.expression = f"{expression}{sign}{operand}"
                self.inplace = ""
                self.binds = binds
                return
            self.flush()
        elif self.chained >= 0:
            self.flush()
        self.chained = dst
        self.expression = f"r{dst}{sign}{operand}"
        self.inplace = f"r{dst}{sign}={operand}"
        self.binds = binds

    def op_x(self, dst: int, sign: str, binds: int, src: int) -> None:
        """Apply an operator to two registers."""
        if src == dst and self.chained >= 0:
            self.flush()
        self.op(dst, sign, binds, _NAMES[src])

    def assign(self, dst: int, expression: str, binds: int = _ATOM) -> None:
        """Begin a new value of a register, which does not depend on the old one."""
        if self.chained >= 0 and self.chained != dst:
            self.flush()
        self.chained = dst
        self.expression = expression
        self.inplace = ""
        self.binds = binds

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
        return _NAMES[r]

    def _mask(self, r: int) -> None:
        self.op(r, "&", _AND, "M")
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
                    self.op(r, "&", _AND, "M")
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
        self.assign(dst, f"-r{dst}", _UNARY)

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
        self.assign(dst, _NAMES[src])
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
                self.assign(dst, _NAMES[src])
            self.set(dst, (low, high))
            return
        self.assign(dst, f"r{src}&{2 * top - 1}^{top}", _XOR)
        self.op(dst, "-", _SUM, str(top))
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
            self.op(dst, "-", _SUM, str(-moved))
        elif moved:
            self.op(dst, "+", _SUM, str(moved))
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
        self.op_x(dst, "+", _SUM, src)
        self.set(dst, (low + least, high + most))
        if held is not None:
            known.held[dst] = held
        self._shorten(dst)

    def sub64_x(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        low, high = self.known.ranges[dst]
        least, most = self.known.ranges[src]
        self.op_x(dst, "-", _SUM, src)
        self.set(dst, (0, 0) if src == dst else (low - most, high - least))
        self._shorten(dst)

    def mul64(self, dst: int, text: str, by: Range, src: int | None, off: int) -> None:
        low, high = self.known.ranges[dst]
        corners = (low * by[0], low * by[1], high * by[0], high * by[1])
        if src is None:
            self.op(dst, "*", _TERM, text)
        else:
            self.op_x(dst, "*", _TERM, src)
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
        self._bitwise("|", _OR, insn)

    def xor64(self, insn: Insn) -> None:
        if insn.code & isa.X and insn.src == insn.dst:
            self.assign(insn.dst, "0")
            self.set(insn.dst, (0, 0))
        else:
            self._bitwise("^", _XOR, insn)

    def and64(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "&", _AND, insn.src)
        else:
            least = most = insn.imm
            self.op(dst, "&", _AND, str(least))
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
        self.op(dst, sign, _SHIFT, text)

    def _count(self, src: int, most: int) -> tuple[str, Range]:
        low, high = self.known.ranges[src]
        if low >= 0 and high <= most:
            return f"r{src}", (low, high)
        return f"(r{src}&{most})", (0, most)

    def rsh64_k(self, insn: Insn) -> None:
        dst, count = insn.dst, insn.imm & 63
        low, high = self.known.ranges[dst]
        if low < 0 or high > U64:
            self.op(dst, "&", _AND, "M")
            low, high = FULL
        self.op(dst, ">>", _SHIFT, str(count))
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
        self.op(dst, ">>", _SHIFT, count)
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
            self.op(r, "&", _AND, str(U32))
        self.op(r, "^", _XOR, str(top))
        self.op(r, "-", _SUM, str(top))
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
                self.op(dst, sign, _TERM, other)
                self.set(dst, (0, high // value if op == isa.DIV else min(high, value - 1)))
            elif op == isa.DIV:
                self.assign(dst, "0")
                self.set(dst, (0, 0))
        else:
            rest = "0" if op == isa.DIV else f"r{dst}"
            self.calm(f"r{dst}=r{dst}{sign}{other} if {other} else {rest}")
            self.set(dst, (0, high))

    # ------------------------------------------------------------------------ 32 bits

    def alu32(self, insn: Insn) -> None:
        op, dst, src, imm = insn.code & isa.OP_MASK, insn.dst, insn.src, insn.imm & U32
        ranges = self.known.ranges
        register = src if insn.code & isa.X else None
        by = ranges[src] if insn.code & isa.X else (insn.imm, insn.imm)
        if op in (isa.DIV, isa.MOD):
            sign = "//" if op == isa.DIV else "%"
            self._divide(sign, op, 32, dst, by, register, insn.off)
        elif op in _RIGHT:
            self._right32(op, dst, by, register)
        else:
            text, by = (
                (str(imm & 31), (imm & 31, imm & 31)) if register is None else self._count(src, 31)
            )
            low, high = ranges[dst]
            if low >= 0 and high << by[1] <= U32:
                self._shift(dst, "<<", text, register)
                self.set(dst, (low << by[0], high << by[1]))
            else:
                if max(-low, high) > U64:
                    self.whole(dst)
                self._shift(dst, "<<", text, register)
                self._low32(dst)

    def _low32(self, dst: int) -> None:
        """Keep the low half of a register that was given a value of unknown range."""
        self.op(dst, "&", _AND, _U32)
        self.set(dst, HALF)

    def le32(self, insn: Insn) -> None:
        dst, bits = insn.dst, insn.imm
        low, high = self.known.ranges[dst]
        mask = (1 << bits) - 1
        if bits < 64 and (low < 0 or high > mask):
            self.op(dst, "&", _AND, str(mask))
            self.set(dst, (0, min(mask, high) if low >= 0 else mask))

    def neg32(self, insn: Insn) -> None:
        self._negate(insn.dst)
        self._low32(insn.dst)

    def mov32_k(self, insn: Insn) -> None:
        imm = insn.imm & U32
        self.assign(insn.dst, str(imm))
        self.set(insn.dst, (imm, imm))

    def mov32_x(self, insn: Insn) -> None:
        dst, src = insn.dst, insn.src
        if insn.off:
            self.extend(dst, src, insn.off)
            if self.known.ranges[dst][0] < 0:
                self._low32(dst)
            return
        low, high = self.known.ranges[src]
        if low >= 0 and high <= U32:
            if dst != src:
                self.assign(dst, _NAMES[src])
            self.set(dst, (low, high))
            return
        if dst != src:
            self.assign(dst, _NAMES[src])
        self._low32(dst)

    def add32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "+", _SUM, insn.src)
        else:
            least = most = insn.imm
            if least < 0:
                self.op(dst, "-", _SUM, str(-least))
            else:
                self.op(dst, "+", _SUM, str(least))
        self._result32(dst, low + least, high + most)

    def sub32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "-", _SUM, insn.src)
        else:
            least = most = insn.imm
            if least < 0:
                self.op(dst, "+", _SUM, str(-least))
            else:
                self.op(dst, "-", _SUM, str(least))
        self._result32(dst, low - most, high - least)

    def mul32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "*", _TERM, insn.src)
        else:
            least = most = insn.imm & U32
            self.op(dst, "*", _TERM, str(least))
        corners = (low * least, low * most, high * least, high * most)
        self._result32(dst, min(corners), max(corners))

    def _result32(self, dst: int, low: int, high: int) -> None:
        """Keep the low half of a result in this range."""
        if low >= 0 and high <= U32:
            self.set(dst, (low, high))
        else:
            self.op(dst, "&", _AND, _U32)
            self.set(dst, HALF)

    def and32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "&", _AND, insn.src)
        else:
            least = most = insn.imm & U32
            self.op(dst, "&", _AND, str(least))
        if least >= 0 and (low < 0 or most < high):
            high = most
        elif low < 0:
            high = U64
        if high > U32:
            self.op(dst, "&", _AND, _U32)
            high = U32
        self.set(dst, (0, high))

    def or32(self, insn: Insn) -> None:
        self._bitwise32("|", _OR, insn)

    def xor32(self, insn: Insn) -> None:
        if insn.code & isa.X and insn.src == insn.dst:
            self.assign(insn.dst, "0")
            self.set(insn.dst, (0, 0))
        else:
            self._bitwise32("^", _XOR, insn)

    def _bitwise32(self, sign: str, binds: int, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, sign, binds, insn.src)
            if low >= 0 and least >= 0 and high <= U32 and most <= U32:
                self.set(dst, (0, (1 << max(high.bit_length(), most.bit_length())) - 1))
            else:
                self._low32(dst)
            return
        if low < 0 or high > U32:
            # The mask first, which then binds tighter than what follows.
            self.op(dst, "&", _AND, _U32)
            high = U32
        imm = insn.imm & U32
        self.op(dst, sign, binds, str(imm))
        self.set(dst, (0, (1 << max(high.bit_length(), imm.bit_length())) - 1))

    def _right32(self, op: int, dst: int, by: Range, src: int | None) -> None:
        if src is None:
            by = (by[0] & 31, by[0] & 31)
            count = str(by[0])
        elif src == dst:
            self.calm(f"x=r{dst}&31")
            count, by = "x", (0, 31)
        else:
            count, by = self._count(src, 31)
        if op == isa.RSH:
            low, high = self._mask32(dst)
            self.op(dst, ">>", _SHIFT, count)
            self.set(dst, (low >> by[1], high >> by[0]))
            return
        low, high = self._sign(dst, 32)
        self.op(dst, ">>", _SHIFT, count)
        if low >= 0:
            self.set(dst, (low >> by[1], high >> by[0]))
        else:
            self._low32(dst)

    def _mask32(self, r: int) -> Range:
        """Keep the low half of a register, and give its range."""
        low, high = self.known.ranges[r]
        if low < 0 or high > U32:
            self.op(r, "&", _AND, _U32)
            low, high = self.known.ranges[r] = HALF
        return low, high

    def low32(self, r: int) -> str:
        """An operand that is the low half of a register."""
        low, high = self.known.ranges[r]
        if low >= 0 and high <= U32:
            return _NAMES[r]
        self.calm(f"x=r{r}&{_U32}")
        return "x"


TURNS = (isa.ALU | isa.END | isa.X, isa.ALU64 | isa.END)
_RIGHT = (isa.RSH, isa.ARSH)
_U32 = str(U32)
_ALU64: dict[int, Callable[[Arithmetic, int, str, Range, int | None, int], None]] = {
    isa.MUL: Arithmetic.mul64,
    isa.DIV: Arithmetic.div64,
    isa.LSH: Arithmetic.lsh64,
    isa.MOD: Arithmetic.mod64,
    isa.ARSH: Arithmetic.arsh64,
}
_K_OR_X: dict[int, Callable[[Arithmetic, Insn], None]] = {
    isa.ALU64 | isa.MUL: Arithmetic.alu64,
    isa.ALU64 | isa.DIV: Arithmetic.alu64,
    isa.ALU64 | isa.OR: Arithmetic.or64,
    isa.ALU64 | isa.AND: Arithmetic.and64,
    isa.ALU64 | isa.LSH: Arithmetic.alu64,
    isa.ALU64 | isa.MOD: Arithmetic.alu64,
    isa.ALU64 | isa.XOR: Arithmetic.xor64,
    isa.ALU64 | isa.ARSH: Arithmetic.alu64,
    isa.ALU | isa.ADD: Arithmetic.add32,
    isa.ALU | isa.SUB: Arithmetic.sub32,
    isa.ALU | isa.MUL: Arithmetic.mul32,
    isa.ALU | isa.DIV: Arithmetic.alu32,
    isa.ALU | isa.OR: Arithmetic.or32,
    isa.ALU | isa.AND: Arithmetic.and32,
    isa.ALU | isa.LSH: Arithmetic.alu32,
    isa.ALU | isa.RSH: Arithmetic.alu32,
    isa.ALU | isa.MOD: Arithmetic.alu32,
    isa.ALU | isa.XOR: Arithmetic.xor32,
    isa.ALU | isa.ARSH: Arithmetic.alu32,
}
ALU: dict[int, Callable[[Arithmetic, Insn], None]] = {
    **{code | isa.K: write for code, write in _K_OR_X.items()},
    **{code | isa.X: write for code, write in _K_OR_X.items()},
    isa.ALU64 | isa.ADD | isa.K: Arithmetic.add64_k,
    isa.ALU64 | isa.ADD | isa.X: Arithmetic.add64_x,
    isa.ALU64 | isa.SUB | isa.K: Arithmetic.sub64_k,
    isa.ALU64 | isa.SUB | isa.X: Arithmetic.sub64_x,
    isa.ALU64 | isa.RSH | isa.K: Arithmetic.rsh64_k,
    isa.ALU64 | isa.RSH | isa.X: Arithmetic.rsh64_x,
    isa.ALU64 | isa.MOV | isa.K: Arithmetic.mov64_k,
    isa.ALU64 | isa.MOV | isa.X: Arithmetic.mov64_x,
    isa.ALU64 | isa.NEG: Arithmetic.neg64,
    isa.ALU64 | isa.END: Arithmetic.swap64,
    isa.ALU | isa.MOV | isa.K: Arithmetic.mov32_k,
    isa.ALU | isa.MOV | isa.X: Arithmetic.mov32_x,
    isa.ALU | isa.NEG: Arithmetic.neg32,
    isa.ALU | isa.END | isa.K: Arithmetic.le32,
    isa.ALU | isa.END | isa.X: Arithmetic.swap64,
}
"""Who writes an instruction, by its code."""
