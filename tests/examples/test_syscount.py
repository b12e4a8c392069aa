"""examples/syscount.py, run for real."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "syscount.py"


def lists(*arguments: str) -> list[list[str]]:
    """Its lists, while this process makes many a getppid(2); each without the heading."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for _ in range(1000):
                os.getppid()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        done = subprocess.run(
            [sys.executable, SCRIPT, "--interval", "0.5", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        stop.set()
        worker.join()
    assert (done.returncode, done.stderr) == (0, "")
    return [part.splitlines()[1:] for part in done.stdout.split("\n\n")]


@pytest.mark.usefixtures("bpf")
def test_counts_by_process():
    found = lists("--count", "2")
    assert len(found) == 2
    for each in found:
        # A process that has changed its name is there twice.
        calls = [(int(line.split()[0]), int(line.split()[1])) for line in each]
        assert max(count for count, pid in calls if pid == os.getpid()) >= 1000
        assert calls == sorted(calls, key=lambda call: call[0], reverse=True)


@pytest.mark.usefixtures("bpf")
def test_counts_one_process_by_call():
    (found,) = lists("--count", "1", "--syscalls", "--pid", str(os.getpid()), "--top", "1")
    calls, number = map(int, found[0].split())
    # getppid: the one that this process makes most of
    assert number == {"x86_64": 110, "aarch64": 173}[os.uname().machine]
    assert calls >= 1000
