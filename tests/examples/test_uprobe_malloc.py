"""examples/uprobe_malloc.py, run for real."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "uprobe_malloc.py"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def slots(text: str) -> dict[int, tuple[int, int]]:
    """Calls and bytes by the least size of the line."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return {int(row[0]): (int(row[2]), int(row[3])) for row in rows}


@pytest.mark.usefixtures("uprobes")
def test_sizes_are_counted_exactly():
    """This process asks for sizes that nothing else asks for, so many times."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    with start("--pid", str(os.getpid()), "--seconds", "3") as child:
        assert child.stderr.readline() == f"uprobe_malloc: counting in process {os.getpid()}\n"
        for _ in range(57):
            libc.free(libc.malloc((1 << 26) + 12345))
        libc.free(libc.malloc(1 << 27))
        out, err = child.communicate()
    assert (child.returncode, err) == (0, "")
    found = slots(out)
    assert found[1 << 26] == (57, 57 * ((1 << 26) + 12345))
    assert found[1 << 27] == (1, 1 << 27)


@pytest.mark.usefixtures("uprobes")
def test_demo_shows_its_own_workload():
    with start("--demo", "--seconds", "1.5") as child:
        out, err = child.communicate()
    assert child.returncode == 0, err
    found = slots(out)
    assert found[1 << 16][0] > 10  # 100,000 bytes
    assert found[1 << 21][0] > 10  # 3,000,000 bytes
    pid = int(err.split("process ")[1].split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.usefixtures("bpf")
def test_a_process_that_is_not_there():
    with start("--pid", str((1 << 22) - 1), "--seconds", "1") as child:
        out, err = child.communicate()
    assert (child.returncode, out) == (1, "")
    assert "there is no process 4194303" in err


def test_without_privilege_it_says_so():
    # root without any capability is nobody, who may all the same read root's Python.
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, SCRIPT, "--pid", str(os.getpid()), "--seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.search("CAP_BPF|CAP_SYS_ADMIN", done.stderr)
    assert "Traceback" not in done.stderr
