"""Maps of sockets."""

from __future__ import annotations

import sys

from pylibbpf.map.descriptor import descriptor
from pylibbpf.map.entries import Entries, HashMap, Indexed, SlotArray, WriteOnly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.map.base import Coder

__all__ = ["ReuseportArray", "SockHash", "SockMap", "XskMap"]


class _Sockets(Entries):
    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        size = self._handle.value_size
        coder.scalars = None
        coder.encode_value = lambda value: descriptor(value, "a socket").to_bytes(
            size, sys.byteorder
        )
        coder.decode_value = lambda data: int.from_bytes(data, sys.byteorder)
        return coder


class SockMap(_Sockets, SlotArray):
    """Sockets by index, for programs that redirect between them: ``sockets[0] = sock``.

    A value is a socket or its descriptor: TCP (established, or listening), UDP, Unix. Reading
    gives its cookie (SO_COOKIE), where the values of the map have 8 bytes; else it raises
    ``BpfError`` (ENOSPC). A socket leaves the map when it is closed.
    """


class SockHash(_Sockets, HashMap):
    """Sockets by key; the rest is as in :class:`SockMap`."""


class ReuseportArray(_Sockets, SlotArray):
    """Sockets of SO_REUSEPORT groups, for programs that choose one: ``group[0] = sock``.

    A socket must be bound (UDP) or listening (TCP) with SO_REUSEPORT when it is put in. Reading
    gives its cookie, as in :class:`SockMap`.
    """


class XskMap(Indexed, WriteOnly):
    """AF_XDP sockets by index, often that of the queue.

    It cannot be read, and the kernel does not say whether a place that ``del`` empties was in use.
    """

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.encode_value = lambda value: descriptor(value, "an AF_XDP socket").to_bytes(
            4, sys.byteorder
        )
        return coder
