"""Closing, detaching, forking and being interrupted at random moments, under load."""

from __future__ import annotations

import errno
import gc
import os
import random
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from effort import cases

import pylibbpf

PATIENCE = 120  # seconds after which something hangs


def produce(obj: pylibbpf.Object, count: int, wake: int = 0) -> None:
    """Run the program that sends ``count`` records (1024 at most)."""
    obj.programs["produce"].test_run(ctx=struct.pack("=5Q", count, wake, 0, 0, 0))


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def joined(thread: threading.Thread) -> None:
    thread.join(PATIENCE)
    assert not thread.is_alive(), "a thread hangs"


def test_a_ring_whose_reader_stops_at_any_moment(
    bpf: None, objects: Path, chance: random.Random
) -> None:
    """Nothing twice, nothing out of order, and what is not read is in the ring or was dropped."""
    for _ in range(cases(dear=10)):
        with pylibbpf.open_object(objects / "ring.bpf.o", engine="kernel") as obj:
            obj.load()
            sizes = [chance.randrange(1, 1024) for _ in range(chance.randrange(1, 30))]
            wake = chance.choice((0, 0, 2))
            stop_after = chance.randrange(1, sum(sizes) + 1)
            producer = threading.Thread(
                target=lambda obj=obj, sizes=sizes, wake=wake: [
                    produce(obj, size, wake) for size in sizes
                ]
            )
            numbers = []
            producer.start()
            with obj.ringbuf("events", timeout=chance.choice((0.0, 0.001, 0.05))) as events:
                for event in events:
                    numbers.append(event.number)
                    if len(numbers) >= stop_after:
                        break
                joined(producer)
                numbers += [event.number for event in events.consume()]
            assert numbers == sorted(set(numbers))
            assert len(numbers) + obj.globals["dropped"] == sum(sizes)


def test_a_ring_that_is_closed_while_it_is_read(
    bpf: None, objects: Path, chance: random.Random
) -> None:
    before = descriptors()
    for _ in range(cases(dear=10)):
        with pylibbpf.open_object(objects / "ring.bpf.o", engine="kernel") as obj:
            obj.load()
            events = obj.ringbuf("events")  # waits for ever
            ended: list[object] = []

            def read(events=events, ended=ended) -> None:
                try:
                    ended.append(sum(1 for _ in events))
                except pylibbpf.ClosedError as error:
                    ended.append(error)

            reader = threading.Thread(target=read)
            reader.start()
            closer = chance.choice((events, events, obj))
            for _ in range(chance.randrange(0, 20)):
                produce(obj, chance.randrange(1, 200), chance.choice((0, 2)))
            timer = threading.Timer(chance.random() * 0.01, closer.close)
            timer.start()
            joined(reader)
            joined(timer)
            assert len(ended) == 1
    assert descriptors() <= before


class Interrupted(Exception):
    pass


def test_interrupted_at_any_moment(
    bpf: None, ledger: Path, objects: Path, chance: random.Random
) -> None:
    """A signal's exception anywhere in open, load, attach, read, detach: closing mends it all."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    data = (objects / "attach.bpf.o").read_bytes()

    def life(obj: pylibbpf.Object) -> None:
        obj.load()
        obj.attach(skip=["getpgid"])
        os.getppid()
        obj.ringbuf("events").read(0)
        link = obj.programs["unhooked"].attach_raw_tracepoint("sys_enter")
        link.close()
        obj.close()

    def once(delay: float) -> None:
        obj = pylibbpf.open_object(data, engine="kernel")
        try:
            try:
                if delay:
                    signal.setitimer(signal.ITIMER_REAL, delay)
                life(obj)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            pass
        obj.close()

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        once(0)
        before = descriptors()
        for _ in range(cases()):
            once(1e-5 + chance.random() * 0.04)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert descriptors() <= before


def do_anything(chance: random.Random, obj: pylibbpf.Object) -> None:
    """Some steps in a random order; what is closed says so, and nothing else goes wrong."""
    steps: list[Callable[[], object]] = [
        lambda: obj.programs["raw"].attach(),
        lambda: obj.programs["unhooked"].attach_raw_tracepoint("sys_exit").close(),
        lambda: obj.ringbuf("events").read(0),
        lambda: obj.ringbuf("events").close(),
        lambda: obj.globals["raw_calls"],
        lambda: obj.maps["events"].info(),
        obj.close,
    ]
    for _ in range(chance.randrange(1, 6)):
        try:
            chance.choice(steps)()
        except pylibbpf.ClosedError:
            continue
        except pylibbpf.BpfError as error:
            # Another thread is just closing the one reader that a ring has.
            if error.errno != errno.EBUSY:
                raise


def test_forks_at_any_moment(bpf: None, objects: Path, chance: random.Random) -> None:
    """A child's handles are closed to it, and what it does never ends what its parent has."""
    for _ in range(cases(dear=5)):
        seed = chance.randrange(10**9)
        with pylibbpf.open_object(objects / "attach.bpf.o", engine="kernel") as obj:
            obj.load()
            link = obj.programs["raw"].attach()
            ring = obj.ringbuf("events")
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    signal.alarm(PATIENCE)
                    child = random.Random(seed)
                    do_anything(child, obj)
                    for each in (link, ring, obj):
                        each.close()
                    status = 0
                except BaseException as error:
                    os.write(2, f"seed {seed}: {type(error).__name__}: {error}\n".encode())
                finally:
                    os._exit(status)
            _, status = os.waitpid(pid, 0)
            assert status == 0
            before = obj.globals["raw_calls"]
            os.getppid()
            assert obj.globals["raw_calls"] > before
            assert not link.closed
            assert not ring.closed


def test_threads_that_do_anything_at_once(bpf: None, objects: Path, chance: random.Random) -> None:
    before = descriptors()
    for _ in range(cases(dear=10)):
        obj = pylibbpf.open_object(objects / "attach.bpf.o", engine="kernel")
        obj.load()
        failed: list[BaseException] = []

        def work(seed: int, obj=obj, failed=failed) -> None:
            try:
                do_anything(random.Random(seed), obj)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(chance.randrange(10**9),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            joined(thread)
        obj.close()
        if failed:
            pytest.fail(f"{type(failed[0]).__name__}: {failed[0]}")
    assert descriptors() <= before
