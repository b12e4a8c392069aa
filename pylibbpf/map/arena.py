"""Arenas: memory that programs and user space share, at one address."""

from __future__ import annotations

import operator
import os

from pylibbpf.errors import NotSupportedError
from pylibbpf.map.base import Map
from pylibbpf.uapi.flags import BPF_F_SEGV_ON_FAULT

__all__ = ["Arena"]

_LOW = 0xFFFFFFFF


class Arena(Map):
    """Memory of up to 4 GiB that programs allocate pages of, mapped into this process. Linux 6.9.

    Places are offsets from its start. A pointer in an arena is an address of this process, or
    one of the kernel's; both have the offset in their lower 32 bits, and :meth:`offset` makes it
    out of either. Reading or writing a page that no program has allocated allocates it, unless
    the map has the flag BPF_F_SEGV_ON_FAULT: then it raises ``BpfError`` (EFAULT).

    Programs that use an arena need libbpf 1.4, or ``map_extra`` set to the address that the arena
    is to have.
    """

    @property
    def size(self) -> int:
        """Bytes of the arena: ``max_entries`` pages."""
        return self._handle.max_entries * os.sysconf("SC_PAGE_SIZE")

    @property
    def address(self) -> int:
        """Where it starts, in this process and for programs."""
        _ = self._handle.fd
        return self._handle.address

    def offset(self, pointer: int) -> int:
        """The offset of what a pointer in the arena, the user's or the kernel's, points to.

        Raises:
            ValueError: it points outside.
        """
        found = (operator.index(pointer) - self.address) & _LOW
        if found >= self.size:
            raise ValueError(f"{pointer:#x} points outside arena {self.name!r}")
        return found

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at ``offset``.

        Raises:
            ValueError: it is not all in the arena.
            BpfError: EFAULT, a page was never allocated.
        """
        self._check(offset, size)
        return self._handle.peek(offset, size)

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at ``offset``.

        Raises:
            ValueError: it is not all in the arena.
            BpfError: EFAULT, a page was never allocated.
        """
        self._check(offset, len(data))
        self._handle.poke(offset, bytes(data))

    def view(self, offset: int = 0, size: int | None = None) -> memoryview:
        """The memory itself, to read and write in place, for ``struct``, ``numpy`` and such.

        It is as safe as any memory that others write at the same time. It stays as long as the
        view does; so do the object and its maps, if it is closed meanwhile (nothing is attached
        any more).

        Raises:
            ValueError: it is not all in the arena.
            NotSupportedError: the map has the flag BPF_F_SEGV_ON_FAULT: a page that is not there
                would end the process.
        """
        size = self.size - operator.index(offset) if size is None else size
        self._check(offset, size)
        if self._handle.flags & BPF_F_SEGV_ON_FAULT:
            raise NotSupportedError(
                f"arena {self.name!r} has BPF_F_SEGV_ON_FAULT: a view of a page that is not there "
                "would end the process; read() and write() raise instead"
            )
        return self._handle.view(offset, size)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ValueError(
                f"{size} bytes at {offset} are not all in arena {self.name!r} of {self.size} bytes"
            )
