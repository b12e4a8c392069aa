"""Reading a buffer that was written backward, at every place where it may wrap."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from pylibbpf.recorder import samples

SAMPLE, LOST = 9, 2


def written_backward(size: int, records: list[bytes]) -> tuple[bytes, int]:
    """A buffer as kernel/events/ring_buffer.c writes it backward, and its head."""
    ring, head = bytearray(size), 0
    for record in records:
        head -= len(record)
        for at, byte in enumerate(record):
            ring[(head + at) % size] = byte
    return bytes(ring), head


def from_head(ring: bytes, head: int) -> bytes:
    start = head % len(ring)
    return ring[start:] + ring[:start]


def sample(time_ns: int, data: bytes) -> bytes:
    """The raw data of a sample and its length fill up to a multiple of 8 bytes."""
    length = -(-(len(data) + 4) // 8) * 8 - 4
    whole = 8 + 8 + 4 + length
    return struct.pack("=IHHQI", SAMPLE, 0, whole, time_ns, length) + data.ljust(length, b"\0")


def lost(count: int) -> bytes:
    return struct.pack("=IHHQQ", LOST, 0, 24, 1, count)


@settings(deadline=None)  # an emulated machine is slow
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 9)), max_size=60),
    st.sampled_from([128, 256, 512]),
)
def test_gives_the_newest_that_are_whole(items, size):
    records = [
        sample(index, item) if isinstance(item, bytes) else lost(item)
        for index, item in enumerate(items)
    ]
    ring, head = written_backward(size, records)
    room, expected = size, []
    for index in range(len(records) - 1, -1, -1):
        room -= len(records[index])
        if room < 0:
            break
        item = items[index]
        if isinstance(item, bytes):
            expected.append((index, item))
    got = list(samples(from_head(ring, head)))
    assert [time for time, _ in got] == [time for time, _ in expected]
    for (_, data), (_, original) in zip(got, expected, strict=True):
        assert data[: len(original)] == original
        assert len(data) % 8 == 4


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_ends_on_anything(memory):
    total = sum(len(data) for _, data in samples(memory))
    assert total <= len(memory)


def test_nothing_written_yet():
    assert list(samples(bytes(4096))) == []
