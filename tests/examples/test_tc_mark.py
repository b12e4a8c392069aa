"""examples/tc_mark.py, run for real."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "tc_mark.py"
KERNEL = tuple(int(each) for each in re.findall(r"\d+", platform.release())[:2])


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", ["tc", "tcx"])
def test_the_demo_counts_exactly(namespaces, ledger, how):
    child = start(
        "--demo", "--port", "7777", "--mark", "0x11", *(["--tcx"] if how == "tcx" else [])
    )
    out, err = child.communicate(timeout=60)
    if how == "tcx" and KERNEL < (6, 6):
        assert child.returncode == 1
        assert "tcx needs Linux 6.6" in err
        return
    assert (child.returncode, err) == (0, "")
    assert out.splitlines() == [
        f"UDP to port 7777 is marked 17 at demo0, by {how}",
        "sent 20 to port 7777, 30 to port 7778",
        "mark 0: 30  mark 17: 20",
    ]
    assert not ledger.exists() or os.listdir(ledger) == []


def test_at_an_interface(wire, ledger):
    with wire.listen(7777) as far:
        child = start("wire0", "--netns", wire.near, "--port", "7777", "--mark", "5")
        assert child.stdout is not None
        assert child.stdout.readline().startswith("UDP to port 7777 is marked 5 at wire0")
        wire.send(3, 7777)
        assert [far.recv(16) for _ in range(3)][-1] == b"2"  # marked, and let through
        wire.send(4, 7778)
        line = ""
        while line != "mark 0: 4  mark 5: 3\n":
            line = child.stdout.readline()
            assert line
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60)[1] == ""
        assert child.returncode == 0
    assert os.listdir(ledger) == []


def test_it_says_what_is_wrong(bpf):
    child = start("no-such-if", "--seconds", "1")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (1, "")
    assert err.startswith("tc_mark: find interface 'no-such-if': ENODEV")


def test_without_privilege_it_says_so():
    # root without any capability is nobody, who may all the same read root's Python.
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, SCRIPT, "--demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "which only root may" in done.stderr
    assert "Traceback" not in done.stderr
