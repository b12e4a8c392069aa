"""Arenas: memory that programs and this process share."""

from __future__ import annotations

import errno
import gc
import os
import struct

import pytest

import pylibbpf
from pylibbpf.uapi.flags import BPF_F_MMAPABLE, BPF_F_SEGV_ON_FAULT

PLACE = 1 << 44
NODE = struct.Struct("=QQ")


@pytest.fixture
def arenas(kernel_version):
    if kernel_version < (6, 9):
        pytest.skip("needs arenas: Linux 6.9")


@pytest.fixture
def obj(arenas, open_test_object):
    obj = open_test_object("arena")
    obj.maps["arena"].map_extra = PLACE
    obj.load()
    return obj


def test_a_kernel_without_arenas(kernel_version, engine):
    if kernel_version >= (6, 9):
        pytest.skip("needs a kernel without arenas: before Linux 6.9")
    with pytest.raises(pylibbpf.BpfError, match=r"type arena needs Linux 6\.9;") as caught:
        pylibbpf.create_map("arena", max_entries=2, flags=BPF_F_MMAPABLE, engine=engine)
    assert caught.value.errno == errno.EINVAL


def push(obj, *numbers):
    for number in numbers:
        assert obj.programs["push"].test_run(ctx=struct.pack("=Q", number)).retval == 0


def follow(arena, pointer):
    while pointer:
        pointer, value = NODE.unpack(arena.read(arena.offset(pointer), NODE.size))
        yield value


def test_a_list_that_a_program_made(obj):
    arena = obj.maps["arena"]
    assert isinstance(arena, pylibbpf.Arena)
    assert arena.size == 16 * os.sysconf("SC_PAGE_SIZE")
    assert arena.address == PLACE
    push(obj, 1, 2, 3)
    head = obj.globals["head"]
    assert list(follow(arena, head)) == [3, 2, 1]
    # Of a pointer of the kernel's own, the lower half is the same.
    assert arena.offset(0xFFFF_8880_0000_0000 | (head & 0xFFFF_FFFF)) == arena.offset(head)
    first = arena.offset(head)
    arena.write(first + 8, struct.pack("=Q", 40))
    assert obj.programs["sum"].test_run(ctx=bytes(8)).retval == 43


def test_the_memory_itself(obj):
    arena = obj.maps["arena"]
    push(obj, 7)
    start = arena.offset(obj.globals["head"])
    view = arena.view(start, NODE.size)
    assert NODE.unpack(view) == (0, 7)
    NODE.pack_into(view, 0, 0, 8)
    assert obj.programs["sum"].test_run(ctx=bytes(8)).retval == 8
    whole = arena.view()
    assert len(whole) == arena.size
    part = whole[start:]
    del whole, view
    obj.close()
    gc.collect()
    # Whatever is closed, the memory stays as long as somebody looks at it.
    assert NODE.unpack(part[: NODE.size]) == (0, 8)
    with pytest.raises(pylibbpf.ClosedError):
        arena.read(0, 1)
    with pytest.raises(pylibbpf.ClosedError):
        arena.view()


def test_the_place_is_free_again_after_the_last_view(open_test_object, obj):
    view = obj.maps["arena"].view(0, 8)
    obj.close()
    again = open_test_object("arena")
    again.maps["arena"].map_extra = PLACE
    del view
    gc.collect()
    again.load()
    push(again, 5)
    assert list(follow(again.maps["arena"], again.globals["head"])) == [5]


def test_outside(obj):
    arena = obj.maps["arena"]
    size = arena.size
    for offset, length in ((-1, 1), (size, 1), (0, size + 1), (size - 1, 2), (0, -1)):
        with pytest.raises(ValueError, match="not all in arena"):
            arena.read(offset, length)
        with pytest.raises(ValueError, match="not all in arena"):
            arena.view(offset, length)
    with pytest.raises(ValueError, match="not all in arena"):
        arena.write(size - 1, b"ab")
    with pytest.raises(ValueError, match="points outside"):
        arena.offset(PLACE + size)
    with pytest.raises(TypeError):
        arena.offset("x")
    assert arena.read(size - 4, 4) == bytes(4)


def test_an_arena_of_no_object(arenas, engine):
    arena = pylibbpf.create_map("arena", max_entries=2, flags=BPF_F_MMAPABLE, engine=engine)
    with arena:
        arena.write(5000, b"there")
        assert arena.read(4999, 7) == b"\0there\0"
        view = arena.view(5000, 5)
    assert bytes(view) == b"there"
    with pytest.raises(pylibbpf.ClosedError):
        arena.read(0, 1)


def test_pages_that_are_not_there(arenas, engine):
    flags = BPF_F_MMAPABLE | BPF_F_SEGV_ON_FAULT
    arena = pylibbpf.create_map("arena", max_entries=2, flags=flags, engine=engine)
    with arena:
        for use in (lambda: arena.read(0, 8), lambda: arena.write(0, b"x")):
            with pytest.raises(pylibbpf.BpfError, match="no program has allocated") as caught:
                use()
            assert caught.value.errno == errno.EFAULT
        with pytest.raises(pylibbpf.NotSupportedError, match="SEGV"):
            arena.view()
