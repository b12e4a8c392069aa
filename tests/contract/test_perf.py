"""Perf buffers: CPUs, wake-ups, losses; and flight recorders, which keep the newest records."""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import threading
import time
from itertools import pairwise

import pytest

import pylibbpf
from pylibbpf.events import Rule

CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def perf(load_test_object):
    return load_test_object("perf")


@pytest.fixture
def produce(perf):
    """Send records, on a CPU of choice."""

    def run(count, cpu=CPUS[0]):
        perf.programs["produce"].test_run(args=(count,), cpu=cpu)

    return run


def test_records_with_their_cpu(perf, produce):
    with perf.perfbuf("events", with_cpu=True, timeout=0.05) as events:
        for cpu in CPUS:
            produce(2, cpu)
        got = list(events)
        assert isinstance(got[0], pylibbpf.CpuRecord)
        assert sorted((cpu, record.number) for cpu, record in got) == [
            (cpu, 2 * index + i) for index, cpu in enumerate(CPUS) for i in range(2)
        ]
        assert set(events.cpus) >= set(CPUS)
        produce(1)
        assert isinstance(events.read_bytes(), bytes)
        produce(3)
        seen = []
        assert events.poll(seen.append) == 3
        assert {cpu for cpu, _ in seen} == {CPUS[0]}


def test_cpu_of_records_in_many_batches(perf, produce):
    with perf.perfbuf("events", with_cpu=True) as events:
        for cpu in CPUS:
            for _ in range(3):
                produce(1000, cpu)
        got = events.consume()
        assert len(got) == 3000 * len(CPUS)
        for index, cpu in enumerate(CPUS):
            numbers = [record.number for where, record in got if where == cpu]
            assert numbers == list(range(3000 * index, 3000 * (index + 1)))


def test_chosen_cpus(perf, produce):
    chosen = CPUS[-1]
    with perf.perfbuf("events", cpus=[chosen]) as events:
        assert events.cpus == (chosen,)
        produce(2, chosen)
        if len(CPUS) > 1:
            produce(3, CPUS[0])
            assert perf.globals["failed"] == 3  # bpf_perf_event_output says so to the program
        assert [record.number for record in events.consume()] == [0, 1]
    # The map's slot is empty again.
    before = perf.globals["failed"]
    produce(1, chosen)
    assert perf.globals["failed"] == before + 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpus": []}, "one at least"),
        ({"cpus": [-1]}, "numbers of CPUs"),
        ({"wakeup_events": 0}, "wakeup_events"),
        ({"wakeup_watermark": 1 << 32}, "wakeup_watermark"),
        ({"wakeup_events": 2, "wakeup_watermark": 64}, "not both"),
    ],
)
def test_options_that_cannot_be(perf, options, said):
    with pytest.raises(ValueError, match=said):
        perf.perfbuf("events", **options)


def test_a_cpu_that_is_not_there(perf):
    with pytest.raises(pylibbpf.BpfError, match="no CPU 4095") as caught:
        perf.perfbuf("events", cpus=[CPUS[0], 4095])
    assert caught.value.errno == errno.ENXIO
    perf.perfbuf("events").close()


def test_a_cpu_that_the_map_has_no_entry_for(open_test_object):
    if len(CPUS) < 2:
        pytest.skip("needs two CPUs")
    obj = open_test_object("perf")
    obj.maps["events"].max_entries = CPUS[-1]
    obj.load()
    with pytest.raises(pylibbpf.BpfError, match=f"no entry for CPU {CPUS[-1]}"):
        obj.perfbuf("events", cpus=[CPUS[-1]])
    with obj.perfbuf("events") as events:
        assert max(events.cpus) < CPUS[-1]


@pytest.mark.parametrize("options", [{"wakeup_events": 10}, {"wakeup_watermark": 2000}])
def test_woken_when_enough_has_come(perf, produce, options):
    with perf.perfbuf("events", **options) as events:
        poll = select.poll()
        poll.register(events.fileno(), select.POLLIN)
        produce(5)
        assert poll.poll(50) == []
        assert events.read(timeout=0.01).number == 0  # a read looks, all the same
        produce(100)
        assert poll.poll(1000)
        assert len(events.consume()) == 104


def test_losses_by_cpu(perf, produce):
    with perf.perfbuf("events", pages=1) as events:
        produce(1000, CPUS[-1])
        taken = len(events.consume())
        for _ in range(2):  # before 6.0 the loss is told with the next record
            produce(1, CPUS[-1])
            taken += len(events.consume())
        assert events.lost + taken == 1002
        assert events.lost_by_cpu[CPUS[-1]] == events.lost > 0
        assert sum(events.lost_by_cpu.values()) == events.lost
    assert events.lost + taken == 1002


def test_asked_again_with_other_options(perf):
    with perf.perfbuf("events") as events:
        assert perf.perfbuf("events") is events
        for options in ({"with_cpu": True}, {"cpus": CPUS[:1]}, {"wakeup_events": 3}):
            with pytest.raises(ValueError, match="being read"):
                perf.perfbuf("events", **options)
        with pytest.raises(ValueError, match="being read"):
            perf.flight_recorder("events")


def test_a_busy_cpu_does_not_shut_out_the_others(perf, produce):
    if len(CPUS) < 2:
        pytest.skip("needs two CPUs")
    with perf.perfbuf("events", with_cpu=True) as events:
        for _ in range(3):
            produce(1000, CPUS[0])
        produce(1, CPUS[1])
        first = next(i for i, each in enumerate(iter(events.read, None)) if each.cpu == CPUS[1])
        assert first < 2100  # of 3001: behind one batch


def test_closing_gives_everything_back(perf):
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        perf.perfbuf("events").close()
        perf.flight_recorder("events").close()
    with pytest.raises(pylibbpf.BpfError):
        perf.perfbuf("events", cpus=[CPUS[0], 4095])
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before
    with open("/proc/self/maps") as maps:
        assert "perf_event" not in maps.read()


def test_a_forked_child_leaves_the_parents_alone(perf, produce):
    with perf.perfbuf("events") as events, perf.flight_recorder("samples") as recorder:
        child = os.fork()
        if not child:
            status = 1
            try:
                events.read(0)
            except pylibbpf.ClosedError:
                try:
                    recorder.snapshot()
                except pylibbpf.ClosedError as error:
                    status = 0 if "parent" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        produce(1)
        assert perf.globals["failed"] == 0
        assert events.read(1).number == 0
        assert recorder.snapshot() == []


# ---- flight recorders


def test_the_newest_records(perf, produce):
    with perf.flight_recorder("events", pages=1) as recorder:
        assert recorder.snapshot() == []
        assert recorder.record_type.rule is Rule.CONVENTION
        produce(3)
        few = recorder.snapshot()
        assert [each.record.number for each in few] == [0, 1, 2]
        assert isinstance(few[0], pylibbpf.Recorded)
        for _ in range(3):
            produce(1000)
        many = recorder.snapshot()
        numbers = [each.record.number for each in many]
        assert numbers == list(range(3003 - len(numbers), 3003))
        assert 50 < len(numbers) < 3000
        assert [each.record.number for each in recorder.snapshot()] == numbers
        produce(1)
        assert recorder.snapshot()[-1].record.number == 3003
        assert perf.globals["failed"] == 0


def test_all_cpus_by_time(perf, produce):
    with perf.flight_recorder("events") as recorder:
        start = time.monotonic_ns()
        for turn in range(20):
            produce(1, CPUS[turn % len(CPUS)])
        end = time.monotonic_ns()
        got = recorder.snapshot()
        assert [each.record.number for each in got] == list(range(20))
        assert [each.cpu for each in got] == [CPUS[turn % len(CPUS)] for turn in range(20)]
        assert all(start <= each.time_ns <= end for each in got)
        assert all(a.time_ns <= b.time_ns for a, b in pairwise(got))


def test_pause_keeps_what_is_there(perf, produce):
    with perf.flight_recorder("events") as recorder:
        produce(2)
        recorder.pause()
        assert recorder.paused
        produce(5)
        for _ in range(2):
            assert [each.record.number for each in recorder.snapshot()] == [0, 1]
        recorder.resume()
        assert not recorder.paused
        produce(1)
        assert [each.record.number for each in recorder.snapshot()] == [0, 1, 7]
        assert recorder.lost in (5, None)  # None: before Linux 6.0
        assert perf.globals["failed"] == 5


def test_snapshots_while_programs_write(perf, produce):
    """Each is a run of records without a gap, however it falls."""
    with perf.flight_recorder("events", pages=1) as recorder:
        stop = threading.Event()

        def write():
            while not stop.is_set():
                produce(200)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(20):
                got = recorder.snapshot()
                numbers = [each.record.number for each in got]
                # What came while it paused is missing.
                assert numbers == sorted(set(numbers))
                assert all(each.record.comm for each in got)
        finally:
            stop.set()
            writer.join()


def test_chosen_cpus_of_a_recorder(perf, produce):
    with perf.flight_recorder("events", cpus=CPUS[-1:]) as recorder:
        assert recorder.cpus == (CPUS[-1],)
        for cpu in CPUS:
            produce(1, cpu)
        assert [each.cpu for each in recorder.snapshot()] == [CPUS[-1]]


def test_a_recorder_that_is_closed(perf):
    recorder = perf.flight_recorder("events")
    assert perf.flight_recorder("events") is recorder
    recorder.close()
    recorder.close()
    assert recorder.closed
    for use in (recorder.snapshot, recorder.pause, recorder.resume):
        with pytest.raises(pylibbpf.ClosedError, match="flight recorder 'events' is closed"):
            use()
    other = perf.flight_recorder("events")
    perf.close()
    assert other.closed


def test_a_signal_handler_that_raises_in_a_snapshot(perf, produce):
    """Recording goes on."""

    class InterruptedError(Exception):
        pass

    def interrupt(number, frame):
        raise InterruptedError

    with perf.flight_recorder("events") as recorder:
        previous = signal.signal(signal.SIGALRM, interrupt)
        try:
            for turn in range(50):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-4 * (1 + turn))
                    while True:
                        recorder.snapshot()
                except InterruptedError:
                    continue
        finally:
            signal.signal(signal.SIGALRM, previous)
        produce(1)
        assert recorder.snapshot()[-1].record.number == 0
