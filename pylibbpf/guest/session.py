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
    TimedOut,
)

MEMORY = 512  # MiB; 256 is enough to boot; at most three quarters serve as disk
TIMEOUT = 900.0
# Seconds; each many times what was seen, since other work may share the processors.
BOOT = 180.0
KVM_SILENCE = 10.0
ANSWER = 20.0
DRAIN = 60.0

_CONSOLE = 1 << 18  # bytes of the console to keep
_PR_SET_PDEATHSIG = 1
_GUARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STAGES = ("boot", "run", "exit")

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


class Session:
    """One run of a job under one accelerator."""

    def __init__(
        self, job: Job, base: bytes, program: str, accelerator: str, output: Output
    ) -> None:
        self._job = job
        self._base = base
        self._program = program
        self._accelerator = accelerator
        self._write = output
        self._shares = [os.path.realpath(share) for share in job.shares]
        self._mark = f"[end of guest {secrets.token_hex(16)}]".encode()
        self._selector = selectors.DefaultSelector()
        self._open: set[str] = set()  # ports that QEMU has not closed
        self._pending = b""  # output that may be the beginning of the mark
        self._complete = False
        self._heard = 0.0  # when the last output came
        self._line = b""
        self._console = bytearray()
        self._qemu_said = bytearray()
        self._seconds: dict[str, float] = {}
        self._notes: list[str] = []
        self._dump: list[str] = []
        self._status: int | None = None
        self._failed: str | None = None
        self._asked: float | None = None
        self._start = 0.0

    def run(self) -> Outcome:
        """Start QEMU and stay with it; whatever happens, it has ended when this returns."""
        pairs: list[socket.socket] = []
        process: subprocess.Popen[bytes] | None = None
        initramfs = self._initramfs()
        try:
            for _ in range(4):
                pairs += socket.socketpair()
            ours, theirs = pairs[::2], pairs[1::2]
            control, output = ours[:2]
            machine = qemu.Machine(
                kernel=self._job.kernel,
                accelerator=self._accelerator,
                memory=self._job.memory,
                initramfs=initramfs,
                control=theirs[0].fileno(),
                output=theirs[1].fileno(),
                console=theirs[2].fileno(),
                terminal=self._job.terminal is not None,
                append=self._job.append,
                shares=self._shares,
            )
            passed = (initramfs, *(each.fileno() for each in theirs[:3]))
            # An interruption must not come between QEMU's start and our knowing of it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _GUARDED)
            try:
                self._start = time.monotonic()
                process = _spawn(machine.command(self._program), passed, theirs[3], before)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for each in theirs:
                each.close()
            takers = (self._take_control, self._take_output, self._take_console, self._take_said)
            for name, port, take in zip(
                ("control", "output", "console", "said"), ours, takers, strict=True
            ):
                self._watch(name, port, take)
            if self._job.terminal is not None:
                self._watch_terminal(self._job.terminal, output)
            return self._follow(process, control)
        finally:
            if process is not None:
                process.kill()
                process.wait()
            self._selector.close()
            for each in pairs:
                each.close()
            os.close(initramfs)

    def _initramfs(self) -> int:
        job = self._job
        own = image.own(
            job.command,
            folder=job.folder,
            environment=job.environment,
            shares=self._shares,
            mark=self._mark.decode(),
            terminal=job.size if job.terminal is not None else None,
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
                data = port.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if data:
                take(data)
            else:
                self._open.discard(name)
                self._selector.unregister(port)

        self._open.add(name)
        self._selector.register(port, selectors.EVENT_READ, read)

    def _watch_terminal(self, terminal: int, port: socket.socket) -> None:
        def read() -> None:
            data = os.read(terminal, 4096)
            if data and "output" in self._open:
                port.sendall(data)
            else:
                self._selector.unregister(terminal)

        self._selector.register(terminal, selectors.EVENT_READ, read)

    def _take_output(self, data: bytes) -> None:
        if self._complete:
            return  # from what the command left running
        self._heard = self._past()
        data = self._pending + data
        at = data.find(self._mark)
        if at >= 0:
            self._complete = True
            kept = len(data) - at
            self._pending = b""
        else:
            sizes = range(min(len(self._mark) - 1, len(data)), 0, -1)
            kept = next((n for n in sizes if data.endswith(self._mark[:n])), 0)
            self._pending = data[len(data) - kept :]
        if len(data) > kept:
            self._write(data[: len(data) - kept])

    def _take_control(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "note":
                self._notes.append(rest)
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
            for key, _ in self._selector.select(0.1):
                key.data()
            outcome = self._verdict(process) or self._patience(control)
            if outcome is not None:
                if self._pending:
                    self._write(self._pending)
                return outcome

    def _verdict(self, process: subprocess.Popen[bytes]) -> Outcome | None:
        """What the guest, or its end, says."""
        gone = "console" not in self._open and "control" not in self._open
        if self._status is not None:
            silent = self._past() - max(self._heard, self._seconds["exit"])
            if self._complete or gone or silent > DRAIN:
                return self._made(Exited, status=self._status)
            return None
        if self._failed is not None:
            return self._made(BootFailed, reason=self._failed)
        if self._accelerator == qemu.KVM and b"KVM internal error" in self._qemu_said:
            # QEMU then stays, paused
            return self._ended(f"KVM failed: {self._last_said()}")
        # The kernel stays where somebody gave it another panic= than ours.
        if gone or b"---[ end Kernel panic" in self._console:
            return self._end(process)
        return None

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
        try:
            code: int | None = process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        if code == 0:
            return self._ended("the guest rebooted or switched itself off")
        how = f"with status {code}" if code is not None else "its connection to us"
        return self._ended(f"QEMU ended {how}: {self._last_said()}")

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
        limit = self._job.timeout
        if limit is None or past - self._seconds["run"] <= limit:
            return None
        if self._asked is None:
            self._asked = past
            try:
                control.sendall(b"dump\n")
            except OSError:
                pass  # QEMU has just ended: the next look finds out how
        elif "dumped" in self._seconds or past - self._seconds.get("alive", past) > ANSWER:
            return self._made(TimedOut, timeout=limit)
        elif "alive" not in self._seconds and past - self._asked > ANSWER:
            return self._made(Hung, timeout=limit)
        return None

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
