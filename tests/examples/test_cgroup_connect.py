"""examples/cgroup_connect.py, run for real."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "cgroup_connect.py"
HEADER = ["PID", "COMM", "PORT", "ADDRESS"]
# Writes into a file what became of a connection to each port that is given.
TRY = """
import errno, socket, sys
with open(sys.argv[1], "w") as file:
    for port in sys.argv[2:]:
        with socket.socket() as one:
            number = one.connect_ex(("127.0.0.1", int(port)))
        print(errno.errorcode.get(number, "connected"), file=file)
"""


@pytest.fixture
def cgroup2(bpf) -> Path:
    """Where the cgroup v2 file system is mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for _, where, kind, *_ in mounts:
        if kind == "cgroup2" and os.access(where, os.W_OK):
            return Path(where)
    pytest.skip("needs a cgroup v2 file system that may be written (a container may have none)")


def left(cgroup2: Path, pid: int) -> list[Path]:
    """Cgroups of that process that were not removed."""
    return [each for each in cgroup2.rglob(f"cgroup_connect-{pid}-*") if each.is_dir()]


@contextlib.contextmanager
def connect(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start it; it does not outlive the test."""
    with subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_port_is_closed_to_the_command_alone(cgroup2, tmp_path):
    denied, allowed = closed_port(), closed_port()
    said = tmp_path / "said"
    command = [sys.executable, "-c", TRY, said, str(denied), str(allowed)]
    with connect("--port", denied, "--", *command) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert said.read_text().split() == ["EPERM", "ECONNREFUSED"]
    header, event = (line.split() for line in out.splitlines())
    assert header == HEADER
    assert event[2:] == [str(denied), "127.0.0.1"]
    assert err.splitlines()[-1] == "cgroup_connect: 1 connections refused"
    subprocess.run(command, check=True)
    assert said.read_text().split() == ["ECONNREFUSED", "ECONNREFUSED"]
    assert left(cgroup2, child.pid) == []


def test_the_status_of_the_command(cgroup2):
    with connect("--port", 25, "--", "sh", "-c", "exit 7") as child:
        child.communicate(timeout=60)
    assert child.returncode == 7


def test_demo(cgroup2):
    with connect("--demo") as child:
        assert child.stderr.readline() == "cgroup_connect: outside the cgroup, connected\n"
        assert child.stdout.readline().split() == HEADER
        rows = [child.stdout.readline().split() for _ in range(4)]
        assert left(cgroup2, child.pid) != []
        child.send_signal(signal.SIGINT)
        rows += [line.split() for line in child.stdout]
        assert child.wait(timeout=60) == 0
        assert {row[3] for row in rows} == {"127.0.0.1", "::1"}
        assert len({row[0] for row in rows}) == len({row[2] for row in rows}) == 1
        assert child.stderr.read() == ""
    assert left(cgroup2, child.pid) == []


def test_interrupted_it_leaves_nothing(cgroup2):
    with connect("--port", 25) as child:
        folder = child.stderr.readline().split()[-1].rpartition("/")[0]
        assert Path(folder).is_dir()
        assert child.stdout.readline().split() == HEADER
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 0
    assert not Path(folder).exists()


def test_without_privilege_it_says_so():
    sets = ["--inh-caps=-all", "--ambient-caps=-all"]
    powerless = ["setpriv", *(["--bounding-set=-all"] if os.geteuid() == 0 else sets)]
    done = subprocess.run(
        [*powerless, sys.executable, SCRIPT, "--demo", "--seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "CAP_BPF" in done.stderr
    assert "Traceback" not in done.stderr
