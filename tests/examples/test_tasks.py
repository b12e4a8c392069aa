"""examples/tasks.py, run for real."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "tasks.py"


def tasks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


def rows(text: str) -> dict[int, list[str]]:
    """The last table, by pid: parent, user, threads, CPU time, name."""
    table = text.rpartition("COMM\n")[2]
    return {int(line.split()[0]): line.split(maxsplit=5)[1:] for line in table.splitlines()}


def children() -> set[int]:
    """The processes that this one has, whichever thread began them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in lists for pid in each.read_text().split()}


@pytest.mark.usefixtures("bpf")
def test_shows_processes():
    before = children()  # what other tests have left to wait for
    done = tasks()
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(done.stdout)
    parent, _, threads, cpu, comm = found[os.getpid()]
    assert int(parent) == os.getppid()
    assert int(threads) == len(os.listdir("/proc/self/task"))
    assert float(cpu) > 0
    assert comm == Path("/proc/self/comm").read_text().strip()
    ours = {pid for pid, row in found.items() if int(row[0]) == os.getpid()}
    assert len(ours - before) == 1  # the script itself


@pytest.mark.usefixtures("bpf")
def test_threads_of_one_process():
    ready, end = threading.Event(), threading.Event()
    tids = []

    def wait():
        tids.append(threading.get_native_id())
        ready.set()
        end.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        ready.wait()
        done = tasks("--pid", str(os.getpid()), "--threads")
    finally:
        end.set()
        thread.join()
    found = rows(done.stdout)
    assert {os.getpid(), tids[0]} <= set(found)
    assert set(found) <= set(map(int, os.listdir("/proc/self/task"))) | {tids[0]}


@pytest.mark.usefixtures("bpf")
def test_demo_is_busy():
    done = tasks("--demo", "--seconds", "1.5")
    assert done.returncode == 0, done.stderr
    pid = int(done.stderr.split("process ")[1].split()[0])
    assert done.stdout.count("PARENT") >= 2
    assert rows(done.stdout)[pid][4] == "sh"
    assert float(rows(done.stdout)[pid][3]) > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_privilege_it_says_so():
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, SCRIPT], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 2, done.stderr
    assert "CAP_BPF" in done.stderr
