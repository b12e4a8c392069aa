"""All marked tests of one kernel: what is skipped, what is booted, and booted again."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pylibbpf.guest import cache, image, kernels, qemu, runner
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.mark import Needs
from pylibbpf.guest.outcome import Exited, GuestError, Outcome, Stopped
from pylibbpf.guest.session import Job
from pylibbpf.guest.testing.boot import Boot
from pylibbpf.guest.testing.orders import (
    ORDER,
    Order,
    Start,
    Test,
    command,
    environment,
)

Event = dict[str, Any]
# Needs, the kernel's release, the text of its configuration if it is at hand: why it cannot run.
Refusal = Callable[[Needs, str, str | None], str | None]

_MOMENT = 30.0  # seconds, and many times too long
_STRIKES = 2  # guests that may end before their first test begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is the same for all kernels of a session."""

    start: Start
    require: bool
    timeout: float
    refusal: Refusal


@dataclass(slots=True)
class Facts:
    """What is told of a kernel's run at the end of the session."""

    release: str = ""
    accelerator: str = ""
    boots: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


class Run:
    """The tests of one kernel, in one guest after another; a thread of its own.

    The thread runs ahead of whoever asks for results: nothing that a guest does leaves it.
    """

    def __init__(self, kernel: str, tests: Sequence[Test], terms: Terms, *, keep: bool) -> None:
        self.kernel = kernel
        self.tests = list(tests)
        self.known = frozenset(test.reported for test in tests)
        self.facts = Facts()
        self.late: deque[tuple[Test, str]] = deque()  # failures that came after the test's end
        self._terms = terms
        self._keep = keep  # events may be asked for more than once
        self._pending = deque(range(len(self.tests)))
        self._events: list[list[Event]] = [[] for _ in self.tests]
        self._done = [False] * len(self.tests)
        self._said: deque[str] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        # Daemonic: where nobody could stop it, it must not keep this process.
        self._thread = threading.Thread(
            target=self._work, name=f"pylibbpf guest {kernel}", daemon=True
        )
        self._thread.start()

    def events(self, number: int) -> Iterator[Event]:
        """What happened to one test, as it happens; ends with it.

        Lines for people ("say") come with whichever test is waited for.
        """
        at = 0
        while True:
            with self._changed:
                while not (self._said or at < len(self._events[number]) or self._done[number]):
                    self._changed.wait()
                said = list(self._said)
                self._said.clear()
                new = self._events[number][at:]
                if self._keep:
                    at += len(new)
                else:
                    self._events[number].clear()
                done = self._done[number] and not new
            yield from ({"event": "say", "text": text} for text in said)
            yield from new
            if done:
                return

    @property
    def complete(self) -> bool:
        """Whether each test has its results."""
        return all(self._done)

    def wait(self) -> None:
        """Wait until the last guest has ended by itself."""
        self._thread.join()

    def stop(self) -> None:
        """End the guest that runs, if one does."""
        self._stop.set()
        # A guest ends within a moment; a kernel that is being fetched need not be waited for.
        self._thread.join(_MOMENT)

    # --- the thread ---

    def _event(self, number: int | None, event: Event) -> None:
        """Hand on what concerns a test, or what came between tests, with the next."""
        with self._changed:
            if number is None:
                number = self._pending[0] if self._pending else None
            if number is not None and not self._done[number]:
                if event["event"] == "done":
                    self._done[number] = True
                    self._pending.remove(number)
                else:
                    self._events[number].append(event)
            elif number is None and event["event"] == "output":
                self._said.append(event["text"].rstrip("\n"))
            self._changed.notify_all()

    def _end(self, number: int, event: Event) -> None:
        self._event(number, event)
        self._event(number, {"event": "done"})

    def _say(self, text: str) -> None:
        with self._changed:
            self._said.append(text)
            self._changed.notify_all()

    def _work(self) -> None:
        begun = time.monotonic()
        try:
            self._run()
        except GuestError as error:
            self._lacking(str(error))
        except Exception:  # of ours: no test may wait for ever
            self._fail_all(f"pylibbpf failed to run guests:\n{traceback.format_exc()}")
        finally:
            self.facts.seconds = time.monotonic() - begun
            for number in list(self._pending):
                self._end(
                    number, {"event": "stop", "reason": "its guest was ended before this test"}
                )

    def _lacking(self, reason: str) -> None:
        """This host cannot boot guests: skips, unless they are required, or one has been booted."""
        if self._terms.require or self.facts.accelerator:
            self._fail_all(f"no guest with Linux {self.kernel}: {reason}")
            return
        for number in list(self._pending):
            text = f"no guest with Linux {self.kernel}: {reason}"
            self._end(number, {"event": "skip", "reason": text, "shared": True})

    def _fail_all(self, text: str, short: str = "") -> None:
        """Fail what is left: the first with the whole text, the others with its first line."""
        first = None
        for number in list(self._pending):
            if first is None:
                first, shown = number, text
            else:
                line = text.partition("\n")[0]
                shown = f"{short or line} (in full at {self.tests[first].reported})"
            self._end(number, {"event": "fail", "when": "setup", "text": shown})

    def _refuse(self, release: str, config: str | None) -> None:
        """Skip what this kernel cannot do."""
        for number in list(self._pending):
            reason = self._terms.refusal(self.tests[number].needs, release, config)
            if reason is not None:
                self._end(number, {"event": "skip", "reason": reason, "shared": False})

    def _run(self) -> None:
        folder = cache.place()
        self.facts.release = self._release(folder)
        self._refuse(self.facts.release, None)
        if not self._pending:
            return
        qemu.find()  # before a kernel is fetched that nothing could boot
        kernel = kernels.get(self.kernel, folder, self._say)
        self.facts.release = kernel.release
        if kernel.config is not None:
            self._refuse(kernel.release, kernel.config.read_text(errors="replace"))
        strikes = 0
        while self._pending and not self._stop.is_set():
            boot = Boot(self._terms.timeout, self._event)
            outcome = self._boot(boot, kernel)
            if isinstance(outcome, Stopped):
                return
            if not boot.finished and boot.running is None:
                strikes += 1
            if not self._settle(boot, outcome, again=strikes < _STRIKES):
                return

    def _release(self, folder: Path) -> str:
        """The kernel's release, without fetching it."""
        if "/" in self.kernel or self.kernel not in kernels.table(folder):
            return kernels.get(self.kernel, folder, self._say).release
        return kernels.pinned(self.kernel, folder).release

    def _boot(self, boot: Boot, kernel: Kernel) -> Outcome:
        start = self._terms.start
        tests = [(number, self.tests[number]) for number in self._pending]
        job = Job(
            kernel=kernel,
            command=command(),
            folder=start.folder,
            environment=image.environment(environment(start), kernel),
            timeout=None,
            records=boot.take,
            overdue=boot.overdue,
            stop=self._stop,
            files={Path(ORDER).name: Order.of(start, tests, self._terms.timeout).json()},
        )
        self.facts.boots += 1
        boot.started()
        outcome = runner.run(job, boot.hear, self._say)
        self.facts.accelerator = outcome.accelerator
        self.facts.notes += outcome.notes
        return outcome

    def _settle(self, boot: Boot, outcome: Outcome, *, again: bool) -> bool:
        """Say what a guest's end means; returns whether another one may be booted."""
        if boot.running is not None:
            text = f"{boot.why(outcome)}\n{boot.details(outcome)}"
            sections = [[f"Captured stdout {boot.phase}", boot.written]] if boot.written else []
            when = boot.phase
            self._end(
                boot.running, {"event": "fail", "when": when, "text": text, "sections": sections}
            )
            return True
        unexpected = boot.ended is None or not isinstance(outcome, Exited)
        unexpected |= bool(boot.internal) and not self._pending
        if unexpected and boot.last is not None:
            text = f"after this test, {boot.why(outcome)}\n{boot.details(outcome)}"
            self.late.append((self.tests[boot.last], text))
            return True
        if not self._pending:
            return False
        if boot.ended is not None and boot.ended["stop"]:
            reason = f"in the guest with Linux {self.kernel}: {boot.ended['stop']}"
            self._end(self._pending[0], {"event": "stop", "reason": reason})
            return False
        if boot.final(outcome) or not again:
            why = boot.why(outcome)
            short = why.partition("\n")[0]
            self._fail_all(f"{why}\n{boot.details(outcome)}", short)
            return False
        self._say(f"{boot.why(outcome)}, before the first test began: booting once more")
        return True
