#!/usr/bin/env python3
"""What a user tries with the library, one thing after the other; prints as JSON how each went.

    scenarios.py OBJECTS [CGROUP]

For each name: ``["ok", result]`` or ``[class of the exception, its text]``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pylibbpf

OBJECTS = Path(sys.argv[1])
PIN = f"/sys/fs/bpf/pylibbpf-{os.getpid()}"
CGROUP = sys.argv[2] if len(sys.argv) > 2 else None

SCENARIOS: dict[str, Callable[[], object]] = {}


def scenario(function: Callable[[], object]) -> Callable[[], object]:
    SCENARIOS[function.__name__] = function
    return function


def loaded(name: str, *wanted: str) -> pylibbpf.Object:
    """Open and load an object of tests/objects, of its programs those that are wanted."""
    obj = pylibbpf.open_object(OBJECTS / f"{name}.bpf.o", engine="kernel")
    for program in obj.programs.values():
        program.autoload = program.name in wanted or not wanted
    obj.load()
    return obj


@scenario
def capabilities() -> object:
    held = pylibbpf.doctor().process.effective
    return None if held is None else sorted(held)


@scenario
def raw_tracepoint() -> object:
    with loaded("attach", "raw") as obj:
        obj.programs["raw"].attach()
        os.getpgid(0)
        return obj.globals["raw_calls"] > 0


@scenario
def tp_btf() -> object:
    with loaded("every_program", "tracing") as obj:
        obj.programs["tracing"].attach().close()
        return True


@scenario
def tracepoint() -> object:
    with loaded("attach", "getpgid") as obj:
        obj.programs["getpgid"].attach().close()
        return True


@scenario
def iterator() -> object:
    with loaded("every_program", "iter") as obj:
        obj.programs["iter"].attach().close()
        return True


@scenario
def fentry() -> object:
    with loaded("every_program", "fentry") as obj:
        obj.programs["fentry"].attach().close()
        return True


@scenario
def maps() -> object:
    with loaded("maps") as obj:
        counts = obj.map("hash")
        counts[1] = 2
        counts[3] = counts[1] + 1
        array = obj.map("array")
        array[0] = 5
        return [sorted(counts.items()), array[0]]


@scenario
def ring_buffer() -> object:
    with loaded("ring") as obj:
        events = obj.ringbuf("events")
        obj.programs["produce"].test_run(ctx=(3).to_bytes(8, "little") + bytes(32))
        return [event.number for event in events.consume()]


@scenario
def perf_buffer() -> object:
    with loaded("perf") as obj:
        events = obj.perfbuf("events")
        obj.programs["produce"].test_run(ctx=(3).to_bytes(8, "little") + bytes(32))
        return [event.number for event in events.consume()]


@scenario
def perf_event() -> object:
    with loaded("every_program", "perf_event") as obj:
        obj.programs["perf_event"].attach_perf_event("cpu-clock", cpus=0, frequency=1).close()
        return True


@scenario
def uprobe() -> object:
    with loaded("probes", "uprobe") as obj:
        obj.programs["uprobe"].attach_uprobe("libc.so.6", "getpgid").close()
        return True


@scenario
def uprobe_multi() -> object:
    with loaded("probes", "uprobe_multi") as obj:
        with obj.programs["uprobe_multi"].attach_uprobe_multi("libc.so.6", "getpgid"):
            os.getpgid(0)
        return obj.globals["hits"] > 0


@scenario
def missing_function() -> object:
    obj = pylibbpf.open_object(OBJECTS / "traces.bpf.o")
    obj.programs["fentry"].set_attach_target("pylibbpf_no_such_function")
    return True


@scenario
def function_of_a_program() -> object:
    target = loaded("traces", "target").programs["target"]
    obj = pylibbpf.open_object(OBJECTS / "traces.bpf.o")
    obj.programs["freplace"].set_attach_target("replaceable", target)
    return True


@scenario
def xdp_load() -> object:
    with loaded("every_program", "xdp") as obj:
        return obj.programs["xdp"].test_run(data=bytes(64)).retval


@scenario
def xdp() -> object:
    with loaded("every_program", "xdp") as obj:
        obj.programs["xdp"].attach_xdp("lo", mode="generic").close()
        return True


@scenario
def tc() -> object:
    with loaded("every_program", "sched_cls") as obj:
        obj.programs["sched_cls"].attach_tc("lo", "ingress").close()
        return True


@scenario
def tcx() -> object:
    with loaded("every_program", "sched_cls") as obj:
        obj.programs["sched_cls"].attach_tcx("lo", "ingress").close()
        return True


@scenario
def network_namespace() -> object:
    """To enter another one, even the one that the process came from."""
    other = os.environ.get("PYLIBBPF_OTHER_NETNS")
    if other is None:
        return None
    with loaded("every_program", "xdp") as obj:
        obj.programs["xdp"].attach_xdp("lo", mode="generic", netns=int(other)).close()
        return True


@scenario
def cgroup() -> object:
    with loaded("every_program", "cgroup_sock") as obj:
        obj.programs["cgroup_sock"].attach_cgroup(CGROUP).close()
        return True


@scenario
def ids() -> object:
    found = pylibbpf.doctor().ability("right", "programs, maps and links by id")
    return [found.works, found.reason]


@scenario
def program_by_id() -> object:
    with loaded("every_program", "socket_filter") as obj:
        pylibbpf.open_program(obj.programs["socket_filter"].id).close()
        return True


@scenario
def map_by_id() -> object:
    with loaded("every_program", "socket_filter"):
        pylibbpf.open_map(1).close()
        return True


@scenario
def list_programs() -> object:
    return len(list(pylibbpf.programs())) > 0


@scenario
def list_links() -> object:
    return len(list(pylibbpf.links())) >= 0


@scenario
def run_stats() -> object:
    with pylibbpf.run_stats():
        return True


@scenario
def pin() -> object:
    """What a pin lets a user do who may not open by id."""
    return pinned(raw=True)


@scenario
def typed_pin() -> object:
    """The types of what was pinned are a thing apart: they are opened by id."""
    return pinned(raw=False)


def pinned(*, raw: bool) -> object:
    with loaded("maps") as obj:
        numbers = obj.map("hash")
        numbers[7] = 8
        numbers.pin(PIN)
        try:
            with pylibbpf.open_map(PIN, raw=raw) as again:
                found = [[key, value] for key, value in again.items()]
                return [[list(key), list(value)] for key, value in found] if raw else found
        finally:
            numbers.unpin()


@scenario
def addresses() -> object:
    found = pylibbpf.doctor().ability("right", "addresses of kernel symbols")
    return [found.works, found.reason]


@scenario
def verdicts() -> object:
    """What works here by the doctor, of what the other scenarios try."""
    report = pylibbpf.doctor()
    hooks = (
        *("raw_tp", "tp_btf", "tracepoint", "iter", "fentry", "perf_event (software)"),
        *("xdp", "tcx"),
    )
    return {name: report.ability("hook", name).works for name in hooks}


def main() -> None:
    told = {}
    for name, function in SCENARIOS.items():
        try:
            told[name] = ["ok", function()]
        except Exception as error:
            told[name] = [type(error).__name__, str(error)]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
