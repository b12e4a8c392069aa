"""Rows of what carries data between programs and users: ring and perf buffers, task storage."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from guest.rows.firing import run
from guest.rows.ground import Ground
from guest.rows.row import Rows

import pylibbpf

rows = Rows("buffers")


def _carries(open_buffer: Callable[[], pylibbpf.RingBuffer], program: pylibbpf.Program) -> None:
    """Three records come, in order; none more when nothing is sent; none by what was closed."""
    with open_buffer() as buffer:
        run(program, 3)
        got: list[int] = []
        while len(got) < 3:
            count = buffer.poll(lambda event: got.append(event.number), timeout=60)
            assert count, "waited in vain for a record"
        assert got == [0, 1, 2]
        assert buffer.consume() == []
    run(program, 1)
    with pytest.raises(pylibbpf.ClosedError):
        buffer.consume()


@rows.row("ringbuf")
def ringbuf(ground: Ground) -> None:
    with ground.loaded("ring", "produce") as obj:
        _carries(lambda: obj.ringbuf("events"), obj.programs["produce"])


@rows.row("perf buffer", config="PERF_EVENTS", needs="kernel.perf_event_paranoid")
def perf_buffer(ground: Ground) -> None:
    with ground.loaded("perf", "produce") as obj:
        _carries(lambda: obj.perfbuf("events"), obj.programs["produce"])


@rows.row("user_ringbuf", since=(6, 1))
def user_ringbuf(ground: Ground) -> None:
    with ground.loaded("userring", "drain") as obj:
        drain = obj.programs["drain"]
        with obj.user_ringbuf("requests") as ring:
            ring.send((0, 0, "zero"))
            ring.send((0, 1, "one"))
            assert run(drain, 0) == 2
            assert (obj.globals["last"], obj.globals["wrong"]) == ("one", 0)
            assert run(drain, 0) == 0
        with pytest.raises(pylibbpf.ClosedError):
            ring.send((0, 2, "two"))


@rows.row("task_storage", since=(5, 11))
def task_storage(ground: Ground) -> None:
    with ground.loaded("storage", "visit") as obj:
        storage, me = obj.map("tasks"), os.getpid()
        assert me not in storage
        visit = obj.programs["visit"]
        assert [run(visit), run(visit)] == [1, 2]
        assert storage[me].count == 2
        del storage[me]
        assert me not in storage
