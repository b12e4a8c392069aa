"""Arithmetic of 32 bits as Python statements on local variables; who writes which instruction."""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.known import HALF
from pylibbpf.engine.emulator.vm.lines import AND, NAMES, OR, SHIFT, SUM, TERM, XOR
from pylibbpf.engine.emulator.vm.wide import Wide
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.engine.emulator.vm.known import Range
    from pylibbpf.isa.insn import Insn

__all__ = ["ALU", "TURNS", "Arithmetic"]

U64, U32 = alu.U64, alu.U32
_U32 = str(U32)


class Arithmetic(Wide):
    """Writes statements: for all arithmetic."""

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
        self.op(dst, "&", AND, _U32)
        self.set(dst, HALF)

    def le32(self, insn: Insn) -> None:
        dst, bits = insn.dst, insn.imm
        low, high = self.known.ranges[dst]
        mask = (1 << bits) - 1
        if bits < 64 and (low < 0 or high > mask):
            self.op(dst, "&", AND, str(mask))
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
                self.assign(dst, NAMES[src])
            self.set(dst, (low, high))
            return
        if dst != src:
            self.assign(dst, NAMES[src])
        self._low32(dst)

    def add32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "+", SUM, insn.src)
        else:
            least = most = insn.imm
            if least < 0:
                self.op(dst, "-", SUM, str(-least))
            else:
                self.op(dst, "+", SUM, str(least))
        self._result32(dst, low + least, high + most)

    def sub32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "-", SUM, insn.src)
        else:
            least = most = insn.imm
            if least < 0:
                self.op(dst, "+", SUM, str(-least))
            else:
                self.op(dst, "-", SUM, str(least))
        self._result32(dst, low - most, high - least)

    def mul32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "*", TERM, insn.src)
        else:
            least = most = insn.imm & U32
            self.op(dst, "*", TERM, str(least))
        corners = (low * least, low * most, high * least, high * most)
        self._result32(dst, min(corners), max(corners))

    def _result32(self, dst: int, low: int, high: int) -> None:
        """Keep the low half of a result in this range."""
        if low >= 0 and high <= U32:
            self.set(dst, (low, high))
        else:
            self.op(dst, "&", AND, _U32)
            self.set(dst, HALF)

    def and32(self, insn: Insn) -> None:
        dst = insn.dst
        low, high = self.known.ranges[dst]
        if insn.code & isa.X:
            least, most = self.known.ranges[insn.src]
            self.op_x(dst, "&", AND, insn.src)
        else:
            least = most = insn.imm & U32
            self.op(dst, "&", AND, str(least))
        if least >= 0 and (low < 0 or most < high):
            high = most
        elif low < 0:
            high = U64
        if high > U32:
            self.op(dst, "&", AND, _U32)
            high = U32
        self.set(dst, (0, high))

    def or32(self, insn: Insn) -> None:
        self._bitwise32("|", OR, insn)

    def xor32(self, insn: Insn) -> None:
        if insn.code & isa.X and insn.src == insn.dst:
            self.assign(insn.dst, "0")
            self.set(insn.dst, (0, 0))
        else:
            self._bitwise32("^", XOR, insn)

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
            self.op(dst, "&", AND, _U32)
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
            self.op(dst, ">>", SHIFT, count)
            self.set(dst, (low >> by[1], high >> by[0]))
            return
        low, high = self._sign(dst, 32)
        self.op(dst, ">>", SHIFT, count)
        if low >= 0:
            self.set(dst, (low >> by[1], high >> by[0]))
        else:
            self._low32(dst)


TURNS = (isa.ALU | isa.END | isa.X, isa.ALU64 | isa.END)
_RIGHT = (isa.RSH, isa.ARSH)
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
