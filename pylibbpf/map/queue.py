"""Queues and stacks."""

from __future__ import annotations

from pylibbpf.handle import Of
from pylibbpf.map.base import TypedMap
from pylibbpf.uapi.flags import BPF_ANY, BPF_EXIST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.handle import Given, V

__all__ = ["QueueMap"]


class QueueMap(Of["V"], TypedMap):
    """A queue (first in, first out) or stack (last in, first out). Linux 4.20."""

    def push(self, value: Given[V], *, overwrite: bool = False) -> None:
        """Append. With ``overwrite`` a full map drops its oldest value, else E2BIG is raised."""
        flags = BPF_EXIST if overwrite else BPF_ANY
        self._handle.update(None, self._coder.encode_value(value), flags)

    def pop(self) -> V:
        """Take the next value.

        Raises:
            IndexError: there is none.
        """
        return self._taken(self._handle.pop(None))

    def peek(self) -> V:
        """Look at the next value without taking it.

        Raises:
            IndexError: there is none.
        """
        return self._taken(self._handle.lookup(None))

    def _taken(self, data: bytes | None) -> V:
        if data is None:
            raise IndexError(f"map {self.name!r} is empty")
        value: V = self._coder.decode_value(data)
        return value
