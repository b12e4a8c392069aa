"""examples/handover.py, run for real: it is restarted while packets are sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pylibbpf.cli.mounts import bpffs_mounted

SCRIPT = Path(__file__).parents[2] / "examples" / "handover.py"

# Sends datagrams over loopback, out of the cgroup, until its standard input ends; tells how many.
SENDER = """
import select, socket, sys
open(sys.argv[1], "w").write("0")
to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
to.bind(("127.0.0.1", 0))
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
count = 0
print("ready", flush=True)
while True:
    out.sendto(b"x", to.getsockname())
    count += 1
    if count % 16 == 0 and select.select([sys.stdin], [], [], 0)[0]:
        break
print(count)
"""


@pytest.fixture
def cgroup(bpf):
    with open("/proc/self/mountinfo") as file:
        found = [line.split()[4] for line in file if " - cgroup2 " in line]
    if not found:
        pytest.skip("needs a mounted cgroup v2 file system")
    folder = Path(tempfile.mkdtemp(prefix="pylibbpf-", dir=found[0]))
    yield folder
    folder.rmdir()


@pytest.fixture
def handover(cgroup):
    """Run the script; its pins are removed if the test does not come to that."""
    if not bpffs_mounted():
        pytest.skip("needs a BPF file system at /sys/fs/bpf, or CAP_SYS_ADMIN to mount one")
    pins = Path("/sys/fs/bpf") / f"pylibbpf-handover-{os.getpid()}"

    def run(what: str) -> str:
        done = subprocess.run(
            [sys.executable, SCRIPT, what, "--cgroup", cgroup, "--pins", pins],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run.pins = pins
    yield run
    if pins.exists():
        for each in pins.iterdir():
            each.unlink()
        pins.rmdir()


def test_no_packet_is_missed_by_restarts(handover, cgroup):
    handover("start")
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, cgroup / "cgroup.procs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sender:
        assert sender.stdout.readline() == "ready\n"
        for version in (1, 2, 3):
            assert handover("start").startswith(f"version {version} counts")
        said, _ = sender.communicate(timeout=60)
    sent = int(said)
    shown = handover("status")
    by_version = dict(re.findall(r"version (\d+): (\d+) packets", shown))
    assert set(by_version) == {"0", "1", "2", "3"}
    assert sum(map(int, by_version.values())) == sent
    assert f"all: {sent} packets" in shown
    handover("stop")
    assert not handover.pins.exists()


def test_without_privilege_it_says_so(tmp_path):
    powerless = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    left = [*powerless, "grep", "CapEff", "/proc/self/status"]
    if int(subprocess.check_output(left).split()[1], 16):
        pytest.skip("needs CAP_SETPCAP, to drop the other capabilities")
    done = subprocess.run(
        [*powerless, sys.executable, SCRIPT, "start", "--cgroup", tmp_path, "--pins", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "CAP_BPF" in done.stderr
