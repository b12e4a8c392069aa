"""A pytest project whose guests are processes of this host: all but QEMU is the real thing."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pylibbpf.guest import cache, kernels, qemu, runner
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.outcome import Exited, Outcome, Panicked, Stopped, TimedOut
from pylibbpf.guest.session import Job, Output

RELEASES = {"6.1": "6.1.0-50-amd64", "6.12": "6.12.117-amd64", "7.2": "7.2.13-amd64"}


class Guests:
    """What was booted, and what is to happen: ``end`` may name another end for one boot."""

    def __init__(self) -> None:
        self.booted: list[str] = []
        self.fetched: list[str] = []
        self.running = 0
        self.end: Callable[[Job, Output], Outcome | None] = lambda job, output: None

    def run(self, job: Job, output: Output, say: Callable[[str], None]) -> Outcome:
        """As runner.run; a command that is killed stands for a panic."""
        self.booted.append(job.kernel.name)
        self.running += 1
        try:
            return self.end(job, output) or self._run(job, output)
        finally:
            self.running -= 1

    def _run(self, job: Job, output: Output) -> Outcome:
        facts = {"kernel": job.kernel.release, "accelerator": "pretended"}
        with tempfile.TemporaryDirectory() as folder:
            for name, data in job.files.items():
                Path(folder, name).write_bytes(data)
            port = f"{folder}/records"
            os.mkfifo(port)
            process = subprocess.Popen(
                [word.replace("/run/guest/files", folder) for word in job.command],
                cwd=job.folder,
                # a guest's temporary folder goes with it
                env={**job.environment, "PYLIBBPF_RECORDS": port, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            ours = os.open(port, os.O_RDWR)  # so that no end waits for the other
            assert process.stdout is not None
            assert job.records is not None
            readers = [
                threading.Thread(target=_read, args=(ours, job.records)),
                threading.Thread(target=_read, args=(process.stdout.fileno(), output)),
            ]
            for reader in readers:
                reader.start()
            late = None
            while process.poll() is None:
                late = job.overdue() if job.overdue is not None else None
                if late is not None or (job.stop is not None and job.stop.is_set()):
                    process.kill()
                time.sleep(0.02)
            os.write(ours, _END)
            for reader in readers:
                reader.join()
            os.close(ours)
            process.stdout.close()
        if job.stop is not None and job.stop.is_set():
            return Stopped(**facts)
        if late is not None:
            return TimedOut(**facts, timeout=late, console="stack of what hangs")
        if process.returncode == -signal.SIGKILL:
            return Panicked(**facts, panic="pretended", console="last line of the console")
        return Exited(**facts, status=process.returncode % 256 if process.returncode >= 0 else
                      128 - process.returncode)  # fmt: skip


_END = b"\0[the pretended port is closed]"


def _read(number: int, take: Output) -> None:
    held = b""
    while data := os.read(number, 1 << 16):
        held += data
        if held.endswith(_END):
            take(held.removesuffix(_END))
            return
        if not any(held.endswith(_END[:n]) for n in range(1, len(_END))):
            take(held)
            held = b""
    take(held)


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Guests:
    """A host that can boot guests, or so it seems."""
    made = Guests()

    def get(name: str, folder: Path, say: Callable[[str], None]) -> Kernel:
        made.fetched.append(name)
        say(f"fetching Linux {name}")
        return Kernel(name, RELEASES[name], Path("/dev/null"), None, None)

    monkeypatch.delenv("PYLIBBPF_GUEST", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setattr(runner, "run", made.run)
    monkeypatch.setattr(qemu, "find", lambda: "qemu")
    monkeypatch.setattr(kernels, "get", get)
    monkeypatch.setattr(cache, "place", lambda: tmp_path)
    return made
