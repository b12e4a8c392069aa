"""User ring buffers: records from Python to programs."""

from __future__ import annotations

import errno
import gc
import os
import signal
import struct
import threading
import time
import weakref

import pytest

import pylibbpf
from pylibbpf.events import Rule


@pytest.fixture
def obj(load_test_object):
    return load_test_object("userring")


@pytest.fixture
def drain(obj, run):
    """Have the program take what is there; how many records it was."""

    def drain_once(program="drain", flags=0):
        got = run(obj, program, flags)
        return got - (1 << 32) if got >> 31 else got

    return drain_once


def test_typed_records(obj, drain):
    ring = obj.user_ringbuf("requests")
    assert (ring.record_type.name, ring.record_type.rule) == ("struct request", Rule.CONVENTION)
    ring.send({"sender": 0, "number": 0, "text": "zero"})
    ring.send((0, 1, "one"))
    ring.send(ring.record_type.codec.python_type(sender=1, number=0, text="other"))
    assert ring.used == 3 * (24 + 8)
    assert drain() == 3
    assert ring.used == 0
    assert (obj.globals["last"], obj.globals["next"][:2]) == ("other", (2, 1))
    assert obj.globals["wrong"] == 0


def test_values_that_do_not_fit(obj):
    ring = obj.user_ringbuf("requests")
    with pytest.raises(OverflowError, match="number"):
        ring.send((0, 1 << 32, ""))
    with pytest.raises(TypeError, match="number"):
        ring.send({"sender": 0, "text": ""})
    assert ring.used == 0


def test_bytes(obj, drain):
    ring = obj.user_ringbuf("blobs")
    assert ring.record_type.rule is Rule.BYTES
    with pytest.raises(TypeError, match="type="):
        ring.send((1, 2))
    ring.send(b"hello")
    assert drain("drain_blobs") == 1
    assert obj.globals["last"] == "hello"
    ring.close()
    typed = obj.user_ringbuf("blobs", type="struct request")
    assert typed.record_type.rule is Rule.USER
    typed.send((0x6F6C6C65, 0, ""))
    assert drain("drain_blobs") == 1
    assert obj.globals["last"] == "ello"


def test_unknown_type_and_wrong_map(obj, load_test_object):
    with pytest.raises(ValueError, match="struct nothing"):
        obj.user_ringbuf("requests", type="struct nothing")
    with pytest.raises(TypeError, match="no ring buffer"):
        obj.ringbuf("requests")
    with pytest.raises(TypeError, match="no user ring buffer"):
        load_test_object("ring").user_ringbuf("events")


def test_reserve_submits(obj, drain):
    ring = obj.user_ringbuf("blobs")
    with ring.reserve(8) as room:
        assert room.nbytes == 8
        room[:5] = b"hello"
        ring.send(b"later")  # waits for the one before it
        assert drain("drain_blobs") == 0
    assert drain("drain_blobs") == 2
    assert obj.globals["last"] == "later"
    room[:5] = b"harml"  # the buffer is ours
    with obj.user_ringbuf("requests").reserve() as room:
        assert room.nbytes == 24


def test_reserve_discards_on_an_exception(obj, drain):
    ring = obj.user_ringbuf("blobs")

    def fail():
        with ring.reserve(8) as room:
            room[:5] = b"wrong"
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
    ring.send(b"right")
    assert drain("drain_blobs") == 1
    assert obj.globals["last"] == "right"
    assert ring.used == 0


def test_full_ring_says_so(obj, drain):
    ring = obj.user_ringbuf("blobs")
    for _ in range(4096 // 64):
        ring.send(bytes(56))
    with pytest.raises(pylibbpf.BpfError, match="4096 of its 4096 wait") as caught:
        ring.send(b"")
    assert caught.value.errno == errno.ENOSPC
    before = time.monotonic()
    with pytest.raises(pylibbpf.BpfError, match=r"after 0\.05 s"), ring.reserve(8, timeout=0.05):
        pass
    assert time.monotonic() - before >= 0.04
    assert drain("drain_blobs") == 64
    ring.send(b"")


def test_a_record_that_never_fits(obj):
    ring = obj.user_ringbuf("blobs")
    with pytest.raises(pylibbpf.BpfError, match="never fit") as caught:
        ring.send(bytes(4089))
    assert caught.value.errno == errno.E2BIG
    ring.send(bytes(4088))


@pytest.mark.parametrize("flags", [0, 1])
def test_waits_for_room(obj, drain, flags):
    """Also where the drain wakes nobody."""
    ring = obj.user_ringbuf("requests")
    for number in range(4096 // 32):
        ring.send((0, number, ""))
    timer = threading.Timer(0.05, drain, ("drain", flags))
    timer.start()
    ring.send((0, 4096 // 32, "last"), timeout=20)
    timer.join()
    drain()
    assert (obj.globals["last"], obj.globals["wrong"]) == ("last", 0)


def test_any_length_across_the_wrap(obj, drain):
    ring = obj.user_ringbuf("requests")
    for number in range(1000):
        extra = number * 7 % 100
        ring.send(struct.pack("=II16s", 2, number, str(number).encode()) + bytes(extra))
        assert drain() == 1
        assert obj.globals["last"] == str(number)
    assert (obj.globals["next"][2], obj.globals["wrong"]) == (1000, 0)


def test_threads_send(obj, drain):
    ring = obj.user_ringbuf("requests")
    each = 400

    def send(sender):
        for number in range(each):
            if number % 3:
                ring.send((sender, number, "x"), timeout=60)
            else:
                with ring.reserve(24, timeout=60) as room:
                    room[:] = struct.pack("=II16s", sender, number, b"y")

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drain()
    for thread in threads:
        thread.join()
    drain()
    assert obj.globals["next"][:4] == (each,) * 4
    assert (obj.globals["wrong"], obj.globals["short_ones"]) == (0, 0)


@pytest.mark.parametrize("what", ["ring", "object"])
def test_close_wakes_who_waits(obj, what):
    ring = obj.user_ringbuf("blobs")
    ring.send(bytes(4088))
    ended = []

    def send():
        try:
            ring.send(b"x", timeout=None)
        except pylibbpf.ClosedError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    (ring if what == "ring" else obj).close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert ended == ["user ring buffer 'blobs' is closed"] * 2
    with pytest.raises(pylibbpf.ClosedError):
        ring.send(b"")
    with pytest.raises(pylibbpf.ClosedError):
        _ = ring.used


def test_ctrl_c_ends_a_wait(obj):
    ring = obj.user_ringbuf("blobs")
    ring.send(bytes(4088))
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ring.send(b"x", timeout=None)
    timer.join()


def test_closing_discards_what_is_reserved(obj, drain):
    ring = obj.user_ringbuf("blobs")
    room = ring.reserve(8)
    room.__enter__()
    ring.send(b"right")
    ring.close()
    with pytest.raises(pylibbpf.ClosedError):
        room.__exit__(None, None, None)
    again = obj.user_ringbuf("blobs")
    assert again is not ring
    assert drain("drain_blobs") == 1
    assert (obj.globals["last"], again.used) == ("right", 0)


def test_what_is_forgotten_is_discarded(obj, drain):
    ring = obj.user_ringbuf("blobs")
    ring.reserve(8).__enter__()
    ring.send(b"right")
    assert drain("drain_blobs") == 1
    assert obj.globals["last"] == "right"


def test_one_producer(obj):
    ring = obj.user_ringbuf("requests")
    assert obj.user_ringbuf("requests") is ring
    with pytest.raises(ValueError, match="other arguments"):
        obj.user_ringbuf("requests", type="struct request")


def test_a_forked_child_cannot_send(obj, drain):
    ring = obj.user_ringbuf("requests")
    child = os.fork()
    if not child:
        status = 1
        try:
            ring.send((0, 7, ""))
        except pylibbpf.ClosedError as error:
            status = 0 if "parent" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ring.send((0, 0, "mine"))
    assert drain() == 1
    assert (obj.globals["last"], obj.globals["wrong"]) == ("mine", 0)


def test_before_load(open_test_object):
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        open_test_object("userring").user_ringbuf("requests")


def test_a_ring_that_is_collected_before_what_is_reserved(obj):
    """C looks into the ring when it gives back the room: its memory must be there."""
    handle = obj.maps["requests"]._handle
    ring = handle.open_user_ring()
    handle.owner.forget_source(ring)
    room = ring.reserve(24)
    memory = weakref.ref(ring.memory)
    # The collector's order within a cycle is its own: here the ring comes first.
    ring.ffi.release(ring._cell)
    del ring.memory, ring._cell
    gc.collect()
    assert memory() is not None
    del room, ring
    gc.collect()
    assert memory() is None
