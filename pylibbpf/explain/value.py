"""The value complained about: in which register it is, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pylibbpf.explain.log import Reading, SourceLine, Step
from pylibbpf.explain.rules import Category

__all__ = ["ValueChange", "history", "register_of"]

_HISTORY = 24  # steps: more is no explanation


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One step in the life of the offending value.

    ``place`` is where it was held: a register (``R6``) or a stack slot (``fp-16``). ``state`` is
    what the verifier knew of it after the instruction, as the log has it ("" where it says
    nothing).
    """

    insn: int
    text: str
    place: str
    state: str
    source: SourceLine | None = None

    def __str__(self) -> str:
        known = f"  {self.place} = {self.state}" if self.state else ""
        source = f"  ; {self.source}" if self.source else ""
        return f"{self.insn}: {self.text}{known}{source}"


_NAMED_REGISTER = re.compile(r"\bR(\d+)\b")
_NAMED_ARGUMENT = re.compile(  # the text counts from 1 for helpers, from 0 for kernel functions
    r"helper arg(?P<one>\d)|arg ?#(?P<zero>\d)|trusted arg(?P<zero2>\d)"
)
_BASE_REGISTER = re.compile(r"\*\([us]\d+ \*\)\(r(\d+)")
_TARGET_REGISTER = re.compile(r"[rw](\d+) [^ ]*= ")
_ABOUT_A_BASE = {
    Category.CONTEXT_ACCESS,
    Category.MAP_VALUE_BOUNDS,
    Category.MEMORY_ACCESS,
    Category.MISALIGNED,
    Category.OUT_OF_BOUNDS,
    Category.PACKET_BOUNDS,
    Category.READ_ONLY,
    Category.SPECIAL_FIELD,
}
_ABOUT_A_TARGET = {Category.POINTER_ARITHMETIC, Category.UNBOUNDED}


def register_of(complaint: list[str], step: Step | None, category: Category) -> str | None:
    """The register that the complaint names, else the one that the instruction works on."""
    for line in reversed(complaint):
        if found := _NAMED_REGISTER.search(line):
            return f"R{found[1]}"
    for line in reversed(complaint):
        if found := _NAMED_ARGUMENT.search(line):
            number = found["one"] or str(int(found["zero"] or found["zero2"]) + 1)
            return f"R{number}"
    if step is None:
        return None
    if category in _ABOUT_A_BASE and (found := _BASE_REGISTER.search(step.text)):
        return f"R{found[1]}"
    if category in _ABOUT_A_TARGET and (found := _TARGET_REGISTER.match(step.text)):
        return f"R{found[1]}"
    return None


_MOVE = re.compile(r"[rw](?P<to>\d+) = (?:\([us]\d+\) ?)?[rw](?P<start>\d+)$")
_FILL = re.compile(r"[rw](?P<to>\d+) = \*\([us]\d+ \*\)\(r10 (?P<slot>[+-]\d+)\)$")
_SPILL = re.compile(r"\*\([us]\d+ \*\)\(r10 (?P<slot>[+-]\d+)\) = (?:[rw](?P<start>\d+)|-?\w+)$")
_ALU = re.compile(r"[rw](?P<to>\d+) (?:[^\s=<>!]+|<<|>>|s>>)= ")
_SET = re.compile(r"[rw](?P<to>\d+) = ")


def _origin(text: str) -> tuple[str, str | None] | None:
    """Tell (place written, place it came from or None when made here), or None: wrote nothing.

    A change in place (``r1 += 4``) comes from the place itself.
    """
    if found := _MOVE.match(text):
        return f"R{found['to']}", f"R{found['start']}"
    if found := _FILL.match(text):
        return f"R{found['to']}", f"fp{found['slot']}"
    if found := _SPILL.match(text):
        return f"fp{found['slot']}", f"R{found['start']}" if found["start"] else None
    if found := _ALU.match(text):
        return f"R{found['to']}", f"R{found['to']}"
    if found := _SET.match(text):
        return f"R{found['to']}", None
    if text.startswith("call "):
        return "R0", None
    return None


def history(
    reading: Reading, failing: Step | None, register: str | None, groups: dict[str, str]
) -> Iterator[ValueChange]:
    """How the value came about, oldest first; what only repeats what is known is left out."""
    acquired = reading.step_at(int(groups["origin"])) if "origin" in groups else None
    if acquired:
        state = acquired.state.get("R0", "")
        yield ValueChange(acquired.insn, acquired.text, "R0", state, acquired.source)
    elif register and failing:
        changes = _trace(reading.steps, failing, register)
        shown = ""
        for change, wrote in reversed(changes):
            if wrote or change.state != shown:
                yield change
            shown = change.state


def _trace(steps: list[Step], failing: Step, register: str) -> list[tuple[ValueChange, bool]]:
    """Follow a value back from where it failed; newest first, with whether it was written there."""
    place, frame = register, failing.frame
    changes: list[tuple[ValueChange, bool]] = []
    end = next((index for index, step in enumerate(steps) if step is failing), 0)
    for step in reversed(steps[:end]):
        if len(changes) >= _HISTORY:
            break
        if step.frame != frame:
            continue
        if step.enters:  # arguments come from the caller's registers, nothing else does
            if place not in _ARGUMENTS or not frame:
                break
            frame -= 1
            continue
        origin = _origin(step.text) if step.walked else None
        wrote = origin is not None and origin[0] == place
        if wrote or place in step.state:
            state = step.state.get(place, "")
            change = ValueChange(step.insn, step.text, place, state, step.source)
            changes.append((change, wrote))
        if wrote:
            assert origin is not None
            if origin[1] is None:
                break
            place = origin[1]
    return changes


_ARGUMENTS = frozenset(("R1", "R2", "R3", "R4", "R5"))
