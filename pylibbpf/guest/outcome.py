"""How a run in a guest can end, one class for each way, and what ends it before it begins.

GuestError           the guest was not started: this host lacks something
Outcome
├── Exited           the command ended, with this status: the only verdict of the command
├── Panicked         the guest's kernel panicked while the command ran
├── TimedOut         the command did not end in time; the guest still answered
├── Hung             the command did not end in time, and the guest no longer answered
├── BootFailed       the command was never started
├── NoVerdict        the guest ended by itself, without saying how the command ended
└── Stopped          another thread ended the run (Job.stop)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pylibbpf.errors import Error

CONSOLE_LINES = 40


class GuestError(Error):
    """This host cannot start the guest, or lacks a kernel for it; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run. ``console`` is the last of what the guest's kernel and its init wrote.

    ``seconds`` says when each stage was reached, counted from QEMU's start: "boot" (our init
    runs), "run" (the command starts), "exit", "end". ``notes`` are lines of the guest's kernel log
    that may explain a result: processes killed for want of memory, warnings.
    """

    kernel: str
    accelerator: str
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    console: str = ""

    @property
    def message(self) -> str:
        """One line that says what happened."""
        raise NotImplementedError

    def last_lines(self, count: int = CONSOLE_LINES) -> str:
        """The end of the console, without what would steer a terminal."""
        lines = [line.rstrip() for line in self.console.splitlines()]
        return "\n".join(
            "".join(c if c.isprintable() or c == "\t" else "?" for c in line)
            for line in lines[-count:]
        )


def _late(timeout: float, idle: bool) -> str:
    if idle:
        return f"the command recorded nothing for {timeout:g} s"
    return f"the command did not end within {timeout:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(Outcome):
    """The command ended. A signal N that killed it shows as status 128 + N."""

    status: int

    @property
    def message(self) -> str:
        return f"the command ended with status {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panicked(Outcome):
    """The kernel panicked (an oops or BUG counts: guests run with oops=panic)."""

    panic: str

    @property
    def message(self) -> str:
        return f"the guest's kernel panicked while the command ran: {self.panic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut(Outcome):
    """The command ran too long. The console ends with the kernel stack of each process.

    With ``idle``, ``timeout`` is the time in which it recorded nothing.
    """

    timeout: float
    idle: bool = False

    @property
    def message(self) -> str:
        return _late(self.timeout, self.idle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung(Outcome):
    """The command ran too long, and the guest did not answer when it was asked why."""

    timeout: float
    idle: bool = False

    @property
    def message(self) -> str:
        return f"the guest hangs: {_late(self.timeout, self.idle)}, and the guest does not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFailed(Outcome):
    """The guest did not get as far as starting the command."""

    reason: str

    @property
    def message(self) -> str:
        return f"the guest did not boot: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoVerdict(Outcome):
    """The guest rebooted, switched itself off or QEMU ended, and no status came."""

    reason: str

    @property
    def message(self) -> str:
        return f"no status of the command: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Outcome):
    """The run was ended on this side, before the command."""

    @property
    def message(self) -> str:
        return "the run was stopped before the command ended"
