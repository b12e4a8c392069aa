"""``.BTF.ext`` read from each object, and written for the linked one."""

from __future__ import annotations

import dataclasses

from pylibbpf.errors import BtfError
from pylibbpf.loader.ext_tables import EXTENT, HEADER, LAYOUTS, MAGIC, SECTION, read_tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct

    from pylibbpf.btf.rows import Rows, Strings

    Table = dict[str, list[tuple[int, ...]]]

__all__ = ["Ext", "encode_ext"]

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

        def name_of(offset: int) -> str:
            return types.string(offset).decode("utf-8", "backslashreplace")

        tables: list[Table] = [{}, {}, {}]
        # Longer records may refer to types in ways that nobody knows yet.
        for number, records in enumerate(read_tables(data, name_of, longer=False)):
            for section, record in records:
                for place in TYPE_PLACES[number]:
                    if record[place] >= len(types):
                        raise BtfError(f".BTF.ext refers to type {record[place]}, which is not")
                for place in NAME_PLACES[number]:
                    types.string(record[place])
                tables[number].setdefault(section, []).append(record)
        return cls(tuple(tables))


def encode_ext(tables: tuple[Table, ...], strings: Strings) -> bytes:
    """Write ``.BTF.ext``; what it refers to is in the BTF whose strings these are."""
    parts = [_encode_table(*each, strings) for each in zip(tables, LAYOUTS, strict=True)]
    header = HEADER.size + len(parts) * EXTENT.size
    extents, at = b"", 0
    for part in parts:
        extents += EXTENT.pack(at, len(part))
        at += len(part)
    return HEADER.pack(MAGIC, 1, 0, header) + extents + b"".join(parts)


def _encode_table(table: Table, layout: Struct, strings: Strings) -> bytes:
    if not any(table.values()):
        return b""
    written = layout.size.to_bytes(4, "little")
    for section, records in table.items():
        name = strings.add(section.encode("utf-8", "surrogateescape"))
        written += SECTION.pack(name, len(records))
        written += b"".join(layout.pack(*record) for record in records)
    return written
