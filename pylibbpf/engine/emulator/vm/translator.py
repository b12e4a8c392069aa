"""The translator: programs become Python functions. The default executor.

Each function of a program is one Python function, made when it has run for a while and kept by
what the program consists of, so that loading the same program again costs nothing. See ``flow.py``,
``layout.py`` and ``statements.py`` for the text.

To translate an instruction takes as long as to interpret it ten times. So a function is interpreted
until it has done a number of instructions for each that it has: a program that runs a few times is
not worth more. Where that happens in the middle of a loop, what remains is translated by itself: a
function that goes on from there.

What a statement cannot do (an access that needs a closer look, or may not be) is done by the
interpreter, which goes on from there to the end of the function: so both executors have one
meaning, and their errors are the same. Such an access is remembered, and written out differently
when the program is next run. A budget of few instructions is left to the interpreter as well: it
counts each, where the translator counts turns of loops.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from types import CodeType, FunctionType

from pylibbpf.engine.emulator.vm.flow import Flow
from pylibbpf.engine.emulator.vm.interpreter import Frame, Interpreter, Machine, unknown_call
from pylibbpf.engine.emulator.vm.known import Known
from pylibbpf.engine.emulator.vm.layout import write
from pylibbpf.engine.emulator.vm.names import SHARED, memory_names, settle, spend
from pylibbpf.engine.emulator.vm.run import BEFORE_TAIL_CALL
from pylibbpf.engine.emulator.vm.statements import Statements
from pylibbpf.errors import MemoryFault, RunError
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pylibbpf.engine.emulator.vm.program import Program
    from pylibbpf.engine.emulator.vm.run import Run
    from pylibbpf.isa.insn import Insn

    Function = Callable[[Run, int, int, int, int, int], int]
    Slot = tuple[int, int]  # offset in the stack frame, and size

__all__ = ["EXACT", "PATIENCE", "Translator"]

# A run that may do no more instructions than this is interpreted.
EXACT = 1 << 16
# So many instructions are interpreted for each that a function has, before it is translated: this
# costs at most half of what translating it does, and often saves that.
PATIENCE = 4
# Programs kept translated, in all.
_KEPT = 512
# How often a program is translated anew for accesses that did not fit; then all are written so.
_AGAIN = 4


class _Text:
    """A function as Python text, compiled.

    ``places`` are the instructions of its lines. ``slots`` are the variables that hold a part of
    its stack frame.
    """

    __slots__ = ("code", "names", "places", "slots")

    def __init__(
        self, code: CodeType, places: list[int], names: frozenset[str], slots: dict[str, Slot]
    ) -> None:
        self.code = code
        self.places = places
        self.names = names
        self.slots = slots


class _Translation:
    """A program's text. ``slow`` are the accesses that a statement cannot do.

    ``interpreted`` is how many instructions of a function were, before it was translated.
    """

    __slots__ = ("again", "interpreted", "slow", "texts", "version")

    def __init__(self) -> None:
        self.texts: dict[int, _Text] = {}
        self.interpreted: dict[int, int] = {}
        self.slow: frozenset[int] = frozenset()
        self.version = 0
        self.again = 0

    def learn(self, program: Program, accesses: set[int]) -> None:
        """Write these accesses differently from now on."""
        slow = self.slow | accesses
        if slow == self.slow:
            return
        self.again += 1
        if self.again >= _AGAIN:
            slow = frozenset(
                at
                for at, insn in enumerate(program.insns)
                if insn.code & isa.CLASS_MASK in (isa.LDX, isa.ST, isa.STX)
            )
        self.slow = slow
        self.texts = {}
        self.version += 1


class Bound:
    """A program's functions, with what is its own: memory, helpers, constants."""

    __slots__ = ("functions", "globals", "patience", "translation", "version")

    def __init__(self, program: Program, translation: _Translation, patience: int) -> None:
        self.translation = translation
        self.patience = patience
        self.version = translation.version
        self.functions: dict[int, Function] = {}
        self.globals = {**SHARED, **memory_names(program.memory), "PR": program}


class Translator:
    """An executor. One is enough for a process; any thread may use it.

    ``patience``: how many instructions are interpreted for each that a function has, before it is
    translated; 0: it is when it is first run.
    """

    def __init__(self, *, patience: int = PATIENCE) -> None:
        self.patience = patience
        self._translations: dict[bytes, _Translation] = {}

    def call(
        self, run: Run, program: Program, start: int, r1: int, r2: int, r3: int, r4: int, r5: int
    ) -> int:
        """Run a function to its end; see :class:`~pylibbpf.engine.emulator.vm.run.Executor`."""
        if run.left < EXACT:
            settle(run)
            return _INTERPRETER.call(run, program, start, r1, r2, r3, r4, r5)
        bound = program.translated
        if bound is None or bound.version != bound.translation.version:
            bound = program.translated = Bound(program, self._translation(program), self.patience)
        if not start:
            run.left -= 1
            if run.deadline is not None or not run.left & 0xFF:
                spend(run)
        function = bound.functions.get(start)
        if function is None:
            function = _first(program, bound, start)
        return function(run, r1, r2, r3, r4, r5)

    def source(self, program: Program, start: int) -> str:
        """Give the Python text of a function, to be looked at; empty: it is interpreted."""
        if _indirect(program, start):
            return ""
        return _write(program, start, self._translation(program).slow)[0]

    def _translation(self, program: Program) -> _Translation:
        digest = hashlib.sha256(isa.encode(program.insns))
        digest.update(repr((sorted(program.probes), sorted(program.depths.items()))).encode())
        key = digest.digest()
        there = self._translations.get(key)
        if there is None:
            # The oldest go first; a program that is loaded holds its own.
            while len(self._translations) >= _KEPT:
                self._translations.pop(next(iter(self._translations)), None)
            there = self._translations.setdefault(key, _Translation())
        return there


# ----------------------------------------------------------------------------------- functions


def _write(
    program: Program, start: int, slow: frozenset[int], entry: int | None = None
) -> tuple[str, list[int], set[str], dict[str, Slot]]:
    """Write a function: its text, the instruction of each line, its global names, its slots.

    ``entry``: write what goes on from this instruction, in a frame that is open.
    """
    insns = program.insns
    flow = Flow(insns, start, _end(program, start), start if entry is None else entry)
    shown = entry is not None or _shown(flow, program.probes)
    slots, read = ({}, []) if shown else _slots(flow)
    names = {offset: name for name, (offset, _) in slots.items()}
    out = Statements(insns, slow=slow, probes=program.probes, fatal=program.fatal, slots=names)
    known = Known()
    zero = [r for r in (0, 6, 7, 8, 9) if flow.entry_live >> r & 1] if entry is None else []
    for r in zero:
        known.ranges[r] = (0, 0)
    out.indent = "  "
    costs = write(flow, out, known)
    out.end_line()
    if entry is None:
        head, leave = _opening(program, start, shown, flow.calls)
        if out.stack and not shown:
            head.append(f" k=B({isa.STACK_SIZE})")
        if zero or read:
            head.append(f" {'='.join([*(f'r{r}' for r in zero), *read])}=0")
        if flow.may_goto:
            head.append(f" m={isa.LOOPS}")
        rest = f"R{start}"
    else:
        registers = ",".join(f"r{r}" for r in range(isa.R10))
        head = [f"def O{entry}(run,{registers},f,m):", f" k=f.data;r10=f.base+{isa.STACK_SIZE}"]
        leave = []
        rest = f"R{start}_{entry}"
    head += [f" g{at}=fuel(run,{cost})" for at, cost in sorted(costs.items())]
    head.append(" try:")
    tail = [f" except E as e:return {rest}(run,e)"]
    if leave:
        tail.append(f" finally:{';'.join(leave)}")
    lines = [*head, *out.lines, *tail, ""]
    places = [start] * len(head) + out.places
    return "\n".join(lines), places, out.names, slots


def _opening(program: Program, start: int, shown: bool, calls: bool) -> tuple[list[str], list[str]]:
    """The lines that open a frame, and the statements that close it."""
    depth = program.depths[start]
    head = [f"def F{start}(run,r1,r2,r3,r4,r5):"]
    if start:
        head += [" run.left-=1", " if run.left<0 or not run.left&255:spend(run)"]
    deep = isa.STACK_SIZE - depth
    if start and start in program.tail_callers:
        deep = min(deep, BEFORE_TAIL_CALL - 1)
    # Raises: this is what Run.enter() finds wrong.
    head.append(f" if run.frames>={isa.FRAMES} or run.stack>{deep}:run.enter(PR,{start})")
    leave = []
    if shown or calls:
        head.append(f" run.frames+=1;run.stack+={depth}")
        leave.append(f"run.frames-=1;run.stack-={depth}")
    if shown:
        head.append(f" f=frame(run);k=f.data;r10=f.base+{isa.STACK_SIZE}")
        leave.append("close(f)")
    return head, leave


def _shown(flow: Flow, probes: frozenset[int]) -> bool:
    """Whether others may see the stack frame."""
    insns = flow.insns
    return any(at in probes or not _plain(insns[at]) for at in flow.with_r10)


def _slots(flow: Flow) -> tuple[dict[str, Slot], list[str]]:
    """Find parts of a stack frame that nobody sees, and that are read and written as a whole only.

    Each is a variable: compilers keep registers there. Those that are read are told, too.
    """
    found: dict[Slot, bool] = {}
    for at in flow.with_r10:
        insn = flow.insns[at]
        slot = (isa.STACK_SIZE + insn.off, isa.SIZES[insn.code & isa.SIZE_MASK])
        found[slot] = found.get(slot, False) or insn.code & isa.CLASS_MASK == isa.LDX
    slots: dict[str, Slot] = {}
    read: list[str] = []
    order = sorted(found)
    end = 0
    for place, slot in enumerate(order):
        start, size = slot
        alone = end <= start and (place + 1 == len(order) or start + size <= order[place + 1][0])
        end = max(end, start + size)
        if alone:
            name = f"s{start}"
            slots[name] = slot
            if found[slot]:
                read.append(name)
    return slots, read


def _plain(insn: Insn) -> bool:
    """Whether an instruction reads or writes the stack frame, and does nothing else with r10."""
    code = insn.code
    kind = code & isa.CLASS_MASK
    if kind == isa.LDX:
        pass
    elif kind == isa.ST or (kind == isa.STX and code & isa.MODE_MASK == isa.MEM):
        if kind == isa.STX and insn.src == isa.R10:
            return False
    else:
        return False
    size = isa.SIZES[code & isa.SIZE_MASK]
    return -isa.STACK_SIZE <= insn.off <= -size and not insn.off & (size - 1)


def _first(program: Program, bound: Bound, start: int) -> Function:
    """What runs a function that has not run in this program."""
    translation = bound.translation
    most = bound.patience * (_end(program, start) - start)
    loops = start in program.loops and not _indirect(program, start)
    if not most or start in translation.texts:
        return _function(program, bound, start)

    def interpret(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        interpreted = translation.interpreted
        left = most - interpreted.get(start, 0)
        if left <= 0:
            return _function(program, bound, start)(run, r1, r2, r3, r4, r5)
        if not start:
            run.left += 1  # the first instruction is not counted twice
        machine = _Cold(_INTERPRETER, run, program, start, (r1, r2, r3, r4, r5))
        steps = 0
        try:
            while (frame := machine.frame) is not None:
                if steps >= left and loops and run.left >= EXACT:
                    go_on = _remainder(program, bound, start, frame.pc)
                    registers = frame.registers[: isa.R10]
                    machine.leave(go_on(run, *registers, frame.region, frame.loops))
                    break
                steps += 1
                machine.step()
        finally:
            machine.close()
            interpreted[start] = interpreted.get(start, 0) + steps
        return machine.result

    bound.functions[start] = interpret
    return interpret


class _Cold(Machine):
    """A function that is interpreted, while those that it calls may be translated."""

    def enter(self, program: Program, start: int, arguments: tuple[int, ...]) -> None:
        caller = self.frame
        if caller is None:
            super().enter(program, start, arguments)
        else:
            r1, r2, r3, r4, r5 = arguments
            run = self.run
            caller.registers[0] = run.executor.call(run, program, start, r1, r2, r3, r4, r5)


def _end(program: Program, start: int) -> int:
    """Where a function ends."""
    starts = program.starts
    place = bisect_right(starts, start)
    return starts[place] if place < len(starts) else len(program.insns)


def _function(program: Program, bound: Bound, start: int) -> Function:
    """Make a function, or take the one that there is."""
    if _indirect(program, start):
        function = bound.functions[start] = bound.globals[f"F{start}"] = _interpreted(
            program, start
        )
        return function
    translation = bound.translation
    text = translation.texts.get(start)
    if text is None:
        text = _compile(program, start, translation.slow)
        if bound.version == translation.version:
            translation.texts[start] = text
    rest = _rest(program, start, text, translation)
    function = _bind(program, bound, text, f"R{start}", rest)
    bound.globals[f"F{start}"] = bound.functions[start] = function
    return function


def _remainder(program: Program, bound: Bound, start: int, entry: int) -> Callable[..., int]:
    """Make what goes on from an instruction of a function, in its frame, to the end.

    It gets r0 to r9, the region of the frame, and what may_goto lets pass.
    """
    translation = bound.translation
    text = _compile(program, start, translation.slow, entry)
    rest = _rest(program, start, text, translation)
    return _bind(program, bound, text, f"R{start}_{entry}", rest)


def _compile(program: Program, start: int, slow: frozenset[int], entry: int | None = None) -> _Text:
    source, places, names, slots = _write(program, start, slow, entry)
    module = compile(source, f"<bpf {program.name or 'program'}>", "exec", dont_inherit=True)
    return _Text(_code(module), places, frozenset(names), slots)


def _bind(
    program: Program, bound: Bound, text: _Text, name: str, rest: Callable[[Run, Exception], int]
) -> FunctionType:
    """Make a function of a text; ``rest`` is what it calls where a statement fails."""
    known = bound.globals
    for each in text.names:
        if each not in known:
            known[each] = _named(program, bound, each)
    known[name] = rest
    return FunctionType(text.code, known)


def _indirect(program: Program, start: int) -> bool:
    """Whether a function jumps to where registers point: there is no graph of it, then."""
    return any(insn.code == isa.GOTOX for insn in program.insns[start : _end(program, start)])


def _interpreted(program: Program, start: int) -> Function:
    def call(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        settle(run)
        if not start:
            run.left += 1  # the first instruction is not counted twice
        return _INTERPRETER.call(run, program, start, r1, r2, r3, r4, r5)

    return call


def _code(module: CodeType) -> CodeType:
    for constant in module.co_consts:
        if isinstance(constant, CodeType):
            return constant
    raise AssertionError("no function in what was compiled")


def _named(program: Program, bound: Bound, name: str) -> object:
    """What a name in the text of a program means."""
    kind, rest = name[0], name[1:]
    if kind == "F":
        return _later(program, bound, int(rest))
    if kind == "c" and rest.isdecimal():
        return program.constants[int(rest)]
    if kind == "h":
        number = alu.signed(int(rest), 32)
        return program.helpers.get(number) or _unknown(isa.Insn(isa.CALL_CODE, imm=number))
    if kind == "f":
        number, off = (int(part) for part in rest.split("_"))
        key = (alu.signed(number, 32), alu.signed(off, 16))
        call = isa.Insn(isa.CALL_CODE, 0, isa.PSEUDO_KFUNC_CALL, key[1], key[0])
        return program.kfuncs.get(key) or _unknown(call)
    if name == "callx":
        return _callx(program)
    raise AssertionError(f"what is {name!r}?")


def _later(program: Program, bound: Bound, start: int) -> Function:
    """A function that is not translated before it is called."""

    def first(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        function = bound.functions.get(start) or _first(program, bound, start)
        return function(run, r1, r2, r3, r4, r5)

    return first


def _unknown(insn: Insn) -> Function:
    def call(run: Run, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        raise unknown_call(insn)

    return call


def _callx(program: Program) -> Callable[..., int]:
    def callx(run: Run, what: int, r1: int, r2: int, r3: int, r4: int, r5: int) -> int:
        helper = program.helpers.get(what)
        if helper is not None:
            return helper(run, r1, r2, r3, r4, r5) & alu.U64
        return run.call(what, r1, r2, r3, r4, r5)

    return callx


# ------------------------------------------------------------------------------------ the rest


class _Rest(Machine):
    """The rest of a function whose frame somebody else opened, and will close."""

    def __init__(self, run: Run, frame: Frame) -> None:
        self.interpreter = _INTERPRETER
        self.run = run
        self.memory = run.memory
        self.result = 0
        self.frame = frame
        self.first = frame

    def leave(self, result: int) -> None:
        if self.frame is self.first:
            self.frame = None
            self.result = result
        else:
            super().leave(result)


def _rest(
    program: Program, start: int, text: _Text, translation: _Translation
) -> Callable[[Run, Exception], int]:
    """What to do where a statement of a function failed."""
    places = text.places

    def rest(run: Run, error: Exception) -> int:
        traceback = error.__traceback__
        assert traceback is not None
        at = places[traceback.tb_lineno - 1]
        insn = program.insns[at]
        access = insn.code & isa.CLASS_MASK in (isa.LDX, isa.ST, isa.STX)
        if isinstance(error, RunError):
            if access and isinstance(error, MemoryFault) and error.insn is None:
                error.register = _base(insn)
            raise program.locate(error, at)
        if traceback.tb_next is not None or not access:
            raise error  # not ours: a helper is broken
        return _go_on(run, program, start, at, traceback, translation, text)

    return rest


def _base(insn: Insn) -> int:
    """The register that holds the address of an access."""
    if insn.code & isa.CLASS_MASK == isa.LDX:
        return insn.src
    if insn.code & isa.MODE_MASK == isa.ATOMIC and insn.imm == isa.LOAD_ACQ:
        return insn.src
    return insn.dst


def _go_on(
    run: Run,
    program: Program,
    start: int,
    at: int,
    traceback: TracebackType,
    translation: _Translation,
    text: _Text,
) -> int:
    """Interpret a function from an access on that a statement could not do."""
    settle(run)
    if at == start:
        run.left += 1  # the first instruction was counted when the function began
    names = traceback.tb_frame.f_locals
    registers = [names.get(f"r{r}", 0) & alu.U64 for r in range(isa.REGISTERS)]
    region = names.get("f")
    own = region is None
    if region is None:
        data = names.get("k", None) or bytearray(isa.STACK_SIZE)
        for name, (offset, size) in text.slots.items():
            data[offset : offset + size] = names.get(name, 0).to_bytes(size, "little")
        region = run.memory.open_frame(run)
        region.data = data
        registers[isa.R10] = region.base + isa.STACK_SIZE
    frame = Frame(program, start, region, registers, None)
    frame.pc = at
    frame.loops = max(0, names.get("m", isa.LOOPS))
    machine = _Rest(run, frame)
    learned: set[int] = set()
    missed: int | None = at
    try:
        while machine.frame is not None:
            machine.step()
            if missed is not None:
                learned.add(missed)
            missed = _would_miss(machine.frame, program)
    finally:
        machine.close()
        if own:
            run.memory.close_frame(region)
        translation.learn(program, learned)
    return machine.result


def _would_miss(frame: Frame | None, program: Program) -> int | None:
    """The instruction that is next, if it is an access that a statement cannot do."""
    if frame is None or frame.program is not program:
        return None
    insn = program.insns[frame.pc]
    kind = insn.code & isa.CLASS_MASK
    if kind not in (isa.LDX, isa.ST, isa.STX) or insn.code & isa.MODE_MASK == isa.ATOMIC:
        return None
    address = frame.registers[_base(insn)] + insn.off
    memory = program.memory
    there = memory.readable if kind == isa.LDX else memory.writable
    return None if address >> 32 in there else frame.pc


_INTERPRETER = Interpreter()
