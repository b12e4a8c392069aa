"""The public bpf_conformance cases: every one, by every executor, and over ``pylibbpf exec``."""

from __future__ import annotations

import io
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import conformance
import pytest
from conformance import EXPECTED, Conformance

from pylibbpf.cli import main
from pylibbpf.engine.emulator.vm.interpreter import Interpreter
from pylibbpf.engine.emulator.vm.memory import Memory, Region
from pylibbpf.engine.emulator.vm.program import Program
from pylibbpf.engine.emulator.vm.run import Run
from pylibbpf.engine.emulator.vm.translator import Translator
from pylibbpf.isa.insn import encode

EXECUTORS: dict[str, Any] = {
    "interpreter": Interpreter,
    "translator": partial(Translator, patience=0),
}


@pytest.fixture(scope="module")
def cases() -> list[Conformance]:
    folder = conformance.corpora()
    if folder is None:
        pytest.skip("PYLIBBPF_CORPORA names no folder with the bpf_conformance cases")
    found = conformance.cases(folder)
    assert len(found) == EXPECTED, f"{folder} has {len(found)} cases of bpf_conformance"
    return found


@pytest.mark.parametrize("executor", EXECUTORS)
def test_all_cases(cases: list[Conformance], executor: str) -> None:
    wrong = []
    for case in cases:
        memory = Memory()
        # Helper 5 is bpf_ktime_get_ns here; in other implementations it gives r1. Neither is 0.
        clock: Any = lambda run, *arguments: time.monotonic_ns()  # noqa: E731
        program = Program(case.insns, memory, name=case.name, helpers={5: clock})
        run = Run(EXECUTORS[executor](), memory, budget=1 << 20)
        if case.memory:
            region = memory.map(Region(bytearray(case.memory), "memory"))
            got = run.start(program, region.base, region.size)
        else:
            got = run.start(program)
        if got != case.result:
            wrong.append(f"{case.name}: {got:#x}, not {case.result:#x}")
    assert wrong == []


@pytest.mark.parametrize("executor", EXECUTORS)
def test_all_cases_by_the_command(
    cases: list[Conformance],
    executor: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As the project's own runner asks its plugins: double spaces, memory only if there is any."""
    wrong = []
    for case in cases:
        monkeypatch.setattr(sys, "stdin", io.StringIO(_spaced(encode(case.insns)) + "\n"))
        memory = [_spaced(case.memory)] if case.memory else []
        assert main(["exec", *memory, "--executor", executor]) == 0, case.name
        got = capsys.readouterr().out
        if int(got, 16) != case.result:
            wrong.append(f"{case.name}: {got}, not {case.result:#x}")
    assert wrong == []


def _spaced(data: bytes) -> str:
    return "".join(f"{byte:02x}  " for byte in data)


def test_levels_are_known(cases: list[Conformance]) -> None:
    """The list of instruction set levels is of the same cases: neither was cut short."""
    folder = conformance.corpora()
    assert folder is not None
    text = Path(folder, "bpf_conformance", "isa_version.json").read_text()
    assert all(f'"{case.name}"' in text for case in cases)
