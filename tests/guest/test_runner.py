"""Real guests: one boot for each thing that only a real one can show."""

from __future__ import annotations

import contextlib
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

from pylibbpf.guest import cache, image, kernels, qemu
from pylibbpf.guest.outcome import GuestError

KERNEL = kernels.DEFAULT


@pytest.fixture(scope="session")
def guests() -> None:
    """QEMU, busybox and a kernel, fetched if need be. Where CI is set they must be there."""
    if os.environ.get("PYLIBBPF_GUEST"):
        pytest.skip("needs a host: this is a guest, and QEMU in QEMU takes for ever")
    said: list[str] = []
    try:
        qemu.find()
        folder = cache.place()
        image.base(kernels.get(KERNEL, folder, said.append), folder, said.append)
    except GuestError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(f"needs guests: {error}")
    if qemu.kvm(qemu.find(), folder).kvm:
        run("true")  # whether KVM works is found out, said and noted once


def command(*words: str, options: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, "-m", "pylibbpf", "vm", "run", *options, "--", *words]


def run(*words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words, options=options), capture_output=True, text=True, check=False, timeout=600
    )


def unexpected(said: str) -> list[str]:
    """What we say ourselves, but for an emulated kernel's random panic before the command."""
    return [line for line in said.splitlines() if not line.endswith(": booting once more")]


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
    assert unexpected(done.stderr) == []
    assert kept.read_text() == "host\n"
    assert not (tmp_path / "new").exists()
    assert (shared / "file").read_text() == "written\n"


def test_a_panic_is_no_verdict_of_the_command():
    # the pause: what is written in the instant before a panic may not leave the guest
    script = "echo before; sleep 1; echo c >/proc/sysrq-trigger; sleep 60"
    done = run("sh", "-c", script, options=OWN)
    assert done.returncode == 120
    assert done.stdout == "before\n"
    assert "panicked while the command ran: sysrq triggered crash" in done.stderr
    # Which lines are the last differs from one kernel, and one panic, to the next.
    assert "--- the last lines of the guest's console\n" in done.stderr


def test_a_guest_that_reboots_gives_no_verdict():
    done = run("sh", "-c", "echo b >/proc/sysrq-trigger; sleep 60", options=OWN)
    assert done.returncode == 124, done.stderr
    assert "the guest rebooted or switched itself off" in done.stderr


def test_a_guest_that_is_treated_badly_still_reports():
    script = """
        kill -9 1
        dd if=/dev/zero of=/filled bs=1M 2>&1 | grep -o 'No space left on device'
        echo still here
        kill -9 -1
        exit 9
    """
    done = run("sh", "-c", script, options=OWN)
    assert done.returncode in (9, 137), done.stderr  # dash takes itself for a target, or not
    assert done.stdout == "No space left on device\nstill here\n"
    assert not os.path.exists("/filled")


def test_a_guest_that_loops_and_answers_nothing():
    script = """
import os
def write(path, text):
    if os.path.exists(path):
        with open(path, "w") as file:
            file.write(text)
# what keeps a part of the time for others, by kernel
write("/sys/kernel/debug/sched/fair_server/cpu0/runtime", "0")
write("/proc/sys/kernel/sched_rt_runtime_us", "-1")
print("looping", flush=True)
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
while True:
    pass
"""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    done = run(python, "-c", script, options=(*OWN, "--timeout", "10"))
    assert done.returncode == 123, done.stdout + done.stderr
    assert "the guest does not answer" in done.stderr


def test_two_at_once_of_kernels_by_path():
    folder = cache.place()
    kernel = kernels.cached(kernels.pinned(KERNEL, folder), folder)
    assert kernel is not None
    assert kernel.modules is not None
    unpacked = next(path for path in kernel.modules.parents if path.parent == folder / "kernels")
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    command("uname", "-r", options=(*OWN, "--kernel", str(path))),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for path in (unpacked, kernel.image)
        ]
        for process in running:
            out, error = process.communicate(timeout=600)
            assert (process.returncode, out) == (0, f"{kernel.release}\n"), error


def test_timeout_then_ctrl_c():
    done = run("sh", "-c", "echo begun; sleep 1000", options=(*OWN, "--timeout", "3"))
    assert done.returncode == 121, done.stderr
    assert done.stdout == "begun\n"
    assert "did not end within 3 s" in done.stderr
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
        assert unexpected(process.stderr.read().decode()) == []
