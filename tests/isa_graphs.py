"""Random programs that test how a translator writes them: jumps of any kind, and walks in memory.

Both kinds get a context as those of ``isa_programs`` do. ``graph`` jumps anywhere, loops with any
number of entries and exits included; every second block counts down, so it ends. ``walk``
moves pointers about, in loops and by steps up and down, near the ends of their regions.
"""

from __future__ import annotations

import random

from isa_programs import CONTEXT, Case

from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn

_ADD64, _MOV64 = isa.ALU64 | isa.ADD, isa.ALU64 | isa.MOV
_OPS = (
    isa.ADD, isa.SUB, isa.XOR, isa.MUL, isa.LSH, isa.RSH, isa.AND, isa.OR, isa.ARSH, isa.DIV,
    isa.MOD,
)  # fmt: skip
_CONDITIONS = (
    isa.JEQ, isa.JGT, isa.JSET, isa.JNE, isa.JSGT, isa.JLT, isa.JSLE, isa.JGE, isa.JSGE, isa.JLE,
    isa.JSLT,
)  # fmt: skip
_SIZES = (isa.B, isa.H, isa.W, isa.DW)
_ATOMICS = (
    isa.ATOMIC_ADD, isa.ATOMIC_XOR, isa.ATOMIC_ADD | isa.FETCH, isa.ATOMIC_XCHG,
    isa.ATOMIC_CMPXCHG, isa.LOAD_ACQ, isa.STORE_REL,
)  # fmt: skip
_SCALARS = (0, 2, 3, 8)
_LEFT, _CONTEXT = 9, 7  # registers: what is left to do, and the context


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.insns: list[Insn] = []
        self.jumps: list[tuple[int, int]] = []
        self.starts: list[int] = []

    def add(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.insns.append(Insn(code, dst, src, off, imm))

    def jump(self, to: int, code: int, dst: int = 0, src: int = 0, imm: int = 0) -> None:
        self.jumps.append((len(self.insns), to))
        self.add(code, dst, src, imm=imm)

    def end(self, registers: tuple[int, ...]) -> Case:
        self.starts.append(len(self.insns))
        for at, r in enumerate(registers):
            self.add(isa.STX | isa.MEM | isa.DW, _CONTEXT, r, CONTEXT - 8 * (at + 1))
        self.add(isa.EXIT_CODE)
        for at, block in self.jumps:
            distance = self.starts[block] - at - 1
            if self.insns[at].code == isa.JMP32 | isa.JA:
                self.insns[at].imm = distance
            else:
                self.insns[at].off = distance
        return Case(self.insns, self.rng.randbytes(CONTEXT))


def graph(rng: random.Random) -> Case:
    """Blocks that jump anywhere, or to neighbours."""
    make = _Maker(rng)
    count = rng.choice((3, 5, 8, 15, 40))
    near = rng.choice((0, 0.5, 0.9, 1))
    make.add(_MOV64 | isa.K, _LEFT, imm=rng.randrange(5, 60))
    make.add(isa.LDX | isa.MEM | isa.DW, 8, 1)
    make.add(_MOV64 | isa.X, _CONTEXT, 1)
    for r in (0, 2, 3):
        make.add(_MOV64 | isa.K, r, imm=r + 1)
    for block in range(count):
        make.starts.append(len(make.insns))
        _work(make)

        def somewhere(block: int = block) -> int:
            if rng.random() < near:
                return max(0, min(count, block + rng.choice((-2, -1, 1, 1, 2, 2, 3))))
            return rng.randrange(count + 1)

        what = rng.random()
        if what < 0.9:
            make.add(isa.ALU64 | isa.SUB | isa.K, _LEFT, imm=1)
            make.jump(count, isa.JMP | isa.JSLE | isa.K, _LEFT)
        if what < 0.75:
            code = rng.choice((isa.JMP, isa.JMP32)) | rng.choice(_CONDITIONS)
            if rng.random() < 0.5:
                imm = rng.choice((0, 1, 5, -1, 100, 1 << 20))
                make.jump(somewhere(), code | isa.K, rng.choice(_SCALARS), imm=imm)
            else:
                make.jump(somewhere(), code | isa.X, rng.choice(_SCALARS), rng.choice(_SCALARS))
        elif what < 0.8:
            make.jump(somewhere(), isa.JMP | isa.JCOND)
        elif what < 0.9:
            make.jump(somewhere(), rng.choice((isa.JMP, isa.JMP32)) | isa.JA)
        elif what < 0.95:
            make.add(_MOV64 | isa.K, 0, imm=block)
            make.add(isa.EXIT_CODE)
    return make.end((2, 3, 8, 9))


def _work(make: _Maker) -> None:
    rng = make.rng
    for _ in range(rng.randrange(0, 4)):
        code = rng.choice((isa.ALU, isa.ALU64)) | rng.choice(_OPS)
        if rng.random() < 0.6:
            make.add(code | isa.K, rng.choice(_SCALARS), imm=rng.randrange(1, 30))
        else:
            make.add(code | isa.X, rng.choice(_SCALARS), rng.choice((0, 1, 2, 3, 8)))
    if rng.random() < 0.15:
        src = rng.choice(_SCALARS)
        make.add(isa.STX | isa.MEM | isa.DW, _CONTEXT, src, 8 * rng.randrange(2, 20))
    if rng.random() < 0.15:
        make.add(isa.LDX | isa.MEM | isa.H, 3, _CONTEXT, 2 * rng.randrange(2, 60))


def walk(rng: random.Random) -> Case:
    """Nested loops that move pointers: r2 to r5 are pointers, r0 and r8 numbers, r6 an index."""
    make = _Maker(rng)
    pointers, numbers = (2, 3, 4, 5), (0, 8)
    make.add(_MOV64 | isa.X, _CONTEXT, 1)
    for r in (*numbers, 6):
        make.add(isa.LDX | isa.MEM | rng.choice(_SIZES), r, 1, 8 * rng.randrange(4))
    if rng.random() < 0.5:
        make.add(_MOV64 | isa.K, 8, imm=rng.choice((-1, -4, -8, -64)))
    if rng.random() < 0.8:
        make.add(isa.ALU64 | isa.AND | isa.K, 6, imm=rng.choice((3, 7, 31, 255)))
    for r in pointers:
        base = isa.R10 if rng.random() < 0.2 else _CONTEXT
        make.add(_MOV64 | isa.X, r, base)
        low, high = (-512, 0) if base == isa.R10 else (0, CONTEXT)
        place = rng.choice((low, rng.randrange(low, high), high - 8, high - 64))
        make.add(_ADD64 | isa.K, r, imm=place & ~(0 if rng.random() < 0.2 else 7))
        if r > pointers[0] and rng.random() < 0.5:  # of the same origin as the one before
            make.add(_MOV64 | isa.X, r, r - 1)
            make.add(_ADD64 | isa.K, r, imm=rng.choice((4, 8, 16, -8)))
            if rng.random() < 0.5:
                make.add(isa.LDX | isa.MEM | isa.B, rng.choice(numbers), r)

    def step() -> None:
        p, n = rng.choice(pointers), rng.choice(numbers)
        what = rng.random()
        if what < 0.45:
            size = rng.choice(_SIZES)
            off = rng.choice((0, 0, 0, 1, 2, 4, 8, 16, -1, -4, -8, -16))
            if rng.random() < 0.6:
                make.add(isa.LDX | isa.MEM | size, n, p, off)
            elif rng.random() < 0.6:
                make.add(isa.STX | isa.MEM | size, p, n, off)
            elif rng.random() < 0.5:
                imm = rng.choice(_ATOMICS)
                size = rng.choice((isa.W, isa.DW)) if imm < isa.LOAD_ACQ else size
                dst, src = (n, p) if imm == isa.LOAD_ACQ else (p, n)
                make.add(isa.STX | isa.ATOMIC | size, dst, src, off, imm)
            else:
                make.add(isa.ST | isa.MEM | size, p, 0, off, rng.randrange(-100, 100))
        elif what < 0.7:
            make.add(_ADD64 | isa.K, p, imm=rng.choice((1, 2, 4, 8, 8, 16, -1, -4, -8)))
        elif what < 0.78:
            make.add(_MOV64 | isa.X, p, rng.choice(pointers))
            if rng.random() < 0.6:
                make.add(_ADD64 | isa.K, p, imm=rng.choice((1, 4, 8, 16, -8)))
        elif what < 0.86:
            make.add(_MOV64 | isa.X, p, rng.choice((6, rng.choice(pointers))))
            make.add(_ADD64 | isa.X, p, rng.choice((6, 8, rng.choice(pointers))))
            if rng.random() < 0.3:
                make.add(isa.ALU64 | isa.DIV | isa.X, 0, p)  # which makes a number of the pointer
                make.add(_MOV64 | isa.K, 0, imm=3)
                make.add(isa.LDX | isa.MEM | rng.choice(_SIZES), 0, p)
        elif what < 0.9:
            make.add(isa.ALU64 | rng.choice((isa.ADD, isa.SUB)) | isa.X, p, rng.choice((6, n)))
        elif what < 0.95:
            op = rng.choice((isa.ADD, isa.XOR, isa.SUB, isa.DIV, isa.RSH))
            make.add(isa.ALU64 | op | isa.X, n, p)
            make.add(isa.ALU64 | isa.SUB | isa.X, n, _CONTEXT)  # addresses differ between runs
            make.add(isa.ALU64 | isa.AND | isa.K, n, imm=0)
        elif what < 0.97:
            make.add(_ADD64 | isa.K, 6, imm=rng.choice((1, 2, -1)))
        else:
            make.add(isa.CALL_CODE, imm=1)
            make.add(_MOV64 | isa.K, 0, imm=7)

    def block(depth: int) -> None:
        for _ in range(rng.randrange(1, 5)):
            what = rng.random()
            if what < 0.7 or depth > 2:
                step()
            elif what < 0.85:
                at = len(make.starts)
                make.starts.append(-1)
                first, second = rng.sample(pointers, 2)
                make.jump(
                    at, isa.JMP | rng.choice((isa.JGT, isa.JLT, isa.JEQ)) | isa.X, first, second
                )
                block(depth + 1)
                make.starts[at] = len(make.insns)
            else:
                loop(depth)

    def loop(depth: int) -> None:
        """Its counter is in the context, where nothing else is likely to be."""
        where = CONTEXT - 128 + 8 * depth
        make.add(isa.ST | isa.MEM | isa.DW, _CONTEXT, 0, where, rng.randrange(1, 9))
        top = len(make.starts)
        make.starts.append(len(make.insns))
        block(depth + 1)
        make.add(isa.LDX | isa.MEM | isa.DW, _LEFT, _CONTEXT, where)
        make.add(isa.ALU64 | isa.SUB | isa.K, _LEFT, imm=1)
        make.add(isa.STX | isa.MEM | isa.DW, _CONTEXT, _LEFT, where)
        make.jump(top, isa.JMP | isa.JSGT | isa.K, _LEFT)

    for _ in range(rng.randrange(1, 4)):
        loop(0)
    for r in (*pointers, 6):  # where they ended
        make.add(isa.ALU64 | isa.SUB | isa.X, r, _CONTEXT)
        make.add(isa.ALU64 | isa.AND | isa.K, r, imm=0xFFFF)
    return make.end((0, 8, 6))


def origins(rng: random.Random) -> Case:
    """Pointers with one origin, moved and used in loops and branches; none leaves its region."""
    make = _Maker(rng)
    make.add(_MOV64 | isa.X, _CONTEXT, 1)
    make.add(isa.LDX | isa.MEM | isa.DW, 8, 1)
    make.add(_MOV64 | isa.K, 0, imm=1)

    def move() -> None:
        to = rng.choice((2, 3, 4, 5))
        make.add(_MOV64 | isa.X, to, rng.choice((1, 1, 2, 3, 4, 5)))
        if rng.random() < 0.2:
            make.add(_MOV64 | isa.X, to, 1)
        make.add(_ADD64 | isa.K, to, imm=rng.choice((0, 4, 8, 16)))

    def use() -> None:
        base, off, size = rng.randrange(1, 6), rng.choice((0, 0, 1, 8, 16)), rng.choice(_SIZES)
        if rng.random() < 0.75:
            make.add(isa.LDX | isa.MEM | size, 6, base, off)
            make.add(isa.ALU64 | isa.MUL | isa.K, 0, imm=3)
            make.add(_ADD64 | isa.X, 0, 6)
        else:
            make.add(isa.STX | isa.MEM | size, base, 0, off)

    def block(depth: int) -> None:
        for _ in range(rng.randrange(1, 6)):
            what = rng.random()
            if what < 0.25:
                move()
            elif what < 0.7 or depth > 3:
                use()
            elif what < 0.88:
                at = len(make.starts)
                make.starts.append(-1)
                make.jump(at, isa.JMP | isa.JSET | isa.K, 8, imm=1 << rng.randrange(8))
                block(depth + 1)
                make.starts[at] = len(make.insns)
                make.add(_ADD64 | isa.K, 8, imm=1)
            elif what < 0.91:
                make.add(isa.CALL_CODE, imm=1)
            else:
                loop(depth)

    def loop(depth: int) -> None:
        where = -8 * (depth + 1)
        make.add(isa.ST | isa.MEM | isa.DW, isa.R10, 0, where, rng.randrange(2, 4))
        top = len(make.starts)
        make.starts.append(len(make.insns))
        block(depth + 1)
        make.add(isa.LDX | isa.MEM | isa.DW, _LEFT, isa.R10, where)
        make.add(isa.ALU64 | isa.SUB | isa.K, _LEFT, imm=1)
        make.add(isa.STX | isa.MEM | isa.DW, isa.R10, _LEFT, where)
        make.jump(top, isa.JMP | isa.JNE | isa.K, _LEFT)

    for r in (2, 3, 4, 5):
        make.add(_MOV64 | isa.X, r, rng.choice((1, r - 1)))
        make.add(_ADD64 | isa.K, r, imm=rng.choice((0, 8, 16)))
        if rng.random() < 0.5:
            use_of = rng.choice((r, r, 1))
            make.add(isa.LDX | isa.MEM | isa.B, 6, use_of)
    for _ in range(rng.randrange(1, 4)):
        loop(0)
    return make.end((0, 8))
