"""One guest: its records as they come, and what its end means for the test that was running."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pylibbpf.guest.outcome import BootFailed, Exited, Hung, Outcome, TimedOut

# Seconds until the first test begins, and from the last to the end: Python starts slowly there.
START = 300.0
_KEPT = 1 << 16  # characters of what a test wrote: the last
_SHOWN = 1 << 14
_CONSOLE = 60  # lines of it
_STACKS = 200  # lines of the console, where it ends with the stacks of all processes


@dataclass(slots=True)
class Boot:
    """What is known of one guest. ``take`` is called by the thread that runs it."""

    timeout: float  # seconds for one test
    event: Callable[[int | None, dict[str, Any]], None]  # what concerns one test
    running: int | None = None
    last: int | None = None  # the test that ended last
    finished: set[int] = field(default_factory=set)
    ended: dict[str, Any] | None = None  # the last record, if it came
    internal: str = ""
    written: str = ""  # by the running test; outside of tests, by the session
    said: bytes = b""  # what came past pytest: of the interpreter, of crashes
    phase: str = "setup"
    _since: float = field(default_factory=time.monotonic)
    _line: bytes = b""

    def take(self, data: bytes) -> None:
        """Bytes of the port for records."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            try:
                record = json.loads(line)
                kind = record.pop("is")
                handle = getattr(self, f"_take_{kind.replace(' ', '_')}")
            except (ValueError, KeyError, TypeError, AttributeError):
                self.hear(line + b"\n")  # the test itself has written to the port
                continue
            handle(**record)

    def hear(self, data: bytes) -> None:
        """Bytes of the guest's output."""
        self.said = (self.said + data)[-_KEPT:]

    def overdue(self) -> float | None:
        """The limit that is over, if one is."""
        limit = self.timeout if self.running is not None else max(START, self.timeout)
        return limit if time.monotonic() - self._since > limit else None

    def started(self) -> None:
        """The guest is being started: its boot has limits of its own."""
        self._since = time.monotonic()

    # --- records ---

    def _take_start(self, test: int) -> None:
        self.running = test
        self.phase = "setup"
        self.written = ""
        self._since = time.monotonic()

    def _take_output(self, text: str, live: bool) -> None:
        self.written = (self.written + text)[-_KEPT:]
        if live:
            self.event(self.running, {"event": "output", "text": text})

    def _take_report(self, test: int, data: dict[str, Any]) -> None:
        self.phase = _NEXT.get(str(data.get("when")), self.phase)
        self.written = ""
        self.event(test, {"event": "report", "data": data})

    def _take_warning(self, test: int | None, **facts: object) -> None:
        self.event(test, {"event": "warning", **facts})

    def _take_finish(self, test: int) -> None:
        self.running = None
        self.last = test
        self.finished.add(test)
        self.written = ""
        self.said = b""  # not at the next start: a crash may be heard before that is taken
        self._since = time.monotonic()
        self.event(test, {"event": "done"})

    def _take_missing(self, tests: list[tuple[int, str]]) -> None:
        for number, text in tests:
            self.finished.add(number)
            self.event(number, {"event": "fail", "when": "setup", "text": text})
            self.event(number, {"event": "done"})

    def _take_interrupt(
        self, test: int | None, exit: bool, reason: str, status: int | None
    ) -> None:
        self.event(test, {"event": "interrupt", "exit": exit, "reason": reason, "status": status})

    def _take_internal_error(self, text: str) -> None:
        self.internal = text

    def _take_end(self, status: int, stop: str) -> None:
        self.ended = {"status": status, "stop": stop}

    # --- the end ---

    def why(self, outcome: Outcome) -> str:
        """What happened, in a line or two, for an end that tests did not bring about."""
        if self.internal:
            return f"pytest failed in the guest (internal error):\n{self.internal}"
        if self.ended is not None and isinstance(outcome, Exited):
            return f"pytest ended in the guest with status {self.ended['status']}"
        if isinstance(outcome, TimedOut | Hung):
            what = "the test" if self.running is not None else "pytest in the guest"
            over = f"{what} did not end within {outcome.timeout:g} s (bpf_guest_timeout)"
            answers = "" if isinstance(outcome, TimedOut) else ", and the guest does not answer"
            return over + answers
        if isinstance(outcome, Exited):
            return f"Python ended in the guest with status {outcome.status}{_by(outcome.status)}"
        return outcome.message

    def details(self, outcome: Outcome) -> str:
        """What helps to understand it: notes of the kernel, output, console."""
        parts = [f"Linux {outcome.kernel} ({outcome.accelerator})"]
        parts += [f"its kernel says: {note}" for note in outcome.notes[-10:]]
        session = self.written if self.running is None else ""
        said = (session + self.said.decode(errors="replace")).strip()
        if said:
            parts.append(f"--- what came past pytest ---\n{said[-_SHOWN:]}")
        if not isinstance(outcome, Exited):
            stacks = isinstance(outcome, TimedOut | Hung)
            lines = outcome.last_lines(_STACKS if stacks else _CONSOLE)
            shown = lines if lines.strip() else "(empty)"
            parts.append(f"--- the last lines of the guest's console ---\n{shown}")
        return "\n".join(parts)

    def final(self, outcome: Outcome) -> bool:
        """Whether another guest would end the same way."""
        return bool(self.ended or self.internal) or isinstance(outcome, BootFailed)


_NEXT = {"setup": "call", "call": "teardown"}


def _by(status: int) -> str:
    """The signal that a shell's status tells of."""
    try:
        number = signal.Signals(status - 128)
    except ValueError:
        return ""
    return f" ({number.name}: {signal.strsignal(number)})"
