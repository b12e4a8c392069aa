"""A command under make that ends well at Ctrl-C: make must not see the signal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / "tools" / "foreground.py"
WAITS = """
import time
try:
    print("up", flush=True)
    time.sleep(30)
except KeyboardInterrupt:
    print("down")
"""
MAKEFILE = 'all:\n\t@$(PYTHON) $(TOOL) $(PYTHON) -c "$$WAITS"\n\t@echo after\n'


@pytest.fixture
def terminal(tmp_path):
    """`make` in a terminal of its own; gives process and the terminal's other end."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ.update(PYTHON=sys.executable, TOOL=str(TOOL), WAITS=WAITS)
        os.environ.pop("MAKEFLAGS", None)
        os.environ.pop("MAKELEVEL", None)
        os.execvp("make", ["make"])
    yield pid, master
    os.close(master)


def read_until(master: int, text: bytes) -> bytes:
    got = b""
    deadline = time.monotonic() + 20
    while text not in got and time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                got += os.read(master, 1024)
            except OSError:  # EIO: the last process has closed the terminal
                break
    return got


def test_interrupt_reaches_the_command_and_not_make(terminal):
    pid, master = terminal
    assert b"up" in read_until(master, b"up")
    os.write(master, b"\x03")
    assert b"down\r\nafter" in read_until(master, b"after")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_without_a_terminal_it_just_runs():
    done = subprocess.run(
        [sys.executable, TOOL, sys.executable, "-c", "import sys; sys.exit(7)"],
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 7
