"""examples/opensnoop.py, run for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "opensnoop.py"


def snoop(*arguments: str) -> subprocess.Popen[str]:
    """Start it, and wait until it is attached."""
    child = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    header = child.stdout.readline()
    if header.split() != ["PID", "COMM", "RESULT", "FILE"]:
        pytest.fail(f"{header!r}: {child.communicate()[1]}")
    return child


def rest(child: subprocess.Popen[str]) -> tuple[str, str]:
    """What it prints from here to its end: communicate() would miss what was read ahead."""
    assert child.stdout is not None
    assert child.stderr is not None
    return child.stdout.read(), child.stderr.read()


def rows(text: str) -> list[tuple[int, str, str, str]]:
    found = []
    for line in text.splitlines():
        pid, rest = line.split(maxsplit=1)
        comm, rest = rest[:16].rstrip(), rest[17:]
        result, name = rest[:8].rstrip(), rest[9:]
        found.append((int(pid), comm, result, name))
    return found


def own_comm() -> str:
    return Path("/proc/self/comm").read_text().strip()


@pytest.mark.usefixtures("bpf")
def test_shows_who_opens_what(tmp_path):
    present, missing = tmp_path / "a file", tmp_path / "missing"
    present.touch()
    with snoop("--pid", str(os.getpid()), "--seconds", "1") as child:
        present.open().close()
        assert not missing.exists()  # stat() is no open()
        with pytest.raises(FileNotFoundError):
            missing.open()
        out, err = rest(child)
    assert (child.returncode, err) == (0, "")
    mine = [row for row in rows(out) if row[3].startswith(str(tmp_path))]
    assert [row[3] for row in mine] == [str(present), str(missing)]
    assert {row[:2] for row in mine} == {(os.getpid(), own_comm())}
    assert mine[0][2].isdigit()
    assert mine[1][2] == "ENOENT"


@pytest.mark.usefixtures("bpf")
def test_only_failures(tmp_path):
    present, missing = tmp_path / "present", tmp_path / "missing"
    present.touch()
    with snoop("--pid", str(os.getpid()), "--seconds", "1", "--failed") as child:
        present.open().close()
        with pytest.raises(FileNotFoundError):
            missing.open()
        out, _ = rest(child)
    assert [row[3] for row in rows(out) if row[3].startswith(str(tmp_path))] == [str(missing)]


@pytest.mark.usefixtures("bpf")
def test_demo_shows_its_own_workload():
    with snoop("--seconds", "1.5", "--demo") as child:
        out, err = rest(child)
    assert child.returncode == 0
    pid = int(err.split("process ")[1].split()[0])
    seen = {row[1:] for row in rows(out) if row[0] == pid}
    assert ("sh", "ENOENT", "/etc/pylibbpf-no-such-file") in seen
    assert ("sh", "3", "/etc/os-release") in seen
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.usefixtures("bpf")
def test_interrupted_ends_well():
    with snoop() as child:
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        _, err = rest(child)
    assert (child.returncode, err) == (0, "")


@pytest.mark.usefixtures("bpf")
def test_a_reader_that_leaves_ends_it_quietly(tmp_path):
    with snoop("--pid", str(os.getpid())) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        deadline = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < deadline:
            (tmp_path / "file").touch()
            time.sleep(0.05)
        assert (child.wait(1), child.stderr.read()) == (0, "")


def test_without_privilege_it_says_so():
    # root without any capability is nobody, who may all the same read root's Python.
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    for arguments, status in (([], 2), (["--demo"], 0)):
        done = subprocess.run(
            [*powerless, sys.executable, SCRIPT, "--seconds", "1", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == status, done.stderr
        assert "CAP_BPF" in done.stderr
        assert ("events" in done.stdout) == bool(arguments)
