"""examples/profile.py, run for real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "profile.py"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stacks(text: str) -> list[tuple[list[str], int]]:
    """Frames and count of each line."""
    lines = [line.rpartition(" ") for line in text.splitlines()]
    return [(stack.split(";"), int(count)) for stack, _, count in lines]


@pytest.mark.usefixtures("bpf")
def test_a_busy_process_is_seen():
    with start("--seconds", "1.5", "--demo", "--frequency", "199") as child:
        out, err = child.communicate()
    assert child.returncode == 0, err
    pid = int(err.split("process ")[1].split()[0])
    busy = [(frames, count) for frames, count in stacks(out) if frames[0] == "dd"]
    assert sum(count for _, count in busy) > 20
    with open("/proc/kallsyms") as symbols:
        shown = any(int(line.split()[0], 16) for line in symbols)
    if not shown:
        pytest.skip("needs CAP_SYSLOG, for the names of the kernel's functions")
    kernel = {frame for frames, _ in busy for frame in frames if frame.endswith("_k")}
    assert any(re.match(r"(__)?(x64_sys_|arm64_sys_|do_)?\w*(read|clear|zero)", f) for f in kernel)
    # From the outermost on: a system call's entry comes before what it calls.
    deep = max((frames for frames, _ in busy), key=len)
    assert deep[-1].endswith("_k")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.usefixtures("bpf")
def test_one_process_until_interrupted():
    """This one, which is busy meanwhile."""
    with start("--pid", str(os.getpid()), "--frequency", "499") as child:
        assert child.stderr is not None
        assert child.stderr.readline() == "profile: sampling\n"
        ended = threading.Timer(1, child.send_signal, (signal.SIGINT,))
        ended.start()
        while ended.is_alive():
            pass
        out, err = child.communicate()
    assert (child.returncode, err) == (0, "")
    found = stacks(out)
    assert sum(count for _, count in found) > 20
    comms = {
        Path(f"/proc/self/task/{tid}/comm").read_text().strip()
        for tid in os.listdir("/proc/self/task")
    }
    assert {frames[0] for frames, _ in found} <= comms | {"python", "python3"}


def test_without_privilege_it_says_so():
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, SCRIPT, "--seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 2, done.stderr
    assert "CAP_BPF" in done.stderr
