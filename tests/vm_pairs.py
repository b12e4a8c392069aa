"""Both executors on the same program: everything that can be told of the runs must be the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import isa_dense
import isa_graphs
import isa_programs
from isa_programs import Case

from pylibbpf.engine.emulator.vm.interpreter import Interpreter
from pylibbpf.engine.emulator.vm.memory import CONTEXT, Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.engine.emulator.vm.translator import EXACT, Translator
from pylibbpf.errors import BudgetError, MemoryFault, RunError
from pylibbpf.isa.asm import assemble

BUDGET = 2 * EXACT
HELPERS: dict[int, Any] = {1: lambda run, *given: 0}


def made(text: str, memory: Memory | None = None, **facts: Any) -> Program:
    """Make a program of text, in a memory of its own where none is given."""
    return Program(assemble(text), memory or Memory(), name="test", **facts)


def both(program: Program, *arguments: int) -> int:
    """Run a program by both executors, which must give the same."""
    results = [
        Run(executor, program.memory).start(program, *arguments)
        for executor in (Interpreter(), Translator(patience=0), Translator(patience=0))
    ]
    assert len(set(results)) == 1
    return results[0]


def source(program: Program, start: int = 0) -> str:
    """The Python text of a function."""
    return Translator(patience=0).source(program, start)


def told(executor: Any, case: Case) -> tuple[object, ...] | None:
    """What can be told of a run; None: it did not end within its budget."""
    memory = Memory()
    context = memory.map(Region(bytearray(case.context), CONTEXT))
    program = Program(case.insns, memory, helpers=HELPERS)
    run = Run(executor, memory, budget=BUDGET)
    error: RunError | None = None
    r0 = None
    try:
        r0 = run.start(program, context.base, len(case.context))
    except BudgetError:
        return None
    except RunError as raised:
        error = raised
    assert (run.frames, run.stack) == (0, 0)
    assert set(memory.slots) == {context.base >> 32, program.code.base >> 32}
    said: tuple[object, ...] = ()
    if error is not None:
        said = (type(error), error.insn, error.text)
        if isinstance(error, MemoryFault):
            said += (error.register, error.region, error.offset, error.size, error.write)
    assert context.data is not None
    return (r0, bytes(context.data), *said)


def compare(case: Case, seed: object = None, patience: int = 0) -> str:
    """Run a case by both; tell how it ended.

    It runs twice by the translator, which learns; more often if it has patience, and begins by
    interpreting.
    """
    expected = told(Interpreter(), case)
    translator = Translator(patience=patience)
    for _ in range(2 + 2 * patience):
        got = told(translator, case)
        # What counts turns may stop later, and find an error on the way; never earlier.
        if expected is None:
            continue
        assert got == expected, f"seed {seed}: {got}, not {expected}, of {case!r}"
    return "endless" if expected is None else "fault" if expected[0] is None else "ran"


KINDS: dict[str, Callable[[random.Random], Case]] = {
    "program": isa_programs.make,
    "tame": lambda rng: isa_programs.make(rng, tame=True, size=150),
    "dense": isa_dense.dense,
    "graph": isa_graphs.graph,
    "walk": isa_graphs.walk,
    "origins": isa_graphs.origins,
}


def compare_many(kind: str, seed: object, count: int) -> set[str]:
    """Compare for so many programs, whose seeds follow from one."""
    seen = set()
    for number in range(count):
        mine = f"{seed} {kind} {number}"
        patience = number % 4 % 3
        seen.add(compare(KINDS[kind](random.Random(mine)), mine, patience))
    return seen
