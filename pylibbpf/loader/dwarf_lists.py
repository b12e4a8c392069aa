"""Location lists and range lists of DWARF: where a variable is, and where a scope is, by address.

pyelftools reads them too, each list to its end: in a damaged file that may be a long way. These
give up when told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pylibbpf.errors import ElfError

__all__ = ["Lists", "uleb128"]

# Longer expressions are not of variables.
_LONGEST = 512

# DW_LLE_* and, but for one number, DW_RLE_* (DWARF 5, sections 7.7.3 and 7.25).
_END, _BASE_INDEX, _INDEXES, _INDEX_LENGTH, _OFFSETS = range(5)
_LLE = {5: "default", 6: "base", 7: "start end", 8: "start length"}
_RLE = {5: "base", 6: "start end", 7: "start length"}


class Entry(NamedTuple):
    """A stretch of code, and for locations the expression that holds there."""

    low: int
    high: int
    expression: bytes


class Lists:
    """One section of lists, of DWARF 5 or of an older version.

    ``tick`` is called for each entry, and raises when there were too many.
    """

    def __init__(self, data: bytes, *, locations: bool, tick: Callable[[], None]) -> None:
        self._data = data
        self._locations = locations
        self._tick = tick

    def at(
        self, offset: int, version: int, base: int, address: Callable[[int], int]
    ) -> Iterator[Entry]:
        """Read the list at an offset.

        ``base`` is what the unit's addresses count from, ``address`` looks an index up in
        ``.debug_addr``.

        Raises:
            ElfError: the list is cut off, or of an unknown form.
        """
        try:
            if version >= 5:
                yield from self._new(offset, base, address)
            else:
                yield from self._old(offset, base)
        except IndexError:
            raise ElfError("a DWARF list is cut off") from None

    def _old(self, at: int, base: int) -> Iterator[Entry]:
        while True:
            self._tick()
            low, high = self._word(at), self._word(at + 8)
            at += 16
            if not low and not high:
                return
            if low == (1 << 64) - 1:
                base = high
                continue
            expression = b""
            if self._locations:
                length = self._data[at] | self._data[at + 1] << 8
                expression = self._data[at + 2 : at + 2 + min(length, _LONGEST)]
                at += 2 + length
            yield Entry(base + low, base + high, expression)

    def _new(self, at: int, base: int, address: Callable[[int], int]) -> Iterator[Entry]:
        names = _LLE if self._locations else _RLE
        while True:
            self._tick()
            kind = self._data[at]
            at += 1
            low = high = -1
            if kind == _END:
                return
            if kind == _BASE_INDEX:
                index, at = uleb128(self._data, at)
                base = address(index)
            elif kind in (_INDEXES, _INDEX_LENGTH, _OFFSETS):
                first, at = uleb128(self._data, at)
                second, at = uleb128(self._data, at)
                if kind == _OFFSETS:
                    low, high = base + first, base + second
                else:
                    low = address(first)
                    high = address(second) if kind == _INDEXES else low + second
            elif names.get(kind) == "base":
                base = self._word(at)
                at += 8
            elif names.get(kind) == "start end":
                low, high = self._word(at), self._word(at + 8)
                at += 16
            elif names.get(kind) == "start length":
                low = self._word(at)
                length, at = uleb128(self._data, at + 8)
                high = low + length
            elif names.get(kind) == "default":
                low = high = 0  # where nothing else holds: of no use here
            else:
                raise ElfError(f"a DWARF list has an entry of the unknown kind {kind}")
            if low < 0:
                continue
            expression = b""
            if self._locations:
                length, at = uleb128(self._data, at)
                expression = self._data[at : at + min(length, _LONGEST)]
                at += length
            yield Entry(low, high, expression)

    def _word(self, at: int) -> int:
        if at + 8 > len(self._data):
            raise IndexError
        return int.from_bytes(self._data[at : at + 8], "little")


def uleb128(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number; give it and where it ends.

    Raises:
        IndexError: the data ends before it does.
    """
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 70:
            return value, at
