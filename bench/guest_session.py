"""A pytest session of 100 small tests in a guest: what it takes beside the tests themselves."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

TESTS = 100
GOAL = 25.0  # seconds over the tests themselves, on an idle machine without KVM
CODE = f"""
import pytest

@pytest.mark.bpf_guest
@pytest.mark.parametrize("n", range({TESTS}))
def test_small(n, tmp_path):
    (tmp_path / "file").write_text(str(n))
"""


def main(rounds: int) -> None:
    """Measure and print."""
    found = []
    before = processor()
    for _ in range(min(rounds, 5)):
        found.append(session())
    used = (processor() - before) / len(found)
    bare = [command() for _ in found]
    over = [whole - tests for whole, tests in found]
    print(f"\n{TESTS} small tests in a guest, seconds (median of {len(found)})")
    print(f"  whole session:             {statistics.median(w for w, _ in found):6.1f}")
    print(f"  the tests themselves:      {statistics.median(t for _, t in found):6.1f}")
    print(f"  over them:                 {statistics.median(over):6.1f}   (goal: {GOAL:g})")
    # of other work, this depends less
    print(f"  processor time:            {used:6.1f}   (mean, of all processes)")
    print(f"  `pylibbpf vm run -- true`: {statistics.median(bare):6.1f}")


def processor() -> float:
    """Seconds of processor time that children have used, QEMU among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def session() -> tuple[float, float]:
    """Seconds of a session, and those of its tests."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_small.py").write_text(CODE)
        options = ["-q", "-p", "no:cacheprovider", "--bpf-guests=require", "--junitxml=out.xml"]
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=folder,
            env=os.environ | {"PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - begun
        if not re.search(rf"^{TESTS} passed", done.stdout, re.M):
            sys.exit(f"guest-session: {done.stdout}{done.stderr}")
        cases = ElementTree.parse(Path(folder) / "out.xml").getroot().iter("testcase")
        return seconds, sum(float(case.get("time", 0)) for case in cases)


def command() -> float:
    """Seconds of a guest that does nothing."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "pylibbpf", "vm", "run", "--", "true"], check=True)
    return time.monotonic() - begun
