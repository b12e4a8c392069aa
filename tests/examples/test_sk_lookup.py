"""examples/sk_lookup.py, run for real: in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "sk_lookup.py"


@contextlib.contextmanager
def look_up(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start it; it does not outlive the test."""
    with subprocess.Popen(
        [sys.executable, SCRIPT, "--demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.usefixtures("namespaces")
def test_several_ports_and_one_socket():
    with look_up("--ports", "7000-7003") as child:
        assert child.stdout.readline().split() == ["PORT", "FROM"]
        said = [child.stderr.readline() for _ in range(6)]
        rows = [child.stdout.readline().split() for _ in range(4)]
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 0
        assert child.stdout.read() == ""
        assert child.stderr.read() == ""
    assert [row[0] for row in rows] == ["7000", "7001", "7002", "7003"]
    assert {row[1].partition(":")[0] for row in rows} == {"127.0.0.1"}
    assert said == [
        "sk_lookup: port 6999 is closed\n",
        *(f"sk_lookup: port {n} says hello, you asked for {n}\n" for n in range(7000, 7004)),
        "sk_lookup: port 7004 is closed\n",
    ]


@pytest.mark.usefixtures("namespaces")
def test_ends_by_itself():
    with look_up("--ports", "7000", "--seconds", "0.5") as child:
        _, err = child.communicate(timeout=60)
    assert child.returncode == 0
    assert re.search(r"sk_lookup: \d connections steered\n$", err), err


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
