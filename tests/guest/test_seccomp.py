"""Rows under a seccomp filter that refuses a system call, as container runtimes have it.

What it says of loading alone, of maps and the doctor is tried on any host:
tests/contract/test_seccomp.py.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest
from guest.rows.ground import Ground
from guest.rows.row import Row
from guest.rows.trial import EVERY, Trial, by_multi, trial_of
from situations import filter_calls

pytestmark = pytest.mark.bpf_guest

Note = Callable[[str, object], None]

FILTER = "a seccomp filter refuses the system call {}(2) to this process"
BY_PERF = (
    *("kprobe", "kretprobe", "ksyscall", "kretsyscall", "uprobe", "uretprobe", "usdt"),
    *("tracepoint", "perf_event (software)", "perf buffer"),
)
# Those that could open perf events.
NEAR = ("probes", "tracing", "buffers")


@pytest.fixture(scope="module")
def without_bpf(ground: Ground) -> Iterator[Trial]:
    with trial_of(ground, filter_calls(errno.EPERM, "bpf")) as made:
        yield made


@pytest.fixture(scope="module")
def without_perf(ground: Ground) -> Iterator[Trial]:
    with trial_of(ground, filter_calls(errno.EPERM, "perf_event_open")) as made:
        yield made


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EVERY])
def test_bpf_is_refused(row: Row, without_bpf: Trial, record_property: Note) -> None:
    without_bpf(row, record_property, "seccomp", (FILTER.format("bpf"),))


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name) for row in EVERY if row.group in NEAR]
)
def test_perf_event_open_is_refused(row: Row, without_perf: Trial, record_property: Note) -> None:
    by_perf = row.name in BY_PERF and not by_multi(row)
    needs = (FILTER.format("perf_event_open"),) if by_perf else ()
    without_perf(row, record_property, "seccomp, perf_event_open", needs)
