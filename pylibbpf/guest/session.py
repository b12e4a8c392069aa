"""One QEMU, from its start to its end, and the verdict."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pylibbpf.guest import image, qemu
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.outcome import (
    BootFailed,
    Exited,
    Hung,
    NoVerdict,
    Outcome,
    Panicked,
    Stopped,
    TimedOut,
)

MEMORY = 512  # MiB; 256 is enough to boot; at most three quarters serve as disk
TIMEOUT = 900.0
# Seconds; each many times what was seen, since other work may share the processors.
BOOT = 180.0
KVM_SILENCE = 10.0
ANSWER = 20.0
DRAIN = 60.0
SETTLED = 1.0

_CONSOLE = 1 << 18  # bytes of the console to keep
_PR_SET_PDEATHSIG = 1
_GUARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STAGES = ("boot", "run", "exit")
# Lines of the kernel's log that may explain how a command ended.
_TELLING = re.compile(rb"Out of memory|BUG:|WARNING:|general protection|segfault")

Output = Callable[[bytes], None]


def panic_in(console: str) -> str | None:
    """What the kernel gave as the reason of its panic, if it had one."""
    found = re.search(r"Kernel panic - not syncing: *([^\r\n]*)", console)
    return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run, and in which guest.

    ``memory`` is in MiB; ``timeout`` in seconds from the command's start, None for no limit;
    ``append`` is added to the kernel's command line. The guest may write to the folders in
    ``shares``; its other writes go to memory. ``terminal`` is the descriptor of a terminal that
    the command is to be connected to, as a shell is; ``size`` its columns and rows.

    ``records`` is called with what the command writes to the character device that the variable
    PYLIBBPF_RECORDS names in the guest: bytes in their order, in pieces of any size. One process at
    a time can open the device, and a write of more than 32 KiB takes a part and says so. What it
    took reaches ``records`` even if the guest panics at once, and before the outcome is returned.
    ``idle`` is a limit in seconds for the time without a record, from the command's start on; at
    its end the run ends as at the end of ``timeout``.

    ``overdue`` is for limits that only the caller knows: asked some ten times a second while the
    command runs, it returns the limit in seconds that is over, or None.

    ``stop`` may be set by any thread: the guest then ends within a moment, as Stopped.

    ``files`` are there for the command below /run/guest/files, and on no disk.
    """

    kernel: Kernel
    command: Sequence[str]
    folder: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: int = MEMORY
    timeout: float | None = TIMEOUT
    append: str = ""
    shares: Sequence[str] = ()
    terminal: int | None = None
    size: tuple[int, int] = (80, 24)
    records: Output | None = None
    idle: float | None = None
    overdue: Callable[[], float | None] | None = None
    stop: threading.Event | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


class Marked:
    """A stream that a mark ends; what comes after the mark is nobody's."""

    def __init__(self, mark: bytes, write: Output) -> None:
        self._mark = mark
        self._write = write
        self._pending = b""  # what may be the beginning of the mark
        self.complete = False

    def take(self, data: bytes) -> None:
        if self.complete:
            return  # from what the command left running
        data = self._pending + data
        at = data.find(self._mark)
        if at >= 0:
            self.complete = True
            kept = len(data) - at
            self._pending = b""
        else:
            sizes = range(min(len(self._mark) - 1, len(data)), 0, -1)
            kept = next((n for n in sizes if data.endswith(self._mark[:n])), 0)
            self._pending = data[len(data) - kept :]
        if len(data) > kept:
            self._write(data[: len(data) - kept])

    def end(self) -> None:
        """No mark will come."""
        if self._pending:
            self._write(self._pending)
        self._pending = b""


class Session:
    """One run of a job under one accelerator."""

    def __init__(
        self, job: Job, base: bytes, program: str, accelerator: str, output: Output
    ) -> None:
        self._job = job
        self._base = base
        self._program = program
        self._accelerator = accelerator
        self._shares = [os.path.realpath(share) for share in job.shares]
        self._mark = f"[end of guest {secrets.token_hex(16)}]".encode()
        self._output = Marked(self._mark, output)
        self._records = Marked(self._mark, job.records) if job.records is not None else None
        self._selector = selectors.DefaultSelector()
        self._open: set[str] = set()  # ports that QEMU has not closed
        self._gone = False  # QEMU has ended
        self._heard = 0.0  # when the last output came, and the last record
        self._recorded = 0.0
        self._line = b""
        self._in_log = False
        self._console = bytearray()
        self._qemu_said = bytearray()
        self._seconds: dict[str, float] = {}
        self._notes: list[str] = []
        self._dump: list[str] = []
        self._status: int | None = None
        self._failed: str | None = None
        self._asked: float | None = None  # when the guest was asked why
        self._limit: dict[str, object] = {}  # which limit is over
        self._start = 0.0

    def run(self) -> Outcome:
        """Start QEMU and stay with it; whatever happens, it has ended when this returns."""
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        process: subprocess.Popen[bytes] | None = None
        ending: int | None = None
        takers = {
            "control": self._take_control,
            "output": self._take_output,
            "console": self._take_console,
            "said": self._take_said,
        }
        if self._records is not None:
            takers["records"] = self._take_records
        initramfs = self._initramfs()
        try:
            for name in takers:
                ours[name], theirs[name] = socket.socketpair()
            machine = qemu.Machine(
                kernel=self._job.kernel,
                accelerator=self._accelerator,
                memory=self._job.memory,
                initramfs=initramfs,
                control=theirs["control"].fileno(),
                output=theirs["output"].fileno(),
                console=theirs["console"].fileno(),
                records=theirs["records"].fileno() if "records" in theirs else None,
                terminal=self._job.terminal is not None,
                append=self._job.append,
                shares=self._shares,
            )
            passed = [initramfs, *(s.fileno() for name, s in theirs.items() if name != "said")]
            # An interruption must not come between QEMU's start and our knowing of it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _GUARDED)
            try:
                self._start = time.monotonic()
                process = _spawn(machine.command(self._program), passed, theirs["said"], before)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for each in theirs.values():
                each.close()
            for name, take in takers.items():
                self._watch(name, ours[name], take)
            ending = os.pidfd_open(process.pid)
            self._watch_end(ending)
            if self._job.terminal is not None:
                self._watch_terminal(self._job.terminal, ours["output"])
            return self._follow(process, ours["control"])
        finally:
            if process is not None:
                process.kill()
                process.wait()
            self._selector.close()
            for each in (*ours.values(), *theirs.values()):
                each.close()
            os.close(initramfs)
            if ending is not None:
                os.close(ending)

    def _initramfs(self) -> int:
        job = self._job
        own = image.own(
            job.command,
            folder=job.folder,
            environment=job.environment,
            shares=self._shares,
            mark=self._mark.decode(),
            terminal=job.size if job.terminal is not None else None,
            records=job.records is not None,
            files=job.files,
        )
        number = os.memfd_create("initramfs")
        try:
            for data in (self._base, own):
                left = memoryview(data)
                while left:
                    left = left[os.write(number, left) :]
        except BaseException:
            os.close(number)
            raise
        return number

    def _watch(self, name: str, port: socket.socket, take: Callable[[bytes], None]) -> None:
        def read() -> None:
            try:
                data = port.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if data:
                take(data)
            else:
                self._open.discard(name)
                self._selector.unregister(port)

        self._open.add(name)
        self._selector.register(port, selectors.EVENT_READ, read)

    def _watch_end(self, process: int) -> None:
        def ended() -> None:
            self._gone = True
            self._selector.unregister(process)

        self._selector.register(process, selectors.EVENT_READ, ended)

    def _watch_terminal(self, terminal: int, port: socket.socket) -> None:
        def read() -> None:
            data = os.read(terminal, 4096)
            if data and "output" in self._open:
                try:
                    port.send(data, socket.MSG_DONTWAIT)
                except (BlockingIOError, BrokenPipeError):
                    pass  # lost: no program reads the terminal, or QEMU has just ended
            else:
                self._selector.unregister(terminal)

        self._selector.register(terminal, selectors.EVENT_READ, read)

    def _take_output(self, data: bytes) -> None:
        self._output.take(data)
        self._heard = self._past()

    def _take_records(self, data: bytes) -> None:
        assert self._records is not None
        self._records.take(data)
        self._recorded = self._past()  # after it was taken, however long that took

    def _take_control(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if self._in_log and line != self._mark:
                if _TELLING.search(line):
                    self._notes.append(line.decode(errors="replace"))
                continue
            self._in_log = False
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "log":  # of the kernel; the mark ends it
                self._in_log = True
            elif word == "dump":
                self._dump.append(rest)
            else:
                self._seconds.setdefault(word, self._past())
                if word == "exit" and rest.isdecimal():
                    self._status = int(rest)
                elif word == "fail":
                    self._failed = rest

    def _take_console(self, data: bytes) -> None:
        self._console += data
        del self._console[:-_CONSOLE]

    def _take_said(self, data: bytes) -> None:
        self._qemu_said += data
        del self._qemu_said[:-_CONSOLE]

    def _follow(self, process: subprocess.Popen[bytes], control: socket.socket) -> Outcome:
        while True:
            self._look(0.1)
            if self._gone:
                while self._look(0):  # all that is left: QEMU writes no more
                    pass
            outcome = self._verdict(process) or self._patience(control)
            if outcome is not None:
                self._output.end()
                if self._records is not None:
                    self._records.end()
                return outcome

    def _look(self, timeout: float) -> bool:
        """Take what has come; whether anything has."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            key.data()
        return bool(ready)

    def _verdict(self, process: subprocess.Popen[bytes]) -> Outcome | None:
        """What the guest, or its end, says."""
        stop = self._job.stop is not None and self._job.stop.is_set()
        if self._status is not None:
            if stop or self._gone or self._all_said():
                return self._made(Exited, status=self._status)
            return None
        if stop:
            return self._made(Stopped)
        if self._failed is not None:
            return self._made(BootFailed, reason=self._failed)
        if self._accelerator == qemu.KVM and b"KVM internal error" in self._qemu_said:
            # QEMU then stays, paused
            return self._ended(f"KVM failed: {self._last_said()}")
        if self._gone:
            return self._end(process)
        if b"---[ end Kernel panic" in self._console:
            # The kernel stays where somebody gave it another panic= than ours. It writes no more,
            # but QEMU may still have some of what it wrote.
            deadline = self._past() + DRAIN
            while self._look(0.5) and self._past() < deadline:
                pass
            return self._end(process)
        return None

    def _all_said(self) -> bool:
        """Whether all that the command wrote has come: it has ended."""
        past, ended = self._past(), self._seconds["exit"]
        if past - max(self._heard, self._recorded, ended) > DRAIN:
            return True
        if not self._output.complete:
            return False
        if self._records is None or self._records.complete:
            return True
        # What the command left running holds the port of the records: no mark can come.
        return "unsealed" in self._seconds and (
            past - max(self._recorded, ended) > SETTLED or past - ended > DRAIN
        )

    def _end(self, process: subprocess.Popen[bytes]) -> Outcome:
        """The guest is at its end, and has not said how its command ended."""
        text = self._text()
        panic = panic_in(text)
        if panic is not None:
            if "run" in self._seconds:
                return self._made(Panicked, panic=panic)
            return self._made(BootFailed, reason=f"its kernel panicked: {panic}")
        said = re.findall(r"pylibbpf-guest: fail ([^\r\n]*)", text)
        if said:
            return self._made(BootFailed, reason=said[-1])
        code = process.wait()
        if code == 0:
            return self._ended("the guest rebooted or switched itself off")
        return self._ended(f"QEMU ended with status {code}: {self._last_said()}")

    def _patience(self, control: socket.socket) -> Outcome | None:
        """What the clock says."""
        past = self._past()
        if self._status is not None:
            return None
        if "run" not in self._seconds:
            silent = "boot" not in self._seconds and not self._console
            if self._accelerator == qemu.KVM and silent and past > KVM_SILENCE:
                return self._made(BootFailed, reason=f"no sign of life within {KVM_SILENCE:g} s")
            if past > BOOT:
                return self._made(BootFailed, reason=f"no command started within {BOOT:g} s")
            return None
        if self._asked is None:
            if not self._over(past):
                return None
            self._asked = past
            try:
                control.sendall(b"dump\n")
            except OSError:
                pass  # QEMU has just ended: the next look finds out how
        elif "dumped" in self._seconds or past - self._seconds.get("alive", past) > ANSWER:
            return self._made(TimedOut, **self._limit)
        elif "alive" not in self._seconds and past - self._asked > ANSWER:
            return self._made(Hung, **self._limit)
        return None

    def _over(self, past: float) -> bool:
        """Whether the command's time is up."""
        started = self._seconds["run"]
        for limit, since, idle in (
            (self._job.timeout, started, False),
            (self._job.idle, max(started, self._recorded), True),
        ):
            if limit is not None and past - since > limit:
                self._limit = {"timeout": limit, "idle": idle}
                return True
        limit = self._job.overdue() if self._job.overdue is not None else None
        if limit is not None:
            self._limit = {"timeout": limit}
        return limit is not None

    def _ended(self, reason: str) -> Outcome:
        if "run" in self._seconds:
            return self._made(NoVerdict, reason=reason)
        return self._made(BootFailed, reason=reason)

    def _made(self, kind: Callable[..., Outcome], **facts: object) -> Outcome:
        seconds = {stage: self._seconds[stage] for stage in _STAGES if stage in self._seconds}
        return kind(
            kernel=self._job.kernel.release,
            accelerator=self._accelerator,
            seconds={**seconds, "end": self._past()},
            notes=tuple(self._notes),
            console="\n".join([self._text(), *self._dump]),
            **facts,
        )

    def _text(self) -> str:
        return self._console.decode(errors="replace")

    def _last_said(self) -> str:
        lines = self._qemu_said.decode(errors="replace").strip().splitlines()
        return "; ".join(lines[-3:]) or "it said nothing"

    def _past(self) -> float:
        return time.monotonic() - self._start


def _spawn(
    command: Sequence[str],
    passed: Sequence[int],
    said: socket.socket,
    mask: set[signal.Signals] | set[int],
) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl  # looked up here: after a fork, as little as possible

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it has died meanwhile

    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=said.fileno(),
        stderr=said.fileno(),
        cwd="/",
        pass_fds=passed,
        preexec_fn=prepare,
        start_new_session=True,  # Ctrl-C is for us, and we end it
    )
