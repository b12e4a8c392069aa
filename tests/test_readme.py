"""The README's examples do what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]

# A README block counts on what its reader's host has mounted; the test makes sure of it.
PREFIX = "from pylibbpf.cli.mounts import private_mounts; private_mounts()\n"


def test_there_are_examples():
    assert len(PYTHON) >= 3
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("code", PYTHON, ids=[f"block{i}" for i in range(len(PYTHON))])
def test_python(bpf, code):
    # A stream that is never quiet would go on for ever: a reader ends it with Ctrl-C.
    done = subprocess.run(
        ["timeout", "--signal=INT", "5", sys.executable, "-W", "error", "-c", PREFIX + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 124), done.stderr
    if done.returncode == 0:
        assert not done.stderr
    assert done.stdout
    assert "KeyboardInterrupt" in done.stderr or "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_command(bpf, command):
    program, *arguments = shlex.split(command)
    assert program == "pylibbpf"
    done = subprocess.run(
        [sys.executable, "-m", "pylibbpf", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
