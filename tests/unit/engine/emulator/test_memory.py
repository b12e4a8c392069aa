"""Regions: what is allowed, and what a violation is told as."""

from __future__ import annotations

import os
import pickle
import random
import threading

import pytest

from pylibbpf.engine.emulator.vm.memory import (
    CONTEXT,
    MAP_VALUE,
    PACKET,
    READ,
    READ_ONLY,
    STACK,
    Memory,
    Region,
)
from pylibbpf.errors import MemoryFault
from pylibbpf.isa import insn as isa


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_numbers_are_little_endian(memory: Memory) -> None:
    region = memory.allocate(16)
    memory.store(region.base + 3, 8, 0x1122334455667788)
    assert region.data == bytes(3) + bytes.fromhex("8877665544332211") + bytes(5)
    assert memory.load(region.base + 4, 2) == 0x6677
    memory.store(region.base, 1, 0x1FF)
    assert memory.load(region.base, 8) == 0x44556677880000FF


def test_a_view_writes_through(memory: Memory) -> None:
    data = bytearray(32)
    region = memory.map(Region(memoryview(data)[8:16], MAP_VALUE, "counts"))
    memory.store(region.base, 4, 7)
    assert data[8] == 7
    with pytest.raises(MemoryFault, match="across its end: it has 8 bytes"):
        memory.load(region.base + 6, 4)


@pytest.mark.parametrize(
    ("offset", "size", "write", "said"),
    [
        (14, 4, False, "reads 4 bytes at offset 14 of packet, across its end: it has 16 bytes"),
        (16, 1, True, "writes 1 byte at offset 16 of packet, behind its end: it has 16 bytes"),
        (-8, 8, False, "reads 8 bytes at offset -8 of packet, before its start"),
        (-2, 4, False, "reads 4 bytes at offset -2 of packet, before its start"),
        (1 << 31, 8, False, "behind its end"),
    ],
)
def test_out_of_bounds(memory: Memory, offset: int, size: int, write: bool, said: str) -> None:
    region = memory.map(Region(bytearray(16), PACKET))
    memory.allocate(64)  # a neighbour, which nobody may reach by running on
    with pytest.raises(MemoryFault) as caught:
        memory.access(region.base + offset, size, write)
    assert said in str(caught.value)
    assert (caught.value.region, caught.value.offset) == ("packet", offset)
    assert (caught.value.size, caught.value.write) == (size, write)


def test_permissions_and_alignment(memory: Memory) -> None:
    constant = memory.map(Region(bytearray(8), READ_ONLY, ".rodata", permissions=READ))
    with pytest.raises(MemoryFault, match=r"read-only data '.rodata', which cannot be written"):
        memory.store(constant.base, 1, 0)
    with pytest.raises(MemoryFault, match="cannot be written"):
        memory.atomic(constant.base, 8, isa.ATOMIC_ADD, 0)
    with pytest.raises(MemoryFault, match="cannot be written"):
        memory.write(constant.base, b"1")
    assert memory.load(constant.base + 1, 4) == 0
    stack = memory.map(Region(bytearray(512), STACK, strict=True))
    with pytest.raises(MemoryFault, match="offset 1 of stack, which is not aligned to 4 bytes"):
        memory.load(stack.base + 1, 4)
    plain = memory.allocate(16)
    memory.store(plain.base + 1, 8, 5)
    for act in (
        lambda: memory.atomic(plain.base + 1, 4, isa.ATOMIC_ADD, 1),
        lambda: memory.load_acquire(plain.base + 1, 2),
        lambda: memory.store_release(plain.base + 1, 2, 0),
    ):
        with pytest.raises(MemoryFault, match="not aligned"):
            act()


def test_what_was_freed_stays_away(memory: Memory) -> None:
    record = memory.allocate(8, name="record")
    memory.free(record)
    again = memory.allocate(8, name="record")
    assert again.base != record.base
    with pytest.raises(MemoryFault, match="offset 4 of object 'record', which was freed"):
        memory.load(record.base + 4, 4)
    with pytest.raises(ValueError, match="not mapped"):
        memory.free(record)
    for _ in range(2000):
        memory.free(memory.allocate(1))
    with pytest.raises(MemoryFault, match="where there is no memory"):
        memory.load(record.base + 4, 4)
    assert len(memory._freed) <= 512


@pytest.mark.parametrize("address", [0, 1, 8, 4095, 1 << 20, (1 << 64) - 1, (1 << 63) + 8])
def test_wrong_numbers_hit_nothing(memory: Memory, address: int) -> None:
    memory.allocate(1 << 16)
    with pytest.raises(MemoryFault) as caught:
        memory.load(address, 8)
    assert caught.value.region is None
    assert ("null pointer" in str(caught.value)) == (address < 1 << 16)


def test_random_addresses_agree_with_a_model(memory: Memory) -> None:
    rng = random.Random(4)
    regions = [memory.allocate(rng.randrange(1, 40)) for _ in range(20)]
    for _ in range(5000):
        near = rng.choice(regions)
        address = near.base + rng.randrange(-20, 60)
        size = rng.choice((1, 2, 4, 8))
        fits = any(r.base <= address and address + size <= r.base + r.size for r in regions)
        try:
            memory.load(address, size)
        except MemoryFault:
            assert not fits
        else:
            assert fits


def test_computed_regions(memory: Memory) -> None:
    class Squares(Region):
        __slots__ = ()

        def load(self, offset: int, size: int) -> int:
            return offset * offset

    region = memory.map(Squares(None, CONTEXT, size=16, permissions=READ))
    assert memory.load(region.base + 9, 1) == 81
    assert memory.read(region.base + 2, 3) == bytes((4, 9, 16))
    with pytest.raises(MemoryFault):
        memory.store(region.base, 1, 0)


def test_strings_of_bytes(memory: Memory) -> None:
    region = memory.allocate(8)
    memory.write(region.base + 2, b"abc")
    assert memory.read(region.base, 8) == b"\0\0abc\0\0\0"
    assert memory.read(region.base + 8, 0) == b""
    with pytest.raises(MemoryFault):
        memory.read(region.base + 5, 4)
    with pytest.raises(MemoryFault):
        memory.write(region.base + 7, b"ab")


def test_atomics_are_atomic_under_threads(memory: Memory) -> None:
    region = memory.allocate(8)
    got: list[int] = []

    def add() -> None:
        for _ in range(2000):
            got.append(memory.atomic(region.base, 8, isa.ATOMIC_ADD | isa.FETCH, 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(8000))
    assert memory.load(region.base, 8) == 8000


def test_a_forked_child_finds_no_lock_held(memory: Memory) -> None:
    region = memory.allocate(8)
    with memory.lock:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = int(memory.atomic(region.base, 8, isa.ATOMIC_ADD, 1))
            finally:
                os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_faults_can_be_pickled(memory: Memory) -> None:
    with pytest.raises(MemoryFault) as caught:
        memory.load(8, 4)
    caught.value.insn = 3
    caught.value.text = "r0 = *(u32 *)(r1 +4)"
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.address == 8
