"""User ring buffers of the kernel engine: records that programs drain."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.check import check
from pylibbpf.errors import BpfError, ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.maps import KernelMap

_WHAT = "user ring buffer"


class Reservation:
    """Room in the ring; given back when it is forgotten."""

    def __init__(self, ring: KernelUserRing) -> None:
        self._ring = ring  # whose memory the cell points into
        discard, memory = ring.lib.plb_userring_discard, ring.memory

        def forgotten(cell: Any) -> None:
            # C looks into the ring. Where both are forgotten at once, the ring may go first.
            _ = memory
            discard(cell)

        self.cell = ring.ffi.gc(ring.ffi.new("struct plb_reservation *"), forgotten)

    def submit(self, data: bytes) -> None:
        ring = self._ring
        ring.check(ring.lib.plb_userring_submit(self.cell, data), "submit to user ring buffer")

    def discard(self) -> None:
        self._ring.lib.plb_userring_discard(self.cell)


class KernelUserRing:
    """A BPF_MAP_TYPE_USER_RINGBUF, written through its memory."""

    def __init__(self, map: KernelMap) -> None:
        owner = map.owner
        self._owner = owner
        self.ffi, self.lib = ffi, lib = owner.ffi, owner.lib
        self.name = map.name
        self.size = map.max_entries
        self._fd = map.fd
        self.memory = ffi.new("struct plb_userring *")
        self._cell = ffi.gc(self.memory, lib.plb_userring_close)
        self._cell.closed = 1  # until it is open
        check(lib.plb_userring_open(self._cell, self._fd, self.size), f"open {_WHAT}", self.name)
        owner.add_source(self)

    def fileno(self) -> int:
        return self._fd

    def send(self, data: bytes) -> bool:
        """Write a record; False where there is no room for it now."""
        rc = self.lib.plb_userring_send(self._cell, data, len(data))
        return self._has_room(rc, len(data))

    def reserve(self, size: int) -> Reservation | None:
        """Room for a record; None where there is none now."""
        made = Reservation(self)
        rc = self.lib.plb_userring_reserve(self._cell, made.cell, size)
        return made if self._has_room(rc, size) else None

    def used(self) -> int:
        """Bytes that no program has drained yet, with their headers."""
        return self.check(self.lib.plb_userring_used(self._cell), f"read {_WHAT}")

    def _has_room(self, rc: int, size: int) -> bool:
        if rc == -errno.E2BIG:
            cause = f"{size} bytes and a header of 8 never fit into a ring of {self.size}"
            raise BpfError(-rc, f"send to {_WHAT}", self.name, cause)
        return rc != -errno.ENOSPC and self.check(rc, f"send to {_WHAT}") == 0

    def check(self, rc: int, operation: str) -> int:
        if rc == -errno.EBADF:
            self._owner.alive()
            raise ClosedError(f"{_WHAT} {self.name!r} is closed")
        return check(rc, operation, self.name)

    def close(self) -> None:
        self.lib.plb_userring_close(self._cell)
        self._owner.forget_source(self)

    def abandon(self) -> None:
        """In a forked child: the ring is the parent's."""
        self.lib.plb_userring_abandon(self._cell)
