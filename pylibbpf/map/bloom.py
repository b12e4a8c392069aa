"""Bloom filters."""

from __future__ import annotations

from pylibbpf.handle import Of
from pylibbpf.map.base import TypedMap
from pylibbpf.uapi.flags import BPF_ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.handle import Given, V

__all__ = ["BloomFilter"]


class BloomFilter(Of["V"], TypedMap):
    """A bloom filter: ``add(value)`` and ``value in map``. Linux 5.16.

    What was added is always found; what was not may be found, too.
    """

    def add(self, value: Given[V]) -> None:
        """Add a value."""
        self._handle.update(None, self._coder.encode_value(value), BPF_ANY)

    def __contains__(self, value: object) -> bool:
        return self._handle.test(self._coder.encode_value(value))
