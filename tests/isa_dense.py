"""Random programs that are arithmetic on few registers, one step made of what the last one left.

What a translator believes of a register (its range, whether its number is masked) it has to hold
through long chains; programs with many registers seldom make any. Numbers near the ends of their
widths are frequent. Jumps go forward only, now and then around a turn of a counted loop.
"""

from __future__ import annotations

import random

from isa_programs import CONTEXT, Case

from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn

_BINARY = (
    isa.ADD, isa.SUB, isa.MUL, isa.DIV, isa.OR, isa.AND, isa.LSH, isa.RSH, isa.MOD, isa.XOR,
    isa.MOV, isa.ARSH,
)  # fmt: skip
_CONDITIONS = (
    isa.JEQ, isa.JGT, isa.JGE, isa.JSET, isa.JNE, isa.JSGT, isa.JSGE, isa.JLT, isa.JLE, isa.JSLT,
    isa.JSLE,
)  # fmt: skip
_ATOMICS = (
    isa.ATOMIC_ADD, isa.ATOMIC_OR, isa.ATOMIC_AND, isa.ATOMIC_XOR,
    isa.ATOMIC_ADD | isa.FETCH, isa.ATOMIC_OR | isa.FETCH, isa.ATOMIC_AND | isa.FETCH,
    isa.ATOMIC_XOR | isa.FETCH, isa.ATOMIC_XCHG, isa.ATOMIC_CMPXCHG, isa.ATOMIC_CMPXCHG,
    isa.LOAD_ACQ, isa.STORE_REL,
)  # fmt: skip
_SIZES = (isa.B, isa.H, isa.W, isa.DW)
_REGISTERS = (0, 2, 3)
_LEFT, _CONTEXT = 9, 7
# Both ends of every width, and what lies beside them.
_ENDS = tuple(
    sorted({sign * (1 << bits) + by for bits in (0, 7, 8, 15, 16, 31, 32, 62, 63)
            for sign in (1, -1) for by in (-1, 0, 1)})
)  # fmt: skip


def _number(rng: random.Random) -> int:
    return rng.choice(_ENDS) if rng.random() < 0.8 else rng.randrange(-(1 << 63), 1 << 63)


def _imm(number: int) -> int:
    return ((number + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def dense(rng: random.Random, *, tame: bool = False) -> Case:
    """Arithmetic, comparisons and atomics on r0, r2 and r3.

    ``tame``: for the kernel's verifier to accept, with its memory on the stack.
    """
    insns: list[Insn] = []
    base, start = (isa.R10, -32) if tame else (_CONTEXT, 0)

    def add(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        insns.append(Insn(code, dst, src, off, imm))

    def constant(r: int) -> None:
        number = _number(rng)
        add(isa.LD_IMM64, r, imm=_imm(number))
        add(0, imm=_imm(number >> 32))

    def arithmetic(r: int) -> None:
        kind = rng.choice((isa.ALU, isa.ALU64))
        op = rng.choice((*_BINARY, isa.NEG, isa.END))
        if op == isa.NEG:
            add(kind | op, r)
        elif op == isa.END:
            code = kind | op | (rng.choice((isa.K, isa.X)) if kind == isa.ALU else 0)
            add(code, r, imm=rng.choice((16, 32, 64)))
        elif rng.random() < 0.6:
            off = int(op in (isa.DIV, isa.MOD) and rng.random() < 0.5)
            if op == isa.MOV and rng.random() < 0.7:
                off = rng.choice((8, 16) if kind == isa.ALU else (8, 16, 32))
            add(kind | op | isa.X, r, rng.choice(_REGISTERS), off)
        else:
            off = int(op in (isa.DIV, isa.MOD) and rng.random() < 0.5)
            imm = _imm(_number(rng))
            if tame and op in (isa.LSH, isa.RSH, isa.ARSH):
                imm &= 31 if kind == isa.ALU else 63
            if tame and op in (isa.DIV, isa.MOD):
                imm = imm or -1
            add(kind | op | isa.K, r, 0, off, imm)

    def memory(r: int) -> None:
        size = rng.choice(_SIZES)
        off = start + 8 * rng.randrange(4)
        what = rng.random()
        if what < 0.3:
            add(isa.LDX | isa.MEM | size, r, base, off)
        elif what < 0.5:
            add(isa.LDX | isa.MEMSX | rng.choice(_SIZES[:3]), r, base, off)
        elif what < 0.6:
            add(isa.STX | isa.MEM | size, base, r, off)
        else:
            imm = rng.choice(_ATOMICS)
            if imm < isa.LOAD_ACQ:
                size = rng.choice((isa.W, isa.DW))
            if imm == isa.ATOMIC_CMPXCHG and rng.random() < 0.7:
                add(isa.LDX | isa.MEM | size, 0, base, off)  # so that it does exchange
                if rng.random() < 0.5:
                    add(isa.ALU64 | isa.LSH | isa.K, r, imm=32)
                    add(isa.ALU64 | isa.OR | isa.X, 0, r)
            dst, src = (r, base) if imm == isa.LOAD_ACQ else (base, r)
            add(isa.STX | isa.ATOMIC | size, dst, src, off, imm)
            if tame and imm == isa.ATOMIC_CMPXCHG and size == isa.W:
                add(isa.ALU | isa.MOV | isa.X, 0, 0)  # see isa_programs: what 6.18 may leave

    def steps() -> None:
        r = rng.choice(_REGISTERS)
        for _ in range(rng.randrange(1, 8)):
            what = rng.random()
            if what < 0.08:
                constant(r)
            elif what < 0.25:
                memory(r)
            else:
                arithmetic(r)
            if rng.random() < 0.2:
                r = rng.choice(_REGISTERS)

    def branch() -> None:
        code = rng.choice((isa.JMP, isa.JMP32)) | rng.choice(_CONDITIONS)
        at = len(insns)
        if rng.random() < 0.5:
            add(code | isa.X, rng.choice(_REGISTERS), rng.choice(_REGISTERS))
        else:
            add(code | isa.K, rng.choice(_REGISTERS), imm=_imm(_number(rng)))
        steps()
        insns[at].off = len(insns) - at - 1

    def loop() -> None:
        add(isa.ALU64 | isa.MOV | isa.K, _LEFT, imm=rng.randrange(1, 5))
        top = len(insns)
        for _ in range(rng.randrange(1, 4)):
            rng.choice((steps, branch))()
        add(isa.ALU64 | isa.SUB | isa.K, _LEFT, imm=1)
        add(isa.JMP | isa.JNE | isa.K, _LEFT, off=top - len(insns) - 1)

    add(isa.ALU64 | isa.MOV | isa.X, _CONTEXT, 1)
    for r in _REGISTERS:
        if rng.random() < 0.5:
            constant(r)
        else:
            add(isa.LDX | isa.MEM | rng.choice(_SIZES), r, _CONTEXT, 8 * rng.randrange(4))
    for at in range(4 if tame else 0):
        add(isa.LDX | isa.MEM | isa.DW, 4, _CONTEXT, 8 * at)
        add(isa.STX | isa.MEM | isa.DW, base, 4, start + 8 * at)
    for _ in range(rng.randrange(1, 6)):
        rng.choice((steps, branch, branch, loop))()
        if rng.random() < 0.3:  # seen from outside, and not only at the end
            off = 64 + 8 * rng.randrange(8)
            add(isa.STX | isa.MEM | isa.DW, _CONTEXT, rng.choice(_REGISTERS), off)
    for at, r in enumerate(_REGISTERS):
        add(isa.STX | isa.MEM | isa.DW, _CONTEXT, r, CONTEXT - 8 * (at + 1))
    add(isa.EXIT_CODE)
    context = b"".join((_number(rng) & (1 << 64) - 1).to_bytes(8, "little") for _ in range(4))
    return Case(insns, context + rng.randbytes(CONTEXT - len(context)))
