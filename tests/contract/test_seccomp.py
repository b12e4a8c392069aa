"""A seccomp filter, as container runtimes and services have: errors and the doctor name it."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from situations import attempt, filter_calls

import pylibbpf

BPF = "a seccomp filter refuses the system call bpf(2) to this process"
PERF = "a seccomp filter refuses the system call perf_event_open(2) to this process"
NUMBERS = [errno.EPERM, errno.ENOSYS]


def using(objects: Path, name: str, use: Callable[[pylibbpf.Object], Any], *programs: str) -> Any:
    """Something that is done with one of tests/objects."""

    def body() -> Any:
        with pylibbpf.open_object(objects / f"{name}.bpf.o", engine="kernel") as obj:
            for program in obj.programs.values():
                program.autoload = program.name in programs
            return use(obj)

    return body


def load(obj: pylibbpf.Object) -> str:
    obj.load()
    return "loaded"


def attach(obj: pylibbpf.Object) -> str:
    obj.load()
    obj.attach()
    return "attached"


def refusal(found: object, number: int) -> str:
    assert isinstance(found, pylibbpf.BpfPermissionError), found
    assert found.errno == number
    assert found.explained
    return str(found)


@pytest.mark.parametrize("number", NUMBERS)
def test_loading_is_refused_by_the_filter(objects: Path, number: int) -> None:
    body = using(objects, "traces", load, "raw_tp")
    text = refusal(attempt(body, filter_calls(number, "bpf")), number)
    assert text.startswith(f"load 'traces': {errno.errorcode[number]} ")
    assert BPF in text
    assert "SystemCallFilter=bpf" in text
    # What else the process lacks is told beside it, and only that.
    held = pylibbpf.doctor().process.effective
    if held is not None and {"BPF", "PERFMON"} <= held:
        assert "lacks" not in text
    elif held is not None and not held & {"BPF", "PERFMON", "SYS_ADMIN"}:
        assert "the process lacks CAP_BPF and CAP_PERFMON" in text


@pytest.mark.parametrize("number", NUMBERS)
def test_maps_alone_are_refused_by_the_filter(number: int) -> None:
    found = attempt(
        lambda: pylibbpf.create_map("hash", key="u32", value="u32", max_entries=1),
        filter_calls(number, "bpf"),
    )
    assert BPF in refusal(found, number)


@pytest.mark.parametrize("number", NUMBERS)
def test_perf_events_are_refused_by_the_filter(bpf: None, objects: Path, number: int) -> None:
    """And nothing else is: what attaches without them works."""
    perf = filter_calls(number, "perf_event_open")

    def sample(obj: pylibbpf.Object) -> None:
        obj.load()
        obj.programs["perf_event"].attach_perf_event("cpu-clock", cpus=0, frequency=1)

    def buffer(obj: pylibbpf.Object) -> None:
        obj.load()
        obj.perfbuf("events")

    text = refusal(attempt(using(objects, "every_program", sample, "perf_event"), perf), number)
    assert PERF in text
    assert "Instead: raw_tp, tp_btf, fentry" in text
    text = refusal(attempt(using(objects, "perf", buffer, "produce"), perf), number)
    assert PERF in text
    assert attempt(using(objects, "traces", attach, "tp_btf"), perf) == "attached"


@pytest.mark.parametrize("number", NUMBERS)
def test_the_doctor_names_the_filter(number: int) -> None:
    report = attempt(pylibbpf.doctor, filter_calls(number, "bpf", "perf_event_open"))
    assert report.process.seccomp == "filter"
    assert report.process.filtered_calls == ("bpf", "perf_event_open")
    for kind, name in (("program", "xdp"), ("map", "hash"), ("hook", "raw_tp")):
        found = report.ability(kind, name)
        assert found.works is False
        assert BPF in found.reason
        assert found.mend


@pytest.mark.parametrize("number", NUMBERS)
def test_the_doctor_tells_perf_events_from_the_rest(bpf: None, number: int) -> None:
    report = attempt(pylibbpf.doctor, filter_calls(number, "perf_event_open"))
    assert report.process.filtered_calls == ("perf_event_open",)
    found = report.ability("hook", "perf_event (software)")
    assert found.works is False
    assert PERF in found.reason
    assert report.ability("hook", "raw_tp").works


def test_a_filter_of_other_calls_is_no_reason() -> None:
    report = attempt(pylibbpf.doctor, filter_calls(errno.EPERM))
    assert report.process.seccomp == "filter"
    assert report.process.filtered_calls == ()
    reasons = [each.reason for each in report.abilities]
    assert not any("a seccomp filter refuses" in each for each in reasons)


def test_the_command_says_it_in_a_line() -> None:
    def tell() -> str:
        command = [sys.executable, "-m", "pylibbpf", "doctor"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout

    text = attempt(tell, filter_calls(errno.EPERM, "bpf"))
    assert "seccomp:           filter, which refuses bpf\n" in text
