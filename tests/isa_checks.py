"""What is asked of each random program, in the short tests and in the long ones."""

from __future__ import annotations

import os
import random
import re
from typing import Any

import isa_programs
import rawbpf
from isa_dense import dense
from isa_programs import Case, Outcome, make, outcome

from pylibbpf.engine.emulator.vm.interpreter import Interpreter
from pylibbpf.engine.emulator.vm.translator import EXACT, Translator
from pylibbpf.errors import Error, InsnError
from pylibbpf.isa.asm import assemble
from pylibbpf.isa.disasm import disassemble
from pylibbpf.isa.insn import decode, encode

EXECUTORS: tuple[Any, ...] = (Interpreter(), Translator(patience=0))

# Linux 6.15: the youngest of the instructions that random programs have (load_acquire).
EVERYTHING = (6, 15)
# Behind the text: a state, the next instruction's state, or (7.2, by a tab) what was analyzed.
_LOGGED = re.compile(
    r"^(\d+): \(([0-9a-f]{2})\) ([^\t\n]*?)(?:\s+;.*|\s+\d+: .*|\t.*)?$", re.MULTILINE
)


def kernel_has_everything() -> bool:
    """Whether the kernel knows all instructions that there are."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return found is not None and (int(found[1]), int(found[2])) >= EVERYTHING


def by_kernel(case: Case) -> Outcome | None:
    """What the kernel makes of a case, by BPF_PROG_TEST_RUN; None: it does not accept it."""
    try:
        fd = rawbpf.load(case.insns)
    except OSError:
        return None
    try:
        returned, context = rawbpf.run(fd, case.context)
    finally:
        os.close(fd)
    return Outcome(returned, context)


def compare_with_kernel(case: Case, seed: object = None) -> bool:
    """Run a program by each executor and by the kernel; whether the kernel took it."""
    theirs = by_kernel(case)
    if theirs is None:
        return False
    for executor in EXECUTORS:
        ours = outcome(executor, case)
        assert ours.r0 is not None, f"seed {seed}, {executor}: {ours} of {case!r}"
        same = (ours.r0 & 0xFFFFFFFF, ours.context) == (theirs.r0, theirs.context)
        assert same, f"seed {seed}, {executor}: {ours}, by the kernel {theirs}, of {case!r}"
    return True


def compare_many(seed: object, count: int) -> None:
    """Compare with the kernel for so many programs, whose seeds follow from one."""
    taken = 0
    for number in range(count):
        mine = f"{seed} {number}"
        maker = dense if number % 3 == 2 else make
        taken += compare_with_kernel(maker(random.Random(mine), tame=True), mine)
    # An older kernel lacks instructions; one that has all takes nearly all programs.
    assert taken > (count * 0.9 if kernel_has_everything() else 0)


def compare_texts(seed: str) -> int:
    """Compare our text of instructions with the kernel's log; how many were compared."""
    case = make(random.Random(seed), tame=True)
    log = rawbpf.log_of(case.insns)
    ours = dict(disassemble(case.insns))
    lines = _LOGGED.findall(log)
    for number, code, text in lines:
        at = int(number)
        if text.startswith("goto pc") and ours[at].startswith("if "):
            continue  # 7.2 decides branches on constants before it verifies
        assert text == ours[at], f"seed {seed}, instruction {at}: {text!r}, not {ours[at]!r}"
        assert int(code, 16) == case.insns[at].code
    return len(lines)


def survive(code: bytes, rng: random.Random, executor: Any = None) -> str:
    """Give bytes to everything that reads instructions; only our own errors may come of it."""
    try:
        insns = decode(code)
    except Error:
        return "decode"
    text = "\n".join(text for _, text in disassemble(insns))
    assert encode(assemble(text)) == code
    case = Case(insns, rng.randbytes(isa_programs.CONTEXT))
    # A budget of less than EXACT the translator leaves to the interpreter.
    budget = 3000 if executor is None else 2 * EXACT
    try:
        return outcome(executor or Interpreter(), case, budget=budget).error or "ran"
    except Error as error:
        return type(error).__name__


_CHARACTERS = "r019w+-=*&()[]<>!|^%su8 6432:#,;.pcgotoifexitcalllockatomic_x\n\t\0é"


def survive_text(rng: random.Random) -> bool:
    """Give the assembler lines with a few characters changed; whether it could read them."""
    text = "\n".join(text for _, text in disassemble(make(rng, size=3).insns[-12:]))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text))
        end = at + rng.choice((0, 1, 1, 3, 20))
        text = text[:at] + rng.choice(("", rng.choice(_CHARACTERS))) + text[end:]
    try:
        assemble(text)
    except InsnError as error:
        line = text.split("\n")[(error.line or 0) - 1]
        if not 1 <= (error.column or 0) <= len(line) + 1:
            raise AssertionError(f"{error} of {text!r}") from error
        return False
    return True
