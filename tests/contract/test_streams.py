"""Ring and perf buffers as streams of records."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.events import Rule


@pytest.fixture
def ring(load_test_object):
    return load_test_object("ring")


def test_typed_records_in_order(ring, run):
    events = ring.ringbuf("events")
    assert events.record_type.name == "struct event"
    assert events.record_type.rule is Rule.CONVENTION
    run(ring, "produce", 5)
    records = events.consume()
    assert [record.number for record in records] == [0, 1, 2, 3, 4]
    first = records[0]
    assert first.pid == os.getpid()
    assert first.comm == Path("/proc/self/comm").read_text().strip()
    assert first.tag == b"\xde\xad\0\0"
    assert first._fields == ("number", "pid", "comm", "tag")
    assert hash(first) == hash(first._replace())
    with pytest.raises(AttributeError):
        first.pid = 1
    assert events.consume() == []
    assert events.lost is None


def test_iteration_ends_after_the_timeout(ring, run):
    run(ring, "produce", 3)
    with ring.ringbuf("events", timeout=0.05) as events:
        assert [event.number for event in events] == [0, 1, 2]


def test_many_batches(ring, run):
    events = ring.ringbuf("events")
    total = 0
    for _ in range(30):
        run(ring, "produce", 1000)
        total += len(events.consume())
    assert total == 30000
    assert ring.globals["dropped"] == 0


def test_full_ring_drops_in_the_program(ring, run):
    events = ring.ringbuf("events")
    for _ in range(3):
        run(ring, "produce", 1024)
    got = events.consume()
    assert len(got) + ring.globals["dropped"] == 3 * 1024
    assert ring.globals["dropped"] > 0
    numbers = [event.number for event in got]
    assert numbers == sorted(set(numbers))


def test_type_by_size_by_ambiguity_and_by_name(ring, run):
    samples = ring.ringbuf("samples")
    assert (samples.record_type.name, samples.record_type.rule) == ("struct sample", Rule.SIZE)
    run(ring, "produce_samples", 3)
    assert [(s.number, s.square) for s in samples.consume()] == [(0, 0), (1, -1), (2, -4)]

    twins = ring.ringbuf("twins")
    assert twins.record_type.rule is Rule.BYTES
    assert "type=" in twins.record_type.hint
    run(ring, "produce_twins", 1)
    assert twins.consume() == [b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0"]
    twins.close()
    named = ring.ringbuf("twins", type="struct twin_b")
    assert named.record_type.rule is Rule.USER
    run(ring, "produce_twins", 1)
    assert named.consume()[0].words == (1, 0, 2, 0, 3, 0)


def test_unknown_type_is_refused(ring):
    with pytest.raises(ValueError, match="twin_a"):
        ring.ringbuf("twins", type="struct twin_x")


def test_raw_fields(ring, run):
    events = ring.ringbuf("events", raw=("comm",))
    run(ring, "produce", 1)
    (event,) = events.consume()
    assert isinstance(event.comm, bytes)
    assert len(event.comm) == 16


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 511])
def test_records_of_any_size(ring, run, size):
    blobs = ring.ringbuf("blobs")
    run(ring, "produce_blobs", 2, size)
    expected = 0 if size == 0 else 2
    records = blobs.consume()
    assert len(records) in (2, expected)
    assert all(len(record) == size for record in records)


def test_one_reader_for_a_ring(ring):
    events = ring.ringbuf("events")
    assert ring.ringbuf("events") is events
    with pytest.raises(ValueError, match="being read"):
        ring.ringbuf("events", timeout=1)
    events.close()
    again = ring.ringbuf("events", timeout=1)
    assert again is not events
    again.close()


def test_one_reader_whichever_thread_asks(ring):
    barrier = threading.Barrier(4)
    got = []

    def ask():
        barrier.wait()
        got.append(ring.ringbuf("events"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(got) == 4
    assert len(set(map(id, got))) == 1


def test_wrong_map(ring, load_test_object):
    with pytest.raises(TypeError, match="no perf buffer"):
        ring.perfbuf("events")
    with pytest.raises(KeyError, match="did you mean events"):
        ring.ringbuf("evnts")


def test_before_load(open_test_object):
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        open_test_object("ring").ringbuf("events")


def test_poll_hands_over_and_counts(ring, run):
    events = ring.ringbuf("events")
    assert events.poll(print, timeout=0.01) == 0
    run(ring, "produce", 4)
    got = []
    assert events.poll(got.append, timeout=1) == 4
    assert [event.number for event in got] == [0, 1, 2, 3]


def test_callback_that_raises_loses_nothing(ring, run):
    events = ring.ringbuf("events")
    run(ring, "produce", 5)
    got = []

    def callback(event):
        got.append(event.number)
        if event.number == 2:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        events.poll(callback)
    assert got == [0, 1, 2]
    assert events.poll(callback) == 2
    assert got == [0, 1, 2, 3, 4]


def test_read_waits(ring, run):
    events = ring.ringbuf("events")
    assert events.read(timeout=0) is None
    before = time.monotonic()
    assert events.read(timeout=0.05) is None
    assert time.monotonic() - before >= 0.04
    threading.Timer(0.05, run, (ring, "produce", 1)).start()
    assert events.read(timeout=10).number == 0


def test_fileno_polls(ring, run):
    events = ring.ringbuf("events")
    poll = select.poll()
    poll.register(events.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    run(ring, "produce", 1)
    assert poll.poll(1000)
    events.consume()
    assert poll.poll(0) == []
    assert os.get_inheritable(events.fileno()) is False


@pytest.mark.parametrize("what", ["ring", "object"])
def test_close_from_another_thread_wakes_the_reader(ring, what):
    events = ring.ringbuf("events")
    ended = []
    reader = threading.Thread(target=lambda: ended.append(list(events)))
    reader.start()
    time.sleep(0.05)
    (events if what == "ring" else ring).close()
    reader.join(10)
    assert not reader.is_alive()
    assert ended == [[]]
    with pytest.raises(pylibbpf.ClosedError, match="is closed"):
        events.read()
    with pytest.raises(pylibbpf.ClosedError):
        events.fileno()


def test_close_in_a_callback(ring, run):
    events = ring.ringbuf("events")
    run(ring, "produce", 3)
    got = []

    def callback(event):
        got.append(event)
        events.close()

    assert events.poll(callback) == 1
    assert len(got) == 1


def test_ctrl_c_ends_a_wait_at_once(ring):
    events = ring.ringbuf("events")
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in events:
            pass
    timer.join()


def test_threads_share_a_ring(ring, run):
    events = ring.ringbuf("events", timeout=0.2)
    got = [[], []]
    readers = [
        threading.Thread(target=lambda mine=mine: mine.extend(e.number for e in events))
        for mine in got
    ]
    for reader in readers:
        reader.start()
    for _ in range(20):
        run(ring, "produce", 200)
        time.sleep(0.005)
    for reader in readers:
        reader.join(20)
    assert sorted(got[0] + got[1]) == list(range(4000))


@pytest.fixture
def perf(load_test_object):
    return load_test_object("perf")


def test_perf_records(perf, run):
    events = perf.perfbuf("events")
    assert events.record_type.name == "struct event"
    run(perf, "produce", 5)
    records = events.consume()
    assert sorted(record.number for record in records) == [0, 1, 2, 3, 4]
    assert records[0].comm == Path("/proc/self/comm").read_text().strip()
    assert perf.globals["failed"] == 0
    assert events.lost == 0


def test_perf_size_rule(perf, run):
    samples = perf.perfbuf("samples")
    assert (samples.record_type.name, samples.record_type.rule) == ("struct sample", Rule.SIZE)
    run(perf, "produce_samples", 2)
    assert sorted(sample.number for sample in samples.consume()) == [0, 1]


def test_perf_losses_are_counted(perf, run):
    events = perf.perfbuf("events", pages=1)
    for _ in range(3):
        run(perf, "produce", 1024)
    taken = len(events.consume())
    # The kernel tells of losses with the next record that finds room.
    for _ in range(os.cpu_count() * 50):
        run(perf, "produce", 1)
        taken += len(events.consume())
        if events.lost:
            break
    assert events.lost > 0
    assert taken + events.lost <= perf.globals["next"]


def test_perf_close_wakes(perf):
    events = perf.perfbuf("events")
    ended = []
    reader = threading.Thread(target=lambda: ended.append(list(events)))
    reader.start()
    time.sleep(0.05)
    events.close()
    reader.join(10)
    assert ended == [[]]
    perf.perfbuf("events").close()


def test_perf_pages_must_be_a_power_of_two(perf):
    for pages in (3, 0, -1, 1 << 52):
        with pytest.raises(ValueError, match="power of two"):
            perf.perfbuf("events", pages=pages)


@pytest.mark.parametrize("timeout", ["1", b"1", True, float("nan")])
def test_bad_timeouts(ring, timeout):
    with pytest.raises((TypeError, ValueError), match="seconds"):
        ring.ringbuf("events", timeout=timeout)
    events = ring.ringbuf("events")
    with pytest.raises((TypeError, ValueError), match="seconds"):
        events.read(timeout)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 3e6])
def test_long_timeouts(ring, run, timeout):
    events = ring.ringbuf("events", timeout=timeout)
    run(ring, "produce", 1)
    assert next(events).number == 0
    threading.Timer(0.05, run, (ring, "produce", 1)).start()
    assert events.read(timeout).number == 1


def test_short_record_loses_no_other(ring, run):
    """blobs of 40 and 8 bytes as struct event (40 bytes)."""
    blobs = ring.ringbuf("blobs", type="struct event")
    for size in (40, 40, 8, 40):
        run(ring, "produce_blobs", 1, size)
    with pytest.raises(ValueError, match="got 8"):
        blobs.consume()
    assert len(blobs.consume()) == 3


def test_signal_handlers_lose_no_batch(ring, run):
    """A handler that reads, and raises, while records come in."""
    events = ring.ringbuf("events")
    got = []
    interrupts = 0

    class InterruptedError(Exception):
        pass

    def interrupt(number, frame):
        nonlocal interrupts
        interrupts += 1
        got.extend(event.number for event in events.consume())
        raise InterruptedError

    def read():
        # Once in each round, each time a little later in it.
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + turn))
        events.poll(lambda event: got.append(event.number), timeout=0)
        while not interrupts > before:
            time.sleep(0.0001)

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for turn in range(300):  # noqa: B007  # read() uses it
            run(ring, "produce", 200)
            before = interrupts
            with pytest.raises(InterruptedError):
                read()
    finally:
        signal.signal(signal.SIGALRM, previous)
    got.extend(event.number for event in events.consume())
    produced = ring.globals["next"]
    assert len(got) == len(set(got))
    assert set(got) <= set(range(produced))
    # An exception between a record's last step in the library and the first of the callback
    # takes that record along; it must not take the batch.
    assert produced - len(got) <= interrupts


def test_handler_that_closes_does_not_hang(ring):
    events = ring.ringbuf("events")

    def handler(number, frame):
        ring.close()
        kept.extend(os.pipe() + os.pipe())

    kept = []
    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        assert list(events) == []
    finally:
        signal.signal(signal.SIGALRM, previous)
        for fd in kept:
            os.close(fd)
    assert events.closed
