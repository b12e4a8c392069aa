"""Perf events: opened, attached, striking, gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import threading
import time
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.engine.kernel.cpus import online
from pylibbpf.uapi.perf import PerfSoftware, PerfType


def has_counters() -> bool:
    return Path("/sys/bus/event_source/devices/cpu").exists()


def pages(count: int) -> None:
    """Touch that many pages that are new to this process."""
    import mmap

    size = mmap.PAGESIZE
    with mmap.mmap(-1, count * size) as memory:
        for page in range(count):
            memory[page * size] = 1


def until(condition) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def perf_event_open(kind: int, config: int, period: int) -> int:
    """An event of this thread, as a caller may have opened it (struct perf_event_attr)."""
    number = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
    attr = struct.pack("=IIQQ", kind, 64, config, period).ljust(40, b"\0")
    attr += struct.pack("=Q", 1).ljust(24, b"\0")  # disabled
    fd = ctypes.CDLL(None, use_errno=True).syscall(number, attr, 0, -1, -1, 8)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def attachments() -> int:
    """How many descriptors of links and perf events this process holds."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed the folder
            kind = os.readlink(f"/proc/self/fd/{fd}")
            found += "perf_event" in kind or ("bpf" in kind and "link" in kind)
    return found


@pytest.fixture
def strike(open_test_object):
    obj = open_test_object("perf_event")
    obj.globals["target_pid"] = os.getpid()
    obj.load()
    return obj.programs["strike"], obj.globals


@pytest.mark.parametrize(
    "event", ["page-faults", PerfSoftware.PAGE_FAULTS, (PerfType.SOFTWARE, 2), (1, 2, 0, 0)]
)
def test_of_this_thread(strike, event):
    program, seen = strike
    before = descriptors()
    with program.attach_perf_event(event, period=1, pid=0, cookie=1 << 40) as link:
        assert not os.get_inheritable(link.fd)
        pages(100)
        assert seen["strikes"] >= 100
        assert (seen["cookie"], seen["period"]) == (1 << 40, 1)
    assert descriptors() == before
    strikes = seen["strikes"]
    pages(100)
    assert seen["strikes"] == strikes


def test_of_every_cpu(strike):
    program, seen = strike
    home = os.sched_getaffinity(0)
    try:
        with program.attach_perf_event("cpu-clock", frequency=1000) as link:
            assert len(link._handle.descriptors) >= len(online())
            for cpu in home:
                os.sched_setaffinity(0, {cpu})
                assert until(lambda cpu=cpu: seen["by_cpu"][cpu] > 0)
    finally:
        os.sched_setaffinity(0, home)


def test_of_some_cpus(strike):
    program, seen = strike
    home = os.sched_getaffinity(0)
    cpu = min(home)
    with program.attach_perf_event("cpu-clock", period=1_000_000, cpus=cpu) as one:
        assert one.fd >= 0
    try:
        with program.attach_perf_event("page-faults", period=1, cpus=[cpu, cpu]):
            os.sched_setaffinity(0, {cpu})
            pages(10)
            counts = list(seen["by_cpu"])  # once: reading, too, may fault in pages
            assert counts[cpu] >= 10
            assert sum(counts) == counts[cpu]
    finally:
        os.sched_setaffinity(0, home)


def test_several_links_are_one(strike, monkeypatch):
    """Two CPUs, two descriptors of each sort; all of them go, in the child as well."""
    if len(online()) < 2:
        pytest.skip("needs two CPUs")
    program, _ = strike
    before, others = descriptors(), attachments()
    link = program.attach_perf_event("dummy", period=1)
    with pytest.raises(pylibbpf.NotSupportedError, match=f"{len(online())} links"):
        _ = link.fd
    assert descriptors() >= before + 2 * len(online())
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(attachments()).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"0"
    assert attachments() == others + 2 * len(online())
    os.close(read)
    os.close(write)
    link.close()
    link.close()
    assert descriptors() == before
    with pytest.raises(pylibbpf.ClosedError):
        _ = link.fd


def test_threads_that_a_thread_makes(strike):
    program, seen = strike

    def run() -> None:
        thread = threading.Thread(target=pages, args=(50,))
        thread.start()
        thread.join()

    with program.attach_perf_event("page-faults", period=1, pid=0):
        run()
        alone = seen["strikes"]
    with program.attach_perf_event("page-faults", period=1, pid=0, inherit=True):
        run()
    assert seen["strikes"] - alone >= 50


def test_only_the_kernel_or_the_user(strike):
    program, seen = strike
    with program.attach_perf_event("page-faults", period=1, pid=0, exclude_user=True):
        pages(50)
        in_kernel = seen["strikes"]
    with program.attach_perf_event("page-faults", period=1, pid=0, exclude_kernel=True):
        pages(50)
    assert seen["strikes"] - in_kernel >= 50 > in_kernel


def test_the_callers_own_event(strike):
    program, seen = strike
    fd = perf_event_open(1, PerfSoftware.PAGE_FAULTS, 1)
    try:
        before = descriptors()
        with program.attach_perf_event(fd=fd, cookie=3):
            pages(10)
            assert seen["strikes"] >= 10
            assert seen["cookie"] == 3
        assert descriptors() == before
        os.fstat(fd)
        strikes = seen["strikes"]
        pages(10)
        assert seen["strikes"] == strikes
    finally:
        os.close(fd)


def test_a_descriptor_of_something_else(strike):
    program, _ = strike
    with open("/dev/null") as file, pytest.raises(pylibbpf.BpfError, match="no perf event's"):
        program.attach_perf_event(fd=file.fileno())
    with pytest.raises(pylibbpf.BpfError, match="no perf event's"):
        program.attach_perf_event(fd=9999)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"event": "cpu-clok", "period": 1}, ValueError, "did you mean cpu-clock"),
        ({"event": "cpu-clock"}, ValueError, "one of period and frequency"),
        ({"event": "cpu-clock", "period": 1, "frequency": 1}, ValueError, "one of period"),
        ({"event": "cpu-clock", "period": 0}, ValueError, "from 1 to"),
        ({"event": "cpu-clock", "period": 1, "pid": -1}, ValueError, "pid"),
        ({"event": "cpu-clock", "period": 1, "cpus": []}, ValueError, "at least one"),
        ({"event": "cpu-clock", "period": 1, "cpus": -1}, ValueError, "numbers from 0 on"),
        ({"event": "cpu-clock", "period": 1, "cpus": [0, 4000]}, ValueError, "4000 is not online"),
        ({"event": "cpu-clock", "period": 1, "inherit": True}, ValueError, "give its pid"),
        ({"event": (1,), "period": 1}, ValueError, "config1"),
        ({"event": (1 << 32, 0), "period": 1}, ValueError, "32 and 64 bits"),
        ({"event": 1, "period": 1}, TypeError, "type"),
        ({}, TypeError, "needs an event"),
        ({"event": "cpu-clock", "period": 1, "fd": 1}, TypeError, "not both"),
    ],
)
def test_what_makes_no_sense(strike, arguments, error, text):
    before = descriptors()
    with pytest.raises(error, match=text):
        strike[0].attach_perf_event(**arguments)
    assert descriptors() == before


def test_what_the_kernel_refuses(strike):
    program, _ = strike
    rate = int(Path("/proc/sys/kernel/perf_event_max_sample_rate").read_text())
    before = descriptors()
    with pytest.raises(pylibbpf.BpfError, match="perf_event_max_sample_rate allows"):
        program.attach_perf_event("cpu-clock", frequency=rate + 1)
    with pytest.raises(pylibbpf.BpfError, match="no process") as caught:
        program.attach_perf_event("cpu-clock", period=1000, pid=(1 << 22) - 1)
    assert isinstance(caught.value, OSError)
    with pytest.raises(pylibbpf.BpfError, match="does not know the software event"):
        program.attach_perf_event((PerfType.SOFTWARE, 4095), period=1)
    with pytest.raises(pylibbpf.BpfError, match="does not count type 65535"):
        program.attach_perf_event((65535, 0), period=1)
    assert descriptors() == before


def test_a_hardware_event(strike):
    program, seen = strike
    if not has_counters():
        with pytest.raises(pylibbpf.BpfError, match="no hardware counters for cycles"):
            program.attach_perf_event("cycles", period=100_000)
        return
    with program.attach_perf_event("cycles", period=100_000):
        assert until(lambda: seen["strikes"] > 0)


def test_half_an_attachment_is_none(open_test_object):
    """A second CPU that refuses takes the first one's link along."""
    obj = open_test_object("traces")
    obj.programs["tracepoint"].autoload = True
    obj.load()
    before = descriptors()
    with pytest.raises(pylibbpf.BpfError):  # such programs go on events that are tracepoints
        obj.programs["tracepoint"].attach_perf_event((1, 9), period=1)  # the dummy event
    assert descriptors() == before
    assert not obj._handle._links
