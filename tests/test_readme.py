"""The examples of README.md and docs/*.md do what they say.

Each ``python`` block runs by itself, from the root of the checkout; each line of a ``console``
block that starts with ``$ pylibbpf`` runs as it stands. Blocks of other kinds (``text``, ``c``,
``sh``) are for reading.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[tuple[str, str]]:
    """The blocks of one kind, each with a name that says where it stands."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{page.stem}:{line}", match[1]))
    return found


PYTHON = blocks("python")
COMMANDS = [
    (where, line.removeprefix("$ "))
    for where, block in blocks("console")
    for line in block.splitlines()
    if line.startswith("$ ")
]

# A block counts on what its reader's host has mounted; the test makes sure of it.
PREFIX = "from pylibbpf.cli.mounts import private_mounts; private_mounts(bpffs=True)\n"


def test_there_are_examples():
    readme = [where for where, _ in PYTHON if where.startswith("README")]
    assert len(readme) >= 3
    assert len([where for where, _ in COMMANDS if where.startswith("README")]) >= 5


@pytest.mark.parametrize("code", [c for _, c in PYTHON], ids=[where for where, _ in PYTHON])
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


@pytest.mark.parametrize(
    "command", [c for _, c in COMMANDS], ids=[f"{where}:{c}" for where, c in COMMANDS]
)
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
