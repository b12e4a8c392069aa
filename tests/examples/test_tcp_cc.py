"""examples/tcp_cc.py, run for real."""

from __future__ import annotations

import fcntl
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "tcp_cc.py"
AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@pytest.fixture
def free_name(sound_kernel):
    """The example's name is the whole machine's: another run must have ended."""
    lock = (Path(tempfile.gettempdir()) / "pylibbpf-plb_textbook.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield from waited()
    lock.close()


def waited():
    for _ in range(500):
        if "plb_textbook" not in AVAILABLE.read_text():
            yield
            return
        threading.Event().wait(0.02)
    pytest.fail("somebody else has plb_textbook registered")


@pytest.mark.usefixtures("by_id", "free_name")  # CAP_SYS_ADMIN, for the network namespace
def test_data_is_sent_with_it():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--megabytes", "2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts = {name: int(value) for name, value in re.findall(r"(\w+) +(\d+)$", done.stdout, re.M)}
    assert counts["connections"] == 1
    assert counts["acks"] > 0
    assert counts["largest"] > 0


@pytest.mark.usefixtures("free_name")
def test_kept_until_it_is_told_to_end():
    with subprocess.Popen(
        [sys.executable, SCRIPT, "--keep"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline().startswith("registered as plb_textbook")
        assert "plb_textbook" in AVAILABLE.read_text().split()
        with socket.socket() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"plb_textbook")
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read().startswith("used by ")
    assert child.returncode == 0
    for _ in range(500):
        if "plb_textbook" not in AVAILABLE.read_text():
            break
        threading.Event().wait(0.02)
    assert "plb_textbook" not in AVAILABLE.read_text()
