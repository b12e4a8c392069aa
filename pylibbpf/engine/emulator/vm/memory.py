"""The memory that programs see: regions far apart, each access checked.

An address is a 64-bit number. Its upper 32 bits are the number of a slot, and a slot holds one
region at most, which starts where the slot starts::

    address >> 32          slot
    address & 0xffffffff   offset in the region

Slots are given out once, and only every other one: a pointer that runs out of its region at
either end, is made of a wrong number, or is used after the region was freed, hits none. Slot 0
stays empty for the null pointer and small integers.

What both executors rely on:

* The ``base``, ``data``, ``strict`` and permissions of a region that is mapped never change. What
  moves or grows (a packet whose head is adjusted) is freed, and mapped anew.
* A region that a program can still reach is freed only inside a helper that it calls: what an
  executor has found about regions holds until the next call of a helper, kfunc or function.
  Other threads wait for the end of the run, as the kernel does by RCU.
"""

from __future__ import annotations

import _thread
import itertools
import os
import weakref

from pylibbpf.errors import MemoryFault
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ARENA",
    "CODE",
    "CONTEXT",
    "MAP_VALUE",
    "OBJECT",
    "PACKET",
    "READ",
    "READ_ONLY",
    "STACK",
    "WRITE",
    "Memory",
    "Region",
]

READ, WRITE = 1, 2

# Kinds of memory, in the words of messages.
STACK = "stack"
CONTEXT = "context"
PACKET = "packet"
MAP_VALUE = "map value"
ARENA = "arena"
READ_ONLY = "read-only data"
OBJECT = "object"  # of the kernel: what a helper or kfunc gave, or what a program allocated
CODE = "code"  # what pointers to functions point to; can be neither read nor written

# Arithmetic with addresses is quick in Python as long as they have two digits, that is 60 bits.
# The upper half of these is for stack frames, which come and go: they are found again from 2**27
# on when they have got to the end. Other regions go on behind them, and have no end.
_FIRST = 0x1000
_STEP = 2
_FRAMES, _FRAMES_END = 1 << 27, 1 << 28
_REMEMBERED = 256

# Executors may take it that bytes that can be got at without a closer look lie below.
ADDRESSES = 1 << 62


class Region:
    """Bytes at an address; see :class:`Memory` for how to get one.

    ``data`` holds them, and is never resized. A subclass whose contents are computed has ``data``
    None and overrides :meth:`load` and :meth:`store`: fields of a context, pages of an arena.
    ``strict``: accesses must be aligned to their size, as the kernel wants on stack and context.
    ``owner`` is whatever the region belongs to.
    """

    __slots__ = ("base", "data", "kind", "name", "owner", "permissions", "size", "strict")

    def __init__(
        self,
        data: bytearray | memoryview | None,
        kind: str,
        name: str = "",
        *,
        size: int | None = None,
        permissions: int = READ | WRITE,
        strict: bool = False,
        owner: object = None,
    ) -> None:
        if size is None:
            assert data is not None
            size = len(data)
        self.base = 0
        self.data = data
        self.kind = kind
        self.name = name
        self.size = size
        self.permissions = permissions
        self.strict = strict
        self.owner = owner

    def __repr__(self) -> str:
        return f"<Region {self.label}, {self.size} bytes at {self.base:#x}>"

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else self.kind

    def load(self, offset: int, size: int) -> int:
        """Give the little-endian number there. The access was checked."""
        assert self.data is not None
        return int.from_bytes(self.data[offset : offset + size], "little")

    def store(self, offset: int, size: int, value: int) -> None:
        """Write the low bytes of a number. The access was checked."""
        assert self.data is not None
        self.data[offset : offset + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


class Memory:
    """All regions that the programs of one world can reach. Any thread may use it."""

    def __init__(self) -> None:
        self.slots: dict[int, Region] = {}
        """Regions by slot: ``slots.get(address >> 32)``. To be changed by this class only."""
        self.readable: dict[int, bytearray | memoryview] = {}
        """The bytes of regions, by slot, that need no check but that of their size."""
        self.writable: dict[int, bytearray | memoryview] = {}
        """Those of them that can be written, too."""
        self.lock = _thread.allocate_lock()
        """Held during an atomic operation, and while slots are given out."""
        self._next = _FIRST
        self._numbers = itertools.count(0, _STEP)  # of frames
        self._frames: list[Region] = []  # that are not in use
        self._freed: dict[int, str] = {}
        self.open_frame, self.close_frame = self._frame_calls()
        """Map a stack frame of zeros for an owner, and take it away: its address is not used again
        for long."""
        _memories.add(self)

    def map(self, region: Region) -> Region:
        """Give a region an address.

        Raises:
            ValueError: it is larger than 4 GiB, or has an address.
        """
        if region.base:
            raise ValueError(f"{region!r} is mapped")
        if region.size > 1 << 32:
            raise ValueError(f"a region cannot have {region.size} bytes")
        with self.lock:
            slot = self._next
            self._next = slot + _STEP if slot + _STEP != _FRAMES else _FRAMES_END
        region.base = slot << 32
        self.slots[slot] = region
        data = region.data
        plain = data is not None and not region.strict and region.base < ADDRESSES
        if data is not None and plain and region.permissions & READ:
            self.readable[slot] = data
            if region.permissions & WRITE:
                self.writable[slot] = data
        return region

    def allocate(self, size: int, kind: str = OBJECT, name: str = "") -> Region:
        """Map a new region of zeros."""
        return self.map(Region(bytearray(size), kind, name))

    def free(self, region: Region) -> None:
        """Take a region away; its address is never used again.

        Raises:
            ValueError: it is not mapped here.
        """
        slot = region.base >> 32
        if self.slots.get(slot) is not region:
            raise ValueError(f"{region!r} is not mapped")
        del self.slots[slot]
        self.readable.pop(slot, None)
        self.writable.pop(slot, None)
        freed = self._freed
        freed[slot] = region.label
        if len(freed) > 2 * _REMEMBERED:
            with self.lock:
                for old in list(freed)[: len(freed) - _REMEMBERED]:
                    freed.pop(old, None)

    def _frame_calls(self) -> tuple[Callable[[object], Region], Callable[[Region], None]]:
        """Make ``open_frame`` and ``close_frame``: functions, as these are quicker than methods."""
        slots, frames, numbers = self.slots, self._frames, self._numbers
        first, within, size = _FRAMES, _FRAMES - 1, isa.STACK_SIZE

        def open_frame(owner: object) -> Region:
            try:
                region = frames.pop()
            except IndexError:
                region = Region(bytearray(size), STACK, strict=True)
            else:
                region.data = bytearray(size)
            region.owner = owner  # before it can be seen: see close_frames()
            slot = first | next(numbers) & within
            while slots.setdefault(slot, region) is not region:
                # It has been open all the time since the numbers began anew.
                slot = first | next(numbers) & within
            region.base = slot << 32
            return region

        def close_frame(region: Region) -> None:
            del slots[region.base >> 32]
            region.owner = None
            frames.append(region)

        return open_frame, close_frame

    def close_frames(self, owner: object) -> None:
        """Take all stack frames of an owner away that are still there.

        Ctrl-C, and whatever else a signal handler raises, can come when a frame was opened and
        nobody has it yet, or when it is about to be closed.
        """
        for slot, region in self.slots.copy().items():
            if region.owner is owner and region.kind == STACK:
                self.slots.pop(slot, None)

    def find(self, address: int) -> Region | None:
        """Give the region that an address is in, or that it is just behind the end of."""
        region = self.slots.get(address >> 32)
        return region if region is not None and address - region.base <= region.size else None

    def access(self, address: int, size: int, write: bool) -> tuple[Region, int]:
        """Check an access, and give the region and the offset in it.

        Raises:
            MemoryFault: it is not allowed.
        """
        region = self.slots.get(address >> 32)
        if region is not None:
            offset = address - region.base
            if (
                offset + size <= region.size
                and region.permissions & (WRITE if write else READ)
                and not (region.strict and offset & (size - 1))
            ):
                return region, offset
        raise self.fault(address, size, write)

    def load(self, address: int, size: int) -> int:
        """Read a little-endian unsigned number of 1, 2, 4 or 8 bytes.

        Raises:
            MemoryFault: it is not allowed.
        """
        region = self.slots.get(address >> 32)
        if region is not None:
            offset = address - region.base
            if (
                offset + size <= region.size
                and region.permissions & READ
                and not (region.strict and offset & (size - 1))
            ):
                data = region.data
                if data is None:
                    return region.load(offset, size)
                return int.from_bytes(data[offset : offset + size], "little")
        raise self.fault(address, size, False)

    def store(self, address: int, size: int, value: int) -> None:
        """Write the low 1, 2, 4 or 8 bytes of a number.

        Raises:
            MemoryFault: it is not allowed.
        """
        region, offset = self.access(address, size, True)
        region.store(offset, size, value)

    def atomic(self, address: int, size: int, imm: int, src: int, r0: int = 0) -> int:
        """Do the read-modify-write operation that ``imm`` names, and give what was there.

        Raises:
            MemoryFault: it is not allowed, or not aligned to its size.
        """
        region, offset = self._aligned(address, size, True)
        if not region.permissions & READ:
            raise self.fault(address, size, False)
        op = imm if imm in (isa.ATOMIC_XCHG, isa.ATOMIC_CMPXCHG) else imm & ~isa.FETCH
        with self.lock:
            old = region.load(offset, size)
            region.store(offset, size, alu.atomic(op, old, src, r0, size * 8))
        return old

    def load_acquire(self, address: int, size: int) -> int:
        """Read so that what follows in the program comes after it.

        Raises:
            MemoryFault: it is not allowed, or not aligned to its size.
        """
        region, offset = self._aligned(address, size, False)
        with self.lock:
            return region.load(offset, size)

    def store_release(self, address: int, size: int, value: int) -> None:
        """Write so that what precedes in the program comes before it.

        Raises:
            MemoryFault: it is not allowed, or not aligned to its size.
        """
        region, offset = self._aligned(address, size, True)
        with self.lock:
            region.store(offset, size, value)

    def _aligned(self, address: int, size: int, write: bool) -> tuple[Region, int]:
        # Kernel 6.18, check_atomic_rmw() and _load(): strict_alignment_once.
        region, offset = self.access(address, size, write)
        if offset & (size - 1):
            raise self.fault(address, size, write, strict=True)
        return region, offset

    def read(self, address: int, size: int) -> bytes:
        """Copy bytes out, for a helper.

        Raises:
            MemoryFault: not all of them are in one region that may be read.
        """
        region = self.slots.get(address >> 32)
        if region is not None:
            offset, data = address & 0xFFFFFFFF, region.data
            if data is not None and offset + size <= region.size and region.permissions & READ:
                return bytes(data[offset : offset + size])
        region, offset = self._span(address, size, False)
        return bytes(region.load(at, 1) for at in range(offset, offset + size))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes in, for a helper.

        Raises:
            MemoryFault: not all of them are in one region that may be written.
        """
        region, offset = self._span(address, len(data), True)
        if region.data is not None:
            region.data[offset : offset + len(data)] = data
            return
        for at, byte in enumerate(data, offset):
            region.store(at, 1, byte)

    def _span(self, address: int, size: int, write: bool) -> tuple[Region, int]:
        region = self.slots.get(address >> 32)
        if region is not None:
            offset = address - region.base
            if offset + size <= region.size and region.permissions & (WRITE if write else READ):
                return region, offset
        raise self.fault(address, size, write)

    def fault(self, address: int, size: int, write: bool, *, strict: bool = False) -> MemoryFault:
        """Say what is wrong with an access; ``strict``: it had to be aligned."""
        what = f"{'writes' if write else 'reads'} {size} byte{'s' * (size != 1)}"
        slot = address >> 32
        region = self.slots.get(slot)
        if region is not None:
            offset = address - region.base
            said = _fault_inside(region, offset, size, write, strict)
            return MemoryFault(f"{what} {said}", address, size, write, region.label, offset)
        after = self.slots.get(slot + 1)
        if after is not None:
            offset = address - after.base
            said = f"at offset {offset} of {after.label}, before its start"
            return MemoryFault(f"{what} {said}", address, size, write, after.label, offset)
        for there, shift in ((slot, 0), (slot + 1, 1 << 32)):
            label = self._freed.get(there)
            if _FRAMES <= there < _FRAMES_END and not there % _STEP:
                label = STACK
            if label is not None:
                offset = (address & 0xFFFFFFFF) - shift
                said = f"at offset {offset} of {label}, which was freed"
                return MemoryFault(f"{what} {said}", address, size, write, label, offset)
        if not slot and address < 1 << 16:
            said = f"through a null pointer (address {address:#x})"
        else:
            said = f"at {address:#x}, where there is no memory"
        return MemoryFault(f"{what} {said}", address, size, write)


def _fault_inside(region: Region, offset: int, size: int, write: bool, strict: bool) -> str:
    where = f"at offset {offset} of {region.label}"
    if not region.permissions & (WRITE if write else READ):
        return f"{where}, which cannot be {'written' if write else 'read'}"
    if offset + size > region.size:
        many = f"{region.size} byte{'s' * (region.size != 1)}"
        past = "across" if offset < region.size else "behind"
        return f"{where}, {past} its end: it has {many}"
    if strict or region.strict:
        return f"{where}, which is not aligned to {size} bytes"
    return where


# All of this process: what another thread held when it forked is free in the child.
_memories: weakref.WeakSet[Memory] = weakref.WeakSet()


def _after_fork() -> None:
    for memory in _memories:
        memory.lock = _thread.allocate_lock()


os.register_at_fork(after_in_child=_after_fork)
