"""``.BTF.ext`` as it is in the file: read from each object, and written for the linked one.

Layout: the kernel's Documentation/bpf/btf.rst, section 4.2.
"""

from __future__ import annotations

import dataclasses
from struct import Struct

from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylibbpf.btf.rows import Rows, Strings

    Table = dict[str, list[tuple[int, ...]]]

__all__ = ["Ext", "encode_ext"]

_MAGIC = 0xEB9F
_HEADER = Struct("<HBBI")
_EXTENT = Struct("<II")
_SECTION = Struct("<II")

# The three tables: function types, C lines, CO-RE relocations. A record starts with an offset.
_FUNCTION, _LINE, _CORE = Struct("<II"), Struct("<IIII"), Struct("<IIII")
_TABLES = (_FUNCTION, _LINE, _CORE)
# The places in a record that hold type ids and offsets of strings.
TYPE_PLACES = ((1,), (), (1,))
NAME_PLACES = ((), (1, 2), (2,))


@dataclasses.dataclass(frozen=True, slots=True)
class Ext:
    """The records of each table, by the section that they are about."""

    tables: tuple[Table, ...]

    @classmethod
    def empty(cls) -> Ext:
        """Give that of an object without ``.BTF.ext``."""
        return cls(({}, {}, {}))

    @classmethod
    def parse(cls, data: bytes, types: Rows) -> Ext:
        """Take ``.BTF.ext`` apart, and look whether ``types`` has what it refers to.

        Raises:
            BtfError: it is damaged, or has records of an unknown kind.
        """
        if len(data) < _HEADER.size:
            raise BtfError(f".BTF.ext is truncated: {len(data)} bytes")
        magic, version, _, header = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise BtfError(f".BTF.ext has magic {magic:#x} and version {version}, not 0xeb9f and 1")
        tables: list[Table] = [{}, {}, {}]
        for number, layout in enumerate(_TABLES):
            at = _HEADER.size + number * _EXTENT.size
            # Up to Linux 5.3 there was no third table.
            if at + _EXTENT.size > min(header, len(data)):
                continue
            start, size = _EXTENT.unpack_from(data, at)
            for section, record in _records(data, header + start, size, layout, types):
                for place in TYPE_PLACES[number]:
                    if record[place] >= len(types):
                        raise BtfError(f".BTF.ext refers to type {record[place]}, which is not")
                for place in NAME_PLACES[number]:
                    types.string(record[place])
                tables[number].setdefault(section, []).append(record)
        return cls(tuple(tables))


def _records(
    data: bytes, start: int, size: int, layout: Struct, types: Rows
) -> Iterator[tuple[str, tuple[int, ...]]]:
    if not size:
        return
    end = start + size
    if end > len(data) or size < 4:
        raise BtfError(f".BTF.ext is truncated: a table ends at byte {end} of {len(data)}")
    step = int.from_bytes(data[start : start + 4], "little")
    if step != layout.size:
        # Longer ones may refer to types in ways that nobody knows yet.
        raise BtfError(f".BTF.ext has records of {step} bytes, expected {layout.size}")
    at = start + 4
    while at < end:
        if at + _SECTION.size > end:
            raise BtfError(".BTF.ext is truncated in the head of a section")
        name, count = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        if at + step * count > end:
            raise BtfError(f".BTF.ext is truncated: {count} records of {step} bytes do not fit")
        section = types.string(name).decode("utf-8", "backslashreplace")
        for record in layout.iter_unpack(data[at : at + step * count]):
            yield section, record
        at += step * count


def encode_ext(tables: tuple[Table, ...], strings: Strings) -> bytes:
    """Write ``.BTF.ext``; what it refers to is in the BTF whose strings these are."""
    parts = [_encode_table(*each, strings) for each in zip(tables, _TABLES, strict=True)]
    header = _HEADER.size + len(parts) * _EXTENT.size
    extents, at = b"", 0
    for part in parts:
        extents += _EXTENT.pack(at, len(part))
        at += len(part)
    return _HEADER.pack(_MAGIC, 1, 0, header) + extents + b"".join(parts)


def _encode_table(table: Table, layout: Struct, strings: Strings) -> bytes:
    if not any(table.values()):
        return b""
    written = layout.size.to_bytes(4, "little")
    for section, records in table.items():
        name = strings.add(section.encode("utf-8", "surrogateescape"))
        written += _SECTION.pack(name, len(records))
        written += b"".join(layout.pack(*record) for record in records)
    return written
