"""Random programs for the instruction set: for executors against each other, and the kernel.

They get a context of ``CONTEXT`` bytes in r1, read and write it, and leave all their registers and
the used part of their stack in it at the end: a difference anywhere shows. Loops are short.
``tame`` programs are made for the kernel's verifier (program type SYSCALL) to accept: no pointer
that it could not follow, no constant division by zero or too wide shift. The others do all of
these too, now and then, and may fault.

``programs()`` is for hypothesis, ``make(rng)`` for many.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pylibbpf.engine.emulator.vm.memory import CONTEXT as CONTEXT_KIND
from pylibbpf.engine.emulator.vm.memory import Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.errors import RunError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.disasm import disassemble
from pylibbpf.isa.insn import Insn

# Machines differ: no deadline.
CALM = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

CONTEXT = 256
_SLOTS = 8  # of 8 bytes, of each stack frame
_POINTER = 9  # the register that holds the context in the main function
_OPS = (
    isa.ADD, isa.SUB, isa.MUL, isa.DIV, isa.OR, isa.AND, isa.LSH, isa.RSH, isa.MOD, isa.XOR,
    isa.MOV, isa.ARSH, isa.NEG,
)  # fmt: skip
_CONDITIONS = (
    isa.JEQ, isa.JGT, isa.JGE, isa.JSET, isa.JNE, isa.JSGT, isa.JSGE, isa.JLT, isa.JLE, isa.JSLT,
    isa.JSLE,
)  # fmt: skip
_SIZES = (isa.B, isa.H, isa.W, isa.DW)
_ATOMICS = (
    isa.ATOMIC_ADD, isa.ATOMIC_OR, isa.ATOMIC_AND, isa.ATOMIC_XOR,
    isa.ATOMIC_ADD | isa.FETCH, isa.ATOMIC_OR | isa.FETCH, isa.ATOMIC_AND | isa.FETCH,
    isa.ATOMIC_XOR | isa.FETCH, isa.ATOMIC_XCHG, isa.ATOMIC_CMPXCHG,
)  # fmt: skip
_INTERESTING = (0, 1, 2, -1, -2, 7, 8, 31, 32, 63, 64, 255, 256, 0x7FFF, 0x7FFFFFFF, -0x80000000)


@dataclass(frozen=True)
class Case:
    """A program, and the context that it starts with."""

    insns: list[Insn]
    context: bytes

    def __repr__(self) -> str:
        text = "\n".join(f"{at:4}: {line}" for at, line in disassemble(self.insns))
        return f"<Case context {self.context.hex()}\n{text}\n>"


@dataclass(frozen=True)
class Outcome:
    """What came of a run: r0 and the context, or which error at which instruction."""

    r0: int | None
    context: bytes | None
    error: str | None = None
    insn: int | None = None


@dataclass
class _Maker:
    rng: random.Random
    tame: bool
    budget: int
    insns: list[Insn] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)
    callees: range = range(0)
    main: bool = True

    @property
    def registers(self) -> range:
        """The scalars: in main r9 holds the context."""
        return range(9)

    def add(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> int:
        self.insns.append(Insn(code, dst, src, off, imm))
        return len(self.insns) - 1

    def any(self) -> int:
        return self.rng.choice(self.registers)

    def imm(self) -> int:
        if self.rng.random() < 0.5:
            return self.rng.choice(_INTERESTING)
        return self.rng.randrange(-(1 << 31), 1 << 31)

    def slot(self, size: int) -> int:
        """An aligned offset into the used part of the stack."""
        return -self.rng.randrange(size, _SLOTS * 8 + 1, size)

    def alu(self) -> None:
        rng = self.rng
        kind = rng.choice((isa.ALU, isa.ALU64))
        op = rng.choice(_OPS)
        dst = self.any()
        if op == isa.NEG:
            self.add(kind | op, dst)
            return
        off = int(op in (isa.DIV, isa.MOD) and rng.random() < 0.5)
        if rng.random() < 0.5:
            src = self.any()
            if op == isa.MOV and rng.random() < 0.5:
                off = rng.choice((8, 16) if kind == isa.ALU else (8, 16, 32))
            self.add(kind | op | isa.X, dst, src, off)
            return
        imm = self.imm()
        if self.tame or rng.random() < 0.9:
            if op in (isa.LSH, isa.RSH, isa.ARSH):
                imm &= 31 if kind == isa.ALU else 63
            if op in (isa.DIV, isa.MOD) and not imm:
                imm = 3
        self.add(kind | op | isa.K, dst, 0, off, imm)

    def end(self) -> None:
        code = self.rng.choice((isa.ALU | isa.END, isa.ALU | isa.END | isa.X, isa.ALU64 | isa.END))
        self.add(code, self.any(), imm=self.rng.choice((16, 32, 64)))

    def constant(self) -> None:
        self.add(isa.LD_IMM64, self.any(), imm=self.imm())
        self.add(0, imm=self.imm())

    def memory(self) -> None:
        """A load or store, of the stack or the context."""
        rng = self.rng
        size_code = rng.choice(_SIZES)
        size = isa.SIZES[size_code]
        if self.main and rng.random() < 0.4:
            base, off = _POINTER, rng.randrange(0, CONTEXT - 128, size)
        else:
            base, off = isa.R10, self.slot(size)
        what = rng.randrange(4)
        if what == 0:
            self.add(isa.LDX | isa.MEM | size_code, self.any(), base, off)
        elif what == 1 and size < 8 and base != _POINTER:
            self.add(isa.LDX | isa.MEMSX | size_code, self.any(), base, off)
        elif what == 2:
            self.add(isa.ST | isa.MEM | size_code, base, 0, off, self.imm())
        else:
            self.add(isa.STX | isa.MEM | size_code, base, self.any(), off)

    def pointer(self) -> None:
        """An access through a copy of r10 that was moved."""
        rng = self.rng
        size_code = rng.choice(_SIZES)
        low = rng.randrange(8, _SLOTS * 8 + 1, 8)
        off = rng.randrange(0, low, isa.SIZES[size_code])
        p, value = rng.sample(self.registers, 2)
        self.add(isa.ALU64 | isa.MOV | isa.X, p, isa.R10)
        self.add(isa.ALU64 | isa.ADD | isa.K, p, imm=-low)
        if rng.random() < 0.5:
            self.add(isa.LDX | isa.MEM | size_code, value, p, off)
        else:
            self.add(isa.STX | isa.MEM | size_code, p, value, off)
        self.add(isa.ALU64 | isa.MOV | isa.K, p, imm=self.imm())

    def atomic(self) -> None:
        rng = self.rng
        if rng.random() < 0.3:
            size_code = rng.choice(_SIZES)
            code = isa.STX | isa.ATOMIC | size_code
            off = self.slot(isa.SIZES[size_code])
            if rng.random() < 0.5:
                self.add(code, self.any(), isa.R10, off, isa.LOAD_ACQ)
            else:
                self.add(code, isa.R10, self.any(), off, isa.STORE_REL)
            return
        size_code = rng.choice((isa.W, isa.DW))
        imm = rng.choice(_ATOMICS)
        off = self.slot(isa.SIZES[size_code])
        self.add(isa.STX | isa.ATOMIC | size_code, isa.R10, self.any(), off, imm)
        if self.tame and imm == isa.ATOMIC_CMPXCHG and size_code == isa.W:
            # x86 leaves the upper half of r0 where the exchange is done. The kernel adds this very
            # instruction where somebody reads it, but 6.18 misses some: it marks the cmpxchg when
            # its verifier comes to the read, and does not come there on paths that it prunes.
            self.add(isa.ALU | isa.MOV | isa.X, 0, 0)

    def wild(self) -> None:
        """An access that may be anywhere, or something else that ends a run."""
        rng = self.rng
        if rng.random() < 0.1:
            self.add(isa.ALU64 | isa.ADD | isa.K, isa.R10, imm=self.imm())
            return
        base = rng.choice((*self.registers, _POINTER, isa.R10))
        size_code = rng.choice(_SIZES)
        off = rng.choice((rng.randrange(-600, 600), rng.randrange(-32768, 32768)))
        code = rng.choice((isa.LDX | isa.MEM, isa.STX | isa.MEM)) | size_code
        if code & isa.CLASS_MASK == isa.LDX:
            self.add(code, self.any(), base, off)
        else:
            self.add(code, base, self.any(), off)

    def condition(self) -> int:
        """A conditional jump, whose distance is filled in later."""
        rng = self.rng
        code = rng.choice((isa.JMP, isa.JMP32)) | rng.choice(_CONDITIONS)
        if rng.random() < 0.5:
            return self.add(code | isa.X, self.any(), self.any())
        return self.add(code | isa.K, self.any(), imm=self.imm())

    def land(self, jump: int) -> None:
        """Let a jump come here."""
        insn = self.insns[jump]
        distance = len(self.insns) - jump - 1
        if insn.code == isa.JMP32 | isa.JA:
            insn.imm = distance
        else:
            insn.off = distance

    def branch(self, depth: int) -> None:
        jump = self.condition()
        self.block(depth + 1)
        if self.rng.random() < 0.5:
            code = self.rng.choice((isa.JMP | isa.JA, isa.JMP32 | isa.JA))
            out = self.add(code)
            self.land(jump)
            self.block(depth + 1)
            self.land(out)
        else:
            self.land(jump)

    def loop(self, depth: int) -> None:
        """A short loop whose counter is on the stack, below what others use."""
        rng = self.rng
        counter = -(_SLOTS + 1 + depth) * 8
        self.add(isa.ST | isa.MEM | isa.DW, isa.R10, 0, counter, rng.randrange(1, 4))
        top = len(self.insns)
        out = None
        if rng.random() < 0.3:
            out = self.add(isa.JMP | isa.JCOND)
        self.block(depth + 1, small=True)
        r = self.any()
        self.add(isa.LDX | isa.MEM | isa.DW, r, isa.R10, counter)
        self.add(isa.ALU64 | isa.SUB | isa.K, r, imm=1)
        self.add(isa.STX | isa.MEM | isa.DW, isa.R10, r, counter)
        self.add(isa.JMP | isa.JNE | isa.K, r, off=top - len(self.insns) - 1)
        if out is not None:
            self.land(out)

    def call(self) -> None:
        if not self.callees:
            return
        callee = self.rng.choice(self.callees)
        self.calls.append((self.add(isa.CALL_CODE, 0, isa.PSEUDO_CALL), callee))
        for r in range(1, 6):  # nobody may read these now
            self.add(isa.LDX | isa.MEM | isa.DW, r, isa.R10, self.slot(8))

    def block(self, depth: int, small: bool = False) -> None:
        rng = self.rng
        for _ in range(rng.randrange(1, 4 if small or depth else 12)):
            if len(self.insns) > self.budget:
                return
            what = rng.random()
            if what < 0.45:
                self.alu()
            elif what < 0.5:
                self.end()
            elif what < 0.55:
                self.constant()
            elif what < 0.7:
                self.memory()
            elif what < 0.75:
                self.pointer()
            elif what < 0.83:
                self.atomic()
            elif what < 0.93 and depth < 3:
                self.branch(depth)
            elif what < 0.96 and depth < 2:
                self.loop(depth)
            elif what < 0.98:
                self.call()
            elif not self.tame:
                self.wild()

    def prologue(self) -> None:
        rng = self.rng
        if self.main:
            self.add(isa.ALU64 | isa.MOV | isa.X, _POINTER, 1)
        for r in self.registers if self.main else (0, 6, 7, 8):
            if self.main:
                size_code = rng.choice((isa.DW, isa.DW, isa.W, isa.B))
                size = isa.SIZES[size_code]
                off = rng.randrange(0, CONTEXT // 2, size)
                self.add(isa.LDX | isa.MEM | size_code, r, _POINTER, off)
            else:
                self.add(isa.ALU64 | isa.MOV | isa.K, r, imm=self.imm())
        for slot in range(_SLOTS):
            self.add(isa.STX | isa.MEM | isa.DW, isa.R10, self.any(), -8 * (slot + 1))

    def epilogue(self) -> None:
        if self.main:
            for at, r in enumerate(self.registers):
                self.add(isa.STX | isa.MEM | isa.DW, _POINTER, r, CONTEXT - 8 * (at + 1))
            for slot in range(3):
                self.add(isa.LDX | isa.MEM | isa.DW, 1, isa.R10, -8 * (slot + 1))
                off = CONTEXT - 8 * (len(self.registers) + slot + 1)
                self.add(isa.STX | isa.MEM | isa.DW, _POINTER, 1, off)
        self.add(isa.EXIT_CODE)


def make(rng: random.Random, *, tame: bool = False, size: int = 60) -> Case:
    """Make a program of about ``size`` instructions at most, besides what frames it."""
    functions = rng.choice((0, 0, 1, 2))
    makers = []
    for number in range(functions + 1):
        maker = _Maker(rng, tame, size // (number + 1), main=not number)
        maker.callees = range(number + 1, functions + 1)  # those behind it: no recursion
        maker.prologue()
        maker.block(0)
        maker.epilogue()
        makers.append(maker)
    used = [0]
    for number in used:  # grows meanwhile; what nobody calls the kernel would refuse
        called = dict.fromkeys(callee for _, callee in makers[number].calls)
        used += [callee for callee in called if callee not in used]
    insns: list[Insn] = []
    starts = {}
    for number in used:
        starts[number] = len(insns)
        insns += makers[number].insns
    for number in used:
        for at, callee in makers[number].calls:
            insns[starts[number] + at].imm = starts[callee] - starts[number] - at - 1
    return Case(insns, rng.randbytes(CONTEXT))


@st.composite
def programs(draw: Any, *, tame: bool = False) -> Case:
    """The same for hypothesis, which makes them smaller where they show something."""
    return make(draw(st.randoms(use_true_random=False)), tame=tame, size=40)


def outcome(executor: Any, case: Case, *, budget: int = 1 << 20, helpers: Any = None) -> Outcome:
    """Run a case by an executor."""
    memory = Memory()
    context = memory.map(Region(bytearray(case.context), CONTEXT_KIND))
    program = Program(case.insns, memory, helpers=helpers)
    run = Run(executor, memory, budget=budget)
    try:
        r0 = run.start(program, context.base, len(case.context))
    except RunError as error:
        return Outcome(None, None, type(error).__name__, error.insn)
    assert context.data is not None
    return Outcome(r0, bytes(context.data))


def hostile(rng: random.Random) -> bytes:
    """Bytes that are nearly a program: a random one with fields changed, or nothing of the kind."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(0, 80))
    insns = make(rng, size=rng.choice((0, 5, 20))).insns
    if rng.random() < 0.6:
        at = rng.randrange(len(insns))
        insns = [*insns[at : at + rng.randrange(1, 12)], Insn(isa.EXIT_CODE)]
    code = bytearray(isa.encode(insns))
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(code))
        code[at] = rng.choice((rng.randrange(256), code[at] ^ 1 << rng.randrange(8)))
    if rng.random() < 0.1:
        del code[rng.randrange(len(code)) :]
    return bytes(code)
