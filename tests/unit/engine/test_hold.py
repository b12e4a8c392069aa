"""What one thread holds is given back, whatever a signal handler raises and when."""

from __future__ import annotations

import signal
import threading

import pytest

from pylibbpf.engine.kernel.hold import Held
from pylibbpf.engine.kernel.links import attaching, new_descriptors
from pylibbpf.errors import ClosedError


class Thing(Held):
    what, name = "thing", "mine"


class Interrupted(Exception):
    pass


@pytest.fixture
def interrupts():
    """SIGALRM raises, again and again, until the block is left."""

    def interrupt(number, frame):
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, interrupt)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 1e-4)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def _free(lock) -> bool:
    """Whether another thread can have the lock."""
    found = []

    def ask():
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return found[0]


def test_interrupted_wherever_it_is(interrupts):
    thing = Thing()
    for _ in range(2000):
        try:
            interrupts()
            while True:
                with thing:
                    pass
        except Interrupted:
            pass
    assert _free(thing.lock)


def test_interrupted_while_attaching(interrupts):
    found: list[int] = []
    for _ in range(300):
        try:
            interrupts()
            while True:
                with attaching, new_descriptors(found):
                    pass
        except Interrupted:
            pass
    assert _free(attaching)


def test_held_by_one_thread():
    thing = Thing()
    with thing as same, thing:
        assert same is thing
        assert not _free(thing.lock)
    assert _free(thing.lock)


def test_closed_is_not_to_be_held():
    thing = Thing()
    thing.gone = "is closed"
    with pytest.raises(ClosedError, match="thing 'mine' is closed"), thing:
        pass
    assert _free(thing.lock)


def test_a_childs_is_free():
    thing = Thing()
    with thing:
        thing.abandon()
        assert _free(thing.lock)
    with pytest.raises(ClosedError, match="the parent of this one"):
        thing.alive()
