"""Read a verifier's log: which line is an instruction, a state, a C line, and what is left over.

What is left over after the last instruction is the complaint.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Reading", "SourceLine", "Step", "read"]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of C. ``file`` and ``line`` are known from kernel 6.8 on; else empty and None."""

    text: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.file else ""
        return f"{where}: {self.text}" if where and self.text else where or self.text


# A log can have hundreds of megabytes; its end holds the rejected path.
_TAIL = 1 << 20

_STATE = r"(?:frame\d+:)?\s*(?:R\d+|fp-\d+)(?:_[a-zA-Z]+)?=.*"
_INSN = re.compile(
    r"\s*(?P<insn>\d+): \((?P<code>[0-9a-f]{2})\) (?P<text>.*?)"
    rf"(?:\s+;(?P<state>\s*{_STATE})?| (?P<next>\d+): (?P<jumped>{_STATE}))?$"
)
_LIBBPF = re.compile(r"libbpf: (?:prog '[^']*': )?")
_LIBBPF_FRAME = re.compile(
    r"-- (?:BEGIN|END) .*LOG --|BPF program load failed|failed to load(?: object|:)|"
    r"Error loading .*retrying|failed to load BPF skeleton|elf: skipping|sec '.*': found|"
    r"permission error while running as root"
)


class _Line(enum.Enum):
    """What a line that is not an instruction can be."""

    NOISE = enum.auto()
    SOURCE = enum.auto()
    BRANCH = enum.auto()
    FRAME = enum.auto()
    ENTRY = enum.auto()
    PHASE = enum.auto()
    NOTE = enum.auto()
    POISON = enum.auto()


_LINES: tuple[tuple[_Line, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (_Line.NOISE, r"\s*$"),
        (_Line.NOISE, r"processed \d+ insns|verification time \d+|stack depth [\d+]+$"),
        (_Line.NOISE, r".*max_states_per_insn \d+|-- (?:BEGIN|END) .*LOG --|func#\d+ @\d+"),
        (_Line.NOISE, r"(?:\d+: )*mark_precise:|.*parent (?:didn't have|already had) regs="),
        (_Line.NOISE, r"mark_reg_\w+\(regs|force_precise:|CO-RE relocating .*target candidate"),
        (_Line.NOISE, r"propagating [rf]|frame \d+: propagating|last_idx \d+ first_idx \d+|regs="),
        (_Line.NOISE, r"Live regs before insn:|\s*\d+: [.\d]{10,} \(|\d+: safe$"),
        (_Line.NOISE, r"from \d+ to \d+(?: \(speculative execution\))?: safe$"),
        (_Line.NOISE, r"(?:cur|old) state:|stack use/def|SCC |topo_order"),
        (_Line.NOISE, r"subprog#?\d+.*(?:live|stack|analyzing)"),
        (_Line.SOURCE, r";\s?(?P<source>.*)$"),
        (
            _Line.BRANCH,
            r"from (?P<start>\d+) to (?P<insn>\d+)(?: \(speculative execution\))?:(?P<state>.*)$",
        ),
        (_Line.FRAME, r"(?P<frame>caller|callee|returning from callee|to caller at \d+):$"),
        (_Line.ENTRY, rf"(?P<insn>\d+):\s*(?P<state>{_STATE})$"),
        (_Line.ENTRY, rf"\s+(?P<state>{_STATE})$"),
        (_Line.PHASE, r"Validating (?P<function>\w+)\(\) func#\d+"),
        (_Line.POISON, r"(?P<insn>\d+): (?P<text><invalid [^>]+>)"),
        (
            _Line.NOTE,
            r"Func#\d+ (?:\('.*'\) )?is (?:global and (?:assumed )?valid|safe for any args)",
        ),
        (_Line.NOTE, r"func '.*' arg\d+ has btf_id \d+ type|marking pointer arg\d+ as scalar"),
        (_Line.NOTE, r"REG INVARIANTS VIOLATION|Cannot find btf of tracepoint template"),
        (_Line.NOTE, r"Global function \w+\(\) .*Only those are supported"),
        (_Line.NOTE, r"arg#\d+ reference type\('.*'\) size cannot be determined"),
    )
)
_FILE = re.compile(r"(?P<text>.*?)\s*@ (?P<file>[^@]+):(?P<line>\d+)$")
_VALUE = re.compile(
    r"(?:^|\s)(?P<place>R\d+|fp-\d+)(?:_[a-zA-Z]+)?=(?P<value>.*?)"
    r"(?=\s+(?:R\d+|fp-\d+)(?:_[a-zA-Z]+)?=|\s+refs=|\s+(?:async_)?cb\b|\s*$)"
)
_FRAME_NUMBER = re.compile(r"\s*frame(\d+):")


@dataclass(slots=True)
class Step:
    """An instruction that the verifier walked through, or (``walked`` False) a state alone."""

    insn: int
    text: str
    source: SourceLine | None
    frame: int
    state: dict[str, str] = field(default_factory=dict)
    walked: bool = True
    enters: bool = False  # the state is that at the start of a called function

    def waits_in(self, frame: int) -> bool:
        """True where the next state in the log is the one after this instruction."""
        return self.walked and not self.state and self.frame == frame


@dataclass(slots=True)
class Reading:
    """What was read so far; at the end of the log, what there is to know."""

    steps: list[Step] = field(default_factory=list)
    complaint: list[str] = field(default_factory=list)
    said_by_libbpf: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source: SourceLine | None = None
    function: str | None = None
    frame: int = 0
    insns: bool = False
    entering: bool = False
    at: int = 0  # instruction of the newest state: what a complaint without instruction is about

    def failing_step(self, groups: dict[str, str]) -> Step | None:
        """Find the instruction complained about: the one named, else the last one walked."""
        last = next((step for step in reversed(self.steps) if step.walked), None)
        if "insn" not in groups:
            return last
        return self.step_at(int(groups["insn"])) or Step(int(groups["insn"]), "", None, 0)

    def step_at(self, insn: int) -> Step | None:
        found = (step for step in reversed(self.steps) if step.walked and step.insn == insn)
        return next(found, None)


def read(log: str) -> Reading:
    """Read the kernel's log, or what libbpf printed of it."""
    reading = Reading()
    if len(log) > _TAIL:
        _catch_up(reading, log, len(log) - _TAIL)
    for line in log[-_TAIL:].replace("\0", "").split("\n"):
        _read_line(reading, line.rstrip())
    if not reading.complaint and not reading.insns and reading.notes:
        # What is a remark before the first instruction is the reason when nothing follows it.
        reading.complaint.append(reading.notes.pop())
    return reading


def _catch_up(reading: Reading, log: str, end: int) -> None:
    """Take in what holds beyond the part that is not read: a C line is printed only once."""
    for start in ("; ", "Validating "):
        found = log.rfind("\n" + start, 0, end) + 1
        if log.startswith(start, found):
            _read_line(reading, log[found : log.find("\n", found)].rstrip())


def _read_line(reading: Reading, line: str) -> None:
    prefix = _LIBBPF.match(line)
    if prefix:
        rest = line[prefix.end() :]
        if rest and not _LIBBPF_FRAME.match(rest):
            reading.said_by_libbpf.append(rest)
        return
    insn = _INSN.match(line)
    if insn:
        _read_insn(reading, insn)
        return
    for kind, pattern in _LINES:
        found = pattern.match(line)
        if found:
            _READERS[kind](reading, found)
            return
    reading.complaint.append(line.strip())


def _read_insn(reading: Reading, found: re.Match[str]) -> None:
    reading.insns = True
    reading.complaint.clear()  # lines between instructions were remarks
    step = Step(int(found["insn"]), found["text"].strip(), reading.source, reading.frame)
    reading.steps.append(step)
    reading.at = step.insn
    state = found["state"] or found["jumped"]
    if state is None:
        return
    frame = _frame_of(state)
    if frame == reading.frame:
        step.state = _values(state)
    else:  # a callback: the instruction was in one frame, the state is that of the next
        reading.frame = frame
        entry = Step(step.insn, "call", step.source, frame, _values(state), False, enters=True)
        reading.steps.append(entry)


def _read_state(reading: Reading, found: re.Match[str]) -> None:
    groups = found.groupdict()
    reading.frame = _frame_of(groups["state"])
    if groups.get("insn"):
        reading.at = int(groups["insn"])
    last = reading.steps[-1] if reading.steps else None
    if "start" not in groups and not reading.entering and last and last.waits_in(reading.frame):
        last.state = _values(groups["state"])
        return
    label = f"from {groups['start']} to {groups['insn']}" if "start" in groups else "start"
    step = Step(reading.at, label, reading.source, reading.frame, _values(groups["state"]), False)
    step.enters = reading.entering
    reading.entering = False
    reading.steps.append(step)


def _read_branch(reading: Reading, found: re.Match[str]) -> None:
    # With log level 2 other paths stand between the branch and its other side: take them out.
    start = int(found["start"])
    for index in range(len(reading.steps) - 1, -1, -1):
        if reading.steps[index].insn == start and reading.steps[index].walked:
            del reading.steps[index + 1 :]
            break
    reading.complaint.clear()
    _read_state(reading, found)


def _read_source(reading: Reading, found: re.Match[str]) -> None:
    placed = _FILE.match(found["source"])
    if placed:
        reading.source = SourceLine(placed["text"], placed["file"], int(placed["line"]))
    else:
        reading.source = SourceLine(found["source"].strip())


def _read_frame(reading: Reading, found: re.Match[str]) -> None:
    reading.entering = found["frame"] == "callee"


def _read_phase(reading: Reading, found: re.Match[str]) -> None:
    reading.function = found["function"]
    reading.frame = 0
    reading.steps.clear()
    reading.complaint.clear()


def _read_note(reading: Reading, found: re.Match[str]) -> None:
    reading.notes.append(found.string.strip())


def _read_poison(reading: Reading, found: re.Match[str]) -> None:
    step = Step(int(found["insn"]), found["text"], reading.source, reading.frame)
    reading.complaint.clear()
    reading.steps.append(step)
    reading.complaint.append(found["text"])


def _skip(reading: Reading, found: re.Match[str]) -> None:
    pass


_READERS: dict[_Line, Callable[[Reading, re.Match[str]], None]] = {
    _Line.NOISE: _skip,
    _Line.SOURCE: _read_source,
    _Line.BRANCH: _read_branch,
    _Line.FRAME: _read_frame,
    _Line.ENTRY: _read_state,
    _Line.PHASE: _read_phase,
    _Line.NOTE: _read_note,
    _Line.POISON: _read_poison,
}


def _frame_of(state: str) -> int:
    found = _FRAME_NUMBER.match(state)
    return int(found[1]) if found else 0


def _values(state: str) -> dict[str, str]:
    return {found["place"]: found["value"] for found in _VALUE.finditer(state)}
