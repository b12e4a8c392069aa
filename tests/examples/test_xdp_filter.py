"""examples/xdp_filter.py, run for real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "xdp_filter.py"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def counts(line: str) -> dict[str, tuple[int, int]]:
    found = re.findall(r"([a-zA-Z ]+?) (\d+) \((\d+) bytes\)", line)
    return {name.strip(): (int(frames), int(size)) for name, frames, size in found}


def test_the_demo_counts_exactly(namespaces):
    child = start("--demo", "--port", "7777")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")
    first, blocked, other, last = out.splitlines()
    assert re.fullmatch(r"UDP to port 7777 is dropped at demo0, in (native|generic) mode", first)
    assert blocked == "sent 100 to port 7777, 0 arrived"
    assert other == "sent 50 to port 7778, 50 arrived"
    found = counts(last)
    # Ethernet, IPv4 and UDP headers take 42 bytes; the payload is the packet's number.
    assert found["dropped"] == (100, 100 * 42 + 10 + 2 * 90)
    assert found["passed UDP"] == (50, 50 * 42 + 10 + 2 * 40)


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_at_an_interface(wire, mode):
    with wire.listen(7777) as blocked, wire.listen(7778) as other:
        blocked.settimeout(0.2)
        child = start("wire0", "--netns", wire.far, "--port", "7777", "--mode", mode)
        assert child.stdout is not None
        assert child.stdout.readline() == (
            f"UDP to port 7777 is dropped at wire0, in {mode} mode\n"
        )
        wire.send(30, 7777)
        wire.send(20, 7778)
        assert [other.recv(16) for _ in range(20)][-1] == b"19"
        with pytest.raises(TimeoutError):
            blocked.recv(16)
        while counts(line := child.stdout.readline())["dropped"][0] < 30:
            assert line
        found = counts(line)
        assert (found["dropped"][0], found["passed UDP"][0]) == (30, 20)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60)[1] == ""
        assert child.returncode == 0
        blocked.settimeout(10)
        wire.send(1, 7777)  # the filter went with its process
        assert blocked.recv(16) == b"0"


def test_it_says_what_is_wrong(bpf):
    child = start("no-such-if", "--seconds", "1")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (1, "")
    assert err.startswith("xdp_filter: find interface 'no-such-if': ENODEV")
    child = start()
    assert "name an interface, or say --demo" in child.communicate(timeout=60)[1]
    assert child.returncode == 2


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
