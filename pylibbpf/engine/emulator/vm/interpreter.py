"""The interpreter: one instruction after the other, each of which can be looked at.

It is the slower of the two executors, and the one to debug and to measure coverage with. What
instructions do is defined here and in :mod:`pylibbpf.isa.alu`; the translator has to agree.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.memory import Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.errors import MemoryFault, RunError
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import OPCODES
from pylibbpf.uapi.helpers import HELPERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.isa.insn import Insn

    Handler = Callable[["Machine", "Frame", Insn], None]
    Hook = Callable[["Frame"], None]

__all__ = ["Coverage", "Frame", "Interpreter", "Machine", "unknown_call"]

# How many instructions pass between two looks at the clock: a power of two.
_PERIOD = 1024


class Frame:
    """A function that is running: ``registers`` (r10 included), ``pc``, and who called it.

    ``pc`` is the number of the instruction that is to run next. ``region`` is the stack frame.
    """

    __slots__ = ("caller", "loops", "pc", "program", "region", "registers", "start")

    def __init__(
        self,
        program: Program,
        start: int,
        region: Region,
        registers: list[int],
        caller: Frame | None,
    ) -> None:
        self.program = program
        self.start = start
        self.region = region
        self.registers = registers
        self.caller = caller
        self.pc = start
        self.loops = isa.LOOPS

    def __repr__(self) -> str:
        return f"<Frame of {self.program.name!r} at {self.pc}>"


class Coverage:
    """How often each instruction ran, of every program that did."""

    def __init__(self) -> None:
        self._counts: dict[Program, list[int]] = {}

    def of(self, program: Program) -> list[int]:
        """Counts by instruction; the second half of a 64-bit constant never runs."""
        counts = self._counts.get(program)
        if counts is None:
            counts = self._counts[program] = [0] * len(program.insns)
        return counts


class Interpreter:
    """An executor. ``trace`` is called with the frame before each instruction, or at ``breaks``.

    ``breaks`` holds pairs of program and instruction number; with it, ``trace`` is called at
    these only. The hook may look at and change the frame; what it raises ends the run. It
    sees functions, callbacks and programs reached by tail calls alike.
    """

    def __init__(
        self,
        *,
        trace: Hook | None = None,
        breaks: set[tuple[Program, int]] | None = None,
        coverage: Coverage | None = None,
    ) -> None:
        self.trace = trace
        self.breaks = breaks
        self.coverage = coverage

    def call(
        self, run: Run, program: Program, start: int, r1: int, r2: int, r3: int, r4: int, r5: int
    ) -> int:
        """Run a function to its end; see :class:`~pylibbpf.engine.emulator.vm.run.Executor`."""
        machine = Machine(self, run, program, start, (r1, r2, r3, r4, r5))
        try:
            while machine.frame is not None:
                machine.step()
        finally:
            machine.close()
        return machine.result


class Machine:
    """A function, and those that it calls, on their way: to be stepped through.

    ``frame`` is the innermost one, None at the end; ``result`` is r0 then. A helper is one step,
    with the callbacks that it calls, as is a tail call with the program that it goes to.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        run: Run,
        program: Program,
        start: int = 0,
        arguments: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0),
    ) -> None:
        self.interpreter = interpreter
        self.run = run
        self.memory = run.memory
        self.result = 0
        self.frame: Frame | None = None
        self.enter(program, start, arguments)

    def step(self) -> None:
        """Run one instruction.

        Raises:
            RunError: it did what none may. The frames stay as they are, to be looked at.
            ValueError: all has run.
        """
        frame = self.frame
        if frame is None:
            raise ValueError("the function has returned")
        at = frame.pc
        run = self.run
        try:
            run.left -= 1
            if run.left < 0 or not run.left & (_PERIOD - 1):
                run.check()
            interpreter = self.interpreter
            if interpreter.trace is not None and (
                interpreter.breaks is None or (frame.program, at) in interpreter.breaks
            ):
                interpreter.trace(frame)
                at = frame.pc
            if interpreter.coverage is not None:
                interpreter.coverage.of(frame.program)[at] += 1
            if at in frame.program.fatal:
                raise RunError(frame.program.fatal[at])
            insn = frame.program.insns[at]
            frame.pc = at + 1
            _HANDLERS[insn.code](self, frame, insn)
        except RunError as error:
            frame.pc = at
            raise frame.program.locate(error, at)  # noqa: B904  # it is the same error

    def enter(self, program: Program, start: int, arguments: tuple[int, ...]) -> None:
        """Call a function of a program: open its frame."""
        region = self.run.enter(program, start)
        registers = [0, *arguments, 0, 0, 0, 0, region.base + region.size]
        self.frame = Frame(program, start, region, registers, self.frame)

    def leave(self, result: int) -> None:
        """Return from the innermost function."""
        frame = self.frame
        assert frame is not None
        self.frame = frame.caller  # first: an interrupt that comes now must not close it again
        self.run.leave(frame.program, frame.start, frame.region)
        if frame.caller is None:
            self.result = result
        else:
            frame.caller.registers[0] = result

    def close(self) -> None:
        """Give up what is left of it."""
        while self.frame is not None:
            self.leave(0)


def _alu64_k(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    r[insn.dst] = alu.BINARY[insn.code & isa.OP_MASK, insn.off](r[insn.dst], insn.imm & alu.U64, 64)


def _alu64_x(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    if insn.off == isa.ADDR_SPACE_CAST and insn.code == isa.ALU64 | isa.MOV | isa.X:
        r[insn.dst] = cast(frame.program, r[insn.src], insn.imm)
        return
    r[insn.dst] = alu.BINARY[insn.code & isa.OP_MASK, insn.off](r[insn.dst], r[insn.src], 64)


def _alu32_k(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    r[insn.dst] = alu.BINARY[insn.code & isa.OP_MASK, insn.off](
        r[insn.dst] & alu.U32, insn.imm & alu.U32, 32
    )


def _alu32_x(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    r[insn.dst] = alu.BINARY[insn.code & isa.OP_MASK, insn.off](
        r[insn.dst] & alu.U32, r[insn.src] & alu.U32, 32
    )


def _le(machine: Machine, frame: Frame, insn: Insn) -> None:
    frame.registers[insn.dst] &= (1 << insn.imm) - 1


def _swap(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    r[insn.dst] = alu.swap(r[insn.dst], insn.imm)


def cast(program: Program, value: int, imm: int) -> int:
    """Turn an arena pointer into one that can be used (TO_KERNEL), or into what user space sees.

    A null pointer stays one. Kernel 6.18, arch/x86/net/bpf_jit_comp.c, insn_is_cast_user().

    Raises:
        RunError: the program has no arena.
    """
    if program.arena is None:
        raise RunError("casts an arena pointer, and the program has no arena")
    low = value & alu.U32
    base = program.arena.base if imm == isa.TO_KERNEL else program.arena_user & ~alu.U32
    return base | low if low else 0


def _probed(frame: Frame, fault: MemoryFault, register: int) -> None:
    """Let a fault pass where the kernel does, and raise it else."""
    if frame.pc - 1 not in frame.program.probes:
        fault.register = register
        raise fault


def _ldx(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    size = isa.SIZES[insn.code & isa.SIZE_MASK]
    try:
        r[insn.dst] = machine.memory.load((r[insn.src] + insn.off) & alu.U64, size)
    except MemoryFault as fault:
        _probed(frame, fault, insn.src)
        r[insn.dst] = 0


def _ldsx(machine: Machine, frame: Frame, insn: Insn) -> None:
    _ldx(machine, frame, insn)
    bits = isa.SIZES[insn.code & isa.SIZE_MASK] * 8
    frame.registers[insn.dst] = alu.signed(frame.registers[insn.dst], bits) & alu.U64


def _store(machine: Machine, frame: Frame, insn: Insn, value: int) -> None:
    size = isa.SIZES[insn.code & isa.SIZE_MASK]
    try:
        machine.memory.store((frame.registers[insn.dst] + insn.off) & alu.U64, size, value)
    except MemoryFault as fault:
        _probed(frame, fault, insn.dst)


def _st(machine: Machine, frame: Frame, insn: Insn) -> None:
    _store(machine, frame, insn, insn.imm)


def _stx(machine: Machine, frame: Frame, insn: Insn) -> None:
    _store(machine, frame, insn, frame.registers[insn.src])


def _atomic(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    memory = machine.memory
    size = isa.SIZES[insn.code & isa.SIZE_MASK]
    imm = insn.imm
    base = insn.src if imm == isa.LOAD_ACQ else insn.dst
    address = (r[base] + insn.off) & alu.U64
    try:
        if imm == isa.LOAD_ACQ:
            r[insn.dst] = memory.load_acquire(address, size)
        elif imm == isa.STORE_REL:
            memory.store_release(address, size, r[insn.src])
        else:
            old = memory.atomic(address, size, imm, r[insn.src], r[0])
            if imm == isa.ATOMIC_CMPXCHG:
                r[0] = old
            elif imm & isa.FETCH:
                r[insn.src] = old
    except MemoryFault as fault:
        _probed(frame, fault, base)
        if imm == isa.LOAD_ACQ:
            r[insn.dst] = 0


def _legacy(machine: Machine, frame: Frame, insn: Insn) -> None:
    """Read a big-endian number of the packet; where there is none, the function ends with 0.

    Kernel 6.18, net/core/filter.c, bpf_gen_ld_abs(): the offset is an int.
    """
    r = frame.registers
    size = isa.SIZES[insn.code & isa.SIZE_MASK]
    offset = insn.imm
    if insn.code & isa.MODE_MASK == isa.IND:
        offset = alu.signed(r[insn.src] + insn.imm, 32)
    if machine.run.packet is None:
        raise RunError("reads the packet, and there is none")
    found = machine.run.packet(r[6], offset, size)
    if found is None:
        machine.leave(0)
    else:
        r[0] = int.from_bytes(found, "big")


def _const(machine: Machine, frame: Frame, insn: Insn) -> None:
    frame.registers[insn.dst] = frame.program.constants[frame.pc - 1]
    frame.pc += 1


def _ja(machine: Machine, frame: Frame, insn: Insn) -> None:
    frame.pc += insn.off


def _ja32(machine: Machine, frame: Frame, insn: Insn) -> None:
    frame.pc += insn.imm


def _gotox(machine: Machine, frame: Frame, insn: Insn) -> None:
    """Go on where a register points: to an instruction of this function, and no other."""
    frame.pc = frame.program.indirect(frame.start, frame.registers[insn.dst])


def _may_goto(machine: Machine, frame: Frame, insn: Insn) -> None:
    if frame.loops:
        frame.loops -= 1
    else:
        frame.pc += insn.off


def _jump_k(machine: Machine, frame: Frame, insn: Insn) -> None:
    imm = insn.imm & alu.U64
    if alu.COMPARISONS[insn.code & isa.OP_MASK](frame.registers[insn.dst], imm, 64):
        frame.pc += insn.off


def _jump_x(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    if alu.COMPARISONS[insn.code & isa.OP_MASK](r[insn.dst], r[insn.src], 64):
        frame.pc += insn.off


def _jump32_k(machine: Machine, frame: Frame, insn: Insn) -> None:
    mine = frame.registers[insn.dst] & alu.U32
    if alu.COMPARISONS[insn.code & isa.OP_MASK](mine, insn.imm & alu.U32, 32):
        frame.pc += insn.off


def _jump32_x(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    mine, other = r[insn.dst] & alu.U32, r[insn.src] & alu.U32
    if alu.COMPARISONS[insn.code & isa.OP_MASK](mine, other, 32):
        frame.pc += insn.off


def _call(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    program = frame.program
    if insn.src == isa.PSEUDO_CALL:
        machine.enter(program, frame.pc + insn.imm, (r[1], r[2], r[3], r[4], r[5]))
        return
    if insn.src == isa.PSEUDO_KFUNC_CALL:
        function = program.kfuncs.get((insn.imm, insn.off))
    elif insn.imm == isa.TAIL_CALL:
        _tail_call(machine, frame)
        return
    else:
        function = program.helpers.get(insn.imm)
    if function is None:
        raise unknown_call(insn)
    r[0] = function(machine.run, r[1], r[2], r[3], r[4], r[5]) & alu.U64


def _tail_call(machine: Machine, frame: Frame) -> None:
    r = frame.registers
    target = machine.run.tail(frame.program, r[1], r[2], r[3])
    if target is not None:
        machine.leave(machine.run.start(target, r[1]))


def _callx(machine: Machine, frame: Frame, insn: Insn) -> None:
    r = frame.registers
    run = machine.run
    # Other implementations let the register hold the number of a helper (bpf_conformance).
    function = frame.program.helpers.get(r[insn.dst])
    if function is not None:
        r[0] = function(run, r[1], r[2], r[3], r[4], r[5]) & alu.U64
        return
    program, start = run.target(r[insn.dst])
    machine.enter(program, start, (r[1], r[2], r[3], r[4], r[5]))


def _exit(machine: Machine, frame: Frame, insn: Insn) -> None:
    machine.leave(frame.registers[0])


def unknown_call(insn: Insn) -> RunError:
    """The error of a call to what there is not."""
    if insn.src == isa.PSEUDO_KFUNC_CALL:
        return RunError(f"calls kernel function {insn.imm}, which there is not here")
    name = f" (bpf_{HELPERS[insn.imm]})" if 0 < insn.imm < len(HELPERS) else ""
    return RunError(f"calls helper {insn.imm}{name}, which there is not here")


def _handler(code: int, kind: str) -> Handler:
    return _SPECIAL.get(code) or _KINDS[kind, code & (isa.CLASS_MASK | isa.X)]


_SPECIAL: dict[int, Handler] = {
    isa.ALU | isa.END | isa.K: _le,
    isa.ALU | isa.END | isa.X: _swap,
    isa.ALU64 | isa.END: _swap,
    isa.CALL_CODE: _call,
    isa.CALL_CODE | isa.X: _callx,
    isa.EXIT_CODE: _exit,
    isa.GOTOX: _gotox,
    isa.JMP | isa.JA: _ja,
    isa.JMP32 | isa.JA: _ja32,
    isa.JMP | isa.JCOND: _may_goto,
    isa.LD_IMM64: _const,
}
_KINDS: dict[tuple[str, int], Handler] = {
    ("alu", isa.ALU64 | isa.K): _alu64_k,
    ("alu", isa.ALU64 | isa.X): _alu64_x,
    ("alu", isa.ALU | isa.K): _alu32_k,
    ("alu", isa.ALU | isa.X): _alu32_x,
    ("cond", isa.JMP | isa.K): _jump_k,
    ("cond", isa.JMP | isa.X): _jump_x,
    ("cond", isa.JMP32 | isa.K): _jump32_k,
    ("cond", isa.JMP32 | isa.X): _jump32_x,
}
_MODES: dict[str, Handler] = {
    "ldx": _ldx,
    "st": _st,
    "stx": _stx,
    "atomic": _atomic,
    "legacy": _legacy,
}
_HANDLERS: dict[int, Handler] = {}
for _row in OPCODES:
    if _row.kind == "cast":
        continue  # it has the opcode of a MOV: see _alu64_x
    if _row.code & isa.CLASS_MASK == isa.LDX and _row.code & isa.MODE_MASK == isa.MEMSX:
        _HANDLERS[_row.code] = _ldsx
    else:
        _HANDLERS[_row.code] = _MODES.get(_row.kind) or _handler(_row.code, _row.kind)
