"""Names of perf events."""

from __future__ import annotations

import pytest

from pylibbpf.engine.kernel.cpus import parse
from pylibbpf.uapi.perf import PerfHardware, PerfSoftware, PerfType, perf_event


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("cpu-clock", (PerfType.SOFTWARE, PerfSoftware.CPU_CLOCK)),
        ("cs", (PerfType.SOFTWARE, PerfSoftware.CONTEXT_SWITCHES)),
        ("context-switches", (PerfType.SOFTWARE, PerfSoftware.CONTEXT_SWITCHES)),
        ("minor-faults", (PerfType.SOFTWARE, PerfSoftware.PAGE_FAULTS_MIN)),
        ("cycles", (PerfType.HARDWARE, PerfHardware.CPU_CYCLES)),
        ("ref-cycles", (PerfType.HARDWARE, PerfHardware.REF_CPU_CYCLES)),
        ("L1-dcache-loads", (PerfType.HW_CACHE, 0)),
        ("LLC-load-misses", (PerfType.HW_CACHE, 0x10002)),
        ("dTLB-store-misses", (PerfType.HW_CACHE, 0x10103)),
        ("node-prefetches", (PerfType.HW_CACHE, 0x206)),
        ("r01c2", (PerfType.RAW, 0x1C2)),
    ],
)
def test_names(name, event):
    assert perf_event(name) == event


def test_near_names():
    with pytest.raises(ValueError, match="page-faults"):
        perf_event("pagefaults")
    with pytest.raises(ValueError, match="perf list"):
        perf_event("zzzzzz")
    with pytest.raises(ValueError, match="no perf event 'r'"):
        perf_event("r")


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0\n", (0,)), ("0-3,8\n", (0, 1, 2, 3, 8)), ("\n", ()), ("2,4-5", (2, 4, 5))],
)
def test_lists_of_cpus(text, cpus):
    assert parse(text) == cpus
