"""Real guests: one boot for each thing that only a real one can show."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylibbpf.errors import Error
from pylibbpf.guest import cache, image, kernels, qemu

KERNEL = kernels.DEFAULT


def _missing() -> str | None:
    if shutil.which(qemu.PROGRAM) is None:
        return f"needs {qemu.PROGRAM}: apt-get install --no-install-recommends qemu-system-x86"
    if not any(os.path.exists(path) and image.static(Path(path)) for path in image._BUSYBOX):
        return "needs busybox: apt-get install busybox-static"
    try:
        folder = cache.place()
        if kernels.cached(kernels.pinned(KERNEL, folder), folder) is None:
            return f"needs the kernel {KERNEL}: pylibbpf vm fetch {KERNEL}"
    except Error as error:
        return str(error)
    return None


@pytest.fixture(scope="session")
def guests() -> None:
    """QEMU, busybox and a kernel. Where CI is set they must be there."""
    if os.environ.get("PYLIBBPF_GUEST"):
        pytest.skip("needs a host: this is a guest, and QEMU in QEMU takes for ever")
    missing = _missing()
    if missing is not None:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


def command(*words: str, options: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, "-m", "pylibbpf", "vm", "run", *options, "--", *words]


def run(*words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words, options=options), capture_output=True, text=True, check=False, timeout=600
    )


def children() -> set[int]:
    """Processes of QEMU that this process's children started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if qemu.PROGRAM in path.read_text() and f"cache={os.getpid()}" in path.read_text():
                found.add(int(path.parent.name))
        except OSError:
            continue  # it has just ended
    return found


OWN = ("--append", f"cache={os.getpid()}")  # by which ours are known


@pytest.fixture(autouse=True)
def nothing_left(guests: None, tmp_path: Path) -> Iterator[None]:
    """After each test: no QEMU of ours, and no file in the cache that was not there."""
    folder = cache.place()
    before = {path for path in folder.iterdir() if path.name != "images"}
    yield
    deadline = time.monotonic() + 30
    while children() and time.monotonic() < deadline:
        time.sleep(0.1)  # the kernel is ending what PR_SET_PDEATHSIG named
    assert children() == set()
    assert {path for path in folder.iterdir() if path.name != "images"} == before


def test_a_command_sees_the_host_and_its_writes_stay_in_the_guest(tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("host\n")
    shared = tmp_path / "a share, with a comma"
    shared.mkdir()
    script = f"""
        uname -r
        cat {kept}
        echo guest >{kept} && cat {kept}
        echo new >{tmp_path}/new
        echo written >'{shared}/file'
        /run/guest/busybox ip link add v0 type veth
        test -e /sys/class/net/v0 && echo veth
        test -e /sys/fs/cgroup/cgroup.procs && test -e /sys/kernel/tracing/events && echo mounted
        unshare -Ur true && echo namespace
        id -u
        echo to standard error >&2
        exit 7
    """
    done = run("sh", "-c", script, options=(*OWN, "--share", str(shared)))
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{KERNEL}.")
    assert lines[1:] == ["host", "guest", "veth", "mounted", "namespace", "0", "to standard error"]
    assert done.stderr == ""
    assert kept.read_text() == "host\n"
    assert not (tmp_path / "new").exists()
    assert (shared / "file").read_text() == "written\n"


def test_a_panic_is_no_verdict_of_the_command():
    # the pause: what is written in the instant before a panic may not leave the guest
    done = run(
        "sh", "-c", "echo before; sleep 1; echo c >/proc/sysrq-trigger; sleep 60", options=OWN
    )
    assert done.returncode == 120
    assert done.stdout == "before\n"
    assert "panicked while the command ran: sysrq triggered crash" in done.stderr
    assert "Kernel Offset" in done.stderr  # the last lines of the console


def test_timeout_then_ctrl_c():
    done = run("sh", "-c", "echo begun; sleep 1000", options=(*OWN, "--timeout", "0.5"))
    assert done.returncode == 121, done.stderr
    assert done.stdout == "begun\n"
    assert "did not end within 0.5 s" in done.stderr
    assert "sleep 1000" in done.stderr  # what hangs, and its kernel stack
    with subprocess.Popen(
        command("sh", "-c", "echo begun; sleep 1000", options=OWN),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert select.select([process.stdout], [], [], 300)[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
