"""BTF as rows of 32-bit words, to be copied, merged and written again.

:class:`~pylibbpf.btf.parse.Btf` gives types a meaning; here they stay what they are in the file,
so that nothing is lost on the way from one file to another, and names that nobody reads are not
decoded. Layout from the kernel's ``Documentation/bpf/btf.rst``.
"""

from __future__ import annotations

import struct

from pylibbpf.btf.parse import MAX_DEPTH
from pylibbpf.btf.raw import HEADER, MAGIC, scan, sections
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = tuple[int, ...]

__all__ = ["Rows", "Strings", "encode", "id_places", "is_global", "kind_of", "name_places"]

_VERSION = 1

# Strings may overlap, so that a small file can name endless text.
_MOST_TEXT = 1 << 26

# Where a row has ids of other types: the fixed places, then the first of the repeated ones and
# how far they are apart. A row starts with name, info (kind, vlen, flag), and size or type.
_ONE = ((2,), 0, 0)
_IDS: dict[int, tuple[tuple[int, ...], int, int]] = {
    Kind.PTR: _ONE,
    Kind.ARRAY: ((3, 4), 0, 0),
    Kind.STRUCT: ((), 4, 3),
    Kind.UNION: ((), 4, 3),
    Kind.TYPEDEF: _ONE,
    Kind.VOLATILE: _ONE,
    Kind.CONST: _ONE,
    Kind.RESTRICT: _ONE,
    Kind.FUNC: _ONE,
    Kind.FUNC_PROTO: ((2,), 4, 2),
    Kind.VAR: _ONE,
    Kind.DATASEC: ((), 3, 3),
    Kind.DECL_TAG: _ONE,
    Kind.TYPE_TAG: _ONE,
}
# The same for names beside the type's own.
_NAMES: dict[int, tuple[int, int]] = {
    Kind.STRUCT: (3, 3),
    Kind.UNION: (3, 3),
    Kind.ENUM: (3, 2),
    Kind.ENUM64: (3, 3),
    Kind.FUNC_PROTO: (3, 2),
}
_ALIASES = (Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG)
_SIZED = (Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FLOAT)


def kind_of(row: Row) -> int:
    """Give the kind of a type, as a number of :class:`~pylibbpf.btf.types.Kind`."""
    return row[1] >> 24 & 0x1F if row else Kind.VOID


def is_global(row: Row) -> bool:
    """Tell whether a type is a function or a variable that is not static."""
    kind = kind_of(row)
    return (kind == Kind.FUNC and bool(row[1] & 0xFFFF)) or (kind == Kind.VAR and bool(row[3]))


def id_places(row: Row) -> Iterator[int]:
    """List where a row has ids of other types."""
    fixed, first, step = _IDS.get(kind_of(row), ((), 0, 0))
    yield from fixed
    if step:
        yield from range(first, len(row), step)


def name_places(row: Row) -> Iterator[int]:
    """List where a row has offsets of strings."""
    if row:
        yield 0
    first, step = _NAMES.get(kind_of(row), (0, 0))
    if step:
        yield from range(first, len(row), step)


class Rows:
    """The types of one BTF that stands alone, by id; type 0, ``void``, is an empty row.

    Every id and every name in them exists.

    Raises:
        BtfError: ``data`` is no BTF, or damaged.
    """

    def __init__(self, data: bytes) -> None:
        start, end, self._start, self._end = sections(data, False)
        self._data = data
        self._known: dict[int, bytes] = {}
        self._left = _MOST_TEXT
        offsets = scan(data, start, end, 1)
        self.types: list[Row] = [()]
        for at, until in zip(offsets, [*offsets, end][1:], strict=True):
            self.types.append(struct.unpack_from(f"<{(until - at) // 4}I", data, at))
        for type_id, row in enumerate(self.types):
            for place in id_places(row):
                if row[place] >= len(self.types):
                    raise BtfError(
                        f"BTF type {type_id} refers to type {row[place]}, but the last is "
                        f"{len(self.types) - 1}"
                    )
            for place in name_places(row):
                self.string(row[place])

    def __len__(self) -> int:
        return len(self.types)

    def string(self, offset: int) -> bytes:
        """Give the string at an offset.

        Raises:
            BtfError: there is none, or the strings overlap without end.
        """
        found = self._known.get(offset)
        if found is None:
            start = self._start + offset
            if start >= self._end:
                raise BtfError(
                    f"BTF string offset {offset} is outside its {self._end - self._start} bytes"
                )
            found = self._data[start : self._data.index(0, start)]
            self._left -= len(found)
            if self._left < 0:
                raise BtfError("the strings of BTF overlap without end")
            self._known[offset] = found
        return found

    def name(self, type_id: int) -> bytes:
        """Give the name of a type; empty where it has none."""
        row = self.types[type_id]
        return self.string(row[0]) if row else b""

    def strip(self, type_id: int) -> int:
        """Give the id behind typedefs, const, volatile, restrict and type tags.

        Raises:
            BtfError: there is no end to them.
        """
        start = type_id
        for _ in range(MAX_DEPTH):
            row = self.types[type_id]
            if kind_of(row) not in _ALIASES:
                return type_id
            type_id = row[2]
        raise BtfError(f"BTF type {start} is a chain of typedefs without an end")

    def size(self, type_id: int) -> int:
        """Give the size of a type in bytes, with pointers of 8; 0 where it has none.

        Raises:
            BtfError: there is no end to its arrays.
        """
        times = 1
        for _ in range(MAX_DEPTH):
            row = self.types[self.strip(type_id)]
            kind = kind_of(row)
            if kind in _SIZED:
                return times * row[2]
            if kind == Kind.PTR:
                return times * 8
            if kind != Kind.ARRAY:
                return 0
            times *= row[5]
            type_id = row[3]
        raise BtfError(f"BTF type {type_id} is a chain of arrays without an end")


class Strings:
    """A string section that is being written: each string once."""

    def __init__(self) -> None:
        self._offsets = {b"": 0}
        self._text = bytearray(1)

    def add(self, text: bytes) -> int:
        """Give the offset of a string, which is put there if it is new."""
        known = self._offsets.get(text)
        if known is None:
            known = self._offsets[text] = len(self._text)
            self._text += text
            self._text.append(0)
        return known

    def content(self) -> bytes:
        """Give the section as it is now."""
        return bytes(self._text)


def encode(types: list[Row], strings: Strings) -> bytes:
    """Write BTF: ``types`` are those from id 1 on, whose names are in ``strings``."""
    body = b"".join(struct.pack(f"<{len(row)}I", *row) for row in types)
    text = strings.content()
    size = HEADER.size
    return HEADER.pack(MAGIC, _VERSION, 0, size, 0, len(body), len(body), len(text)) + body + text
