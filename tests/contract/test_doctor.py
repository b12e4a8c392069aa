"""What the doctor says against what the library can do: program by program, map by map."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.uapi.enums import AttachType, MapType, ProgType

# Need an object of their own: a struct_ops map with functions, a program to extend.
OTHERWISE = {"struct_ops", "ext"}
PROGRAMS = [each.name.lower() for each in ProgType if each and each.name.lower() not in OTHERWISE]
MAPS = [each.name.lower() for each in MapType if each and each.name.lower() not in OTHERWISE]


@pytest.fixture(scope="module")
def report() -> pylibbpf.Report:
    return pylibbpf.doctor()


def works(call: Callable[[], object]) -> bool:
    """Whether a call gets through; any other exception than a refusal is the test's failure."""
    try:
        call()
    except pylibbpf.BpfError:
        return False
    return True


def loads(obj: pylibbpf.Object, name: str) -> bool:
    program = obj.programs[name]
    program.autoload = True
    if program.type == ProgType.UNSPEC:  # a SEC() that this libbpf does not know
        program.type = ProgType[name.upper()]
        program.expected_attach_type = AttachType[name.upper()]
    return works(obj.load)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_type_loads_where_the_doctor_says_so(report, open_test_object, name):
    found = report.ability("program", name)
    assert loads(open_test_object("every_program"), name) is found.works, found


@pytest.mark.parametrize("name", ["fentry", "fexit", "fmod_ret", "iter"])
def test_a_tracing_hook_loads_where_the_doctor_says_so(report, open_test_object, name):
    found = report.ability("hook", name)
    assert loads(open_test_object("every_program"), name) is found.works, found


@pytest.mark.parametrize("name", MAPS)
def test_a_map_type_is_created_where_the_doctor_says_so(report, open_test_object, name):
    found = report.ability("map", name)
    obj = open_test_object("every_map")
    for each in obj.maps.values():
        each.autocreate = each.name == name
    assert works(obj.load) is found.works, found


def test_every_type_has_a_verdict(report):
    """No program or map type that the tables of the uapi have is passed over."""
    for kind, names in (("program", ProgType), ("map", MapType)):
        told = [each.name for each in report.abilities if each.kind == kind]
        assert sorted(told) == sorted(each.name.lower() for each in names if each)


def test_the_hooks_that_it_says_work_do(report, load_test_object):
    """raw_tp and tracepoint attach, where the doctor says so."""
    for hook, attach in (
        ("raw_tp", lambda program: program.attach_raw_tracepoint("sys_enter")),
        ("tracepoint", lambda program: program.attach_tracepoint("sched", "sched_switch")),
    ):
        obj = load_test_object("attach")
        kind = {"raw_tp": ProgType.RAW_TRACEPOINT, "tracepoint": ProgType.TRACEPOINT}[hook]
        program = next(each for each in obj.programs.values() if each.type == kind)
        found = report.ability("hook", hook)
        assert works(lambda program=program, attach=attach: attach(program)) is found.works, found


def test_a_verdict_carries_its_probe_and_a_refusal_its_reason(report):
    for each in report.abilities:
        if each.works:
            assert each.probes, each
            assert not each.reason
        else:
            assert each.reason, each
        if each.works is False:
            assert each.probes[-1].errno, each


def test_nothing_is_left_open(engine):
    """What is loaded lives by its descriptor: without one it is gone."""
    descriptors = sorted(os.listdir("/proc/self/fd"))
    pylibbpf.doctor(engine=engine)
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


# Files of Python's may be interrupted between open() and with; the collector closes them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_any_moment_it_leaves_nothing_open(engine):
    """An exception of a signal handler, as Ctrl-C is one."""

    class Stop(Exception):
        pass

    def stop(number: int, frame: object) -> None:
        raise Stop

    pylibbpf.doctor(engine=engine)
    descriptors = sorted(os.listdir("/proc/self/fd"))
    stopped = 0
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for delay in range(1, 40):
            try:
                signal.setitimer(signal.ITIMER_REAL, delay * 0.004)
                pylibbpf.doctor(engine=engine)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Stop:
                stopped += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped
    assert sorted(os.listdir("/proc/self/fd")) == descriptors


def test_threads_may_ask_at_once(report):
    found: list[pylibbpf.Report] = []
    threads = [threading.Thread(target=lambda: found.append(pylibbpf.doctor())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    other = [each for one in found for each in one.abilities if each not in report.abilities]
    assert other == []


def test_the_facts_are_those_of_this_machine(engine, report):
    assert report.engine == engine
    assert report.kernel.release == os.uname().release
    assert report.process.uid == os.geteuid()
    assert report.library.problem == ""
    assert report.library.extension
    vmlinux = Path("/sys/kernel/btf/vmlinux")
    assert report.btf.vmlinux == (vmlinux.stat().st_size if vmlinux.exists() else None)
    with pytest.raises(KeyError):
        report.ability("hook", "no such hook")


def test_an_engine_that_is_none():
    with pytest.raises(pylibbpf.NotSupportedError):
        pylibbpf.doctor(engine="pylibbpf-no-such-engine")
