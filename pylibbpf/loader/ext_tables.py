"""The three tables of ``.BTF.ext`` as they are in the file.

Layout: the kernel's Documentation/bpf/btf.rst, section 4.2.
"""

from __future__ import annotations

from struct import Struct

from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Records = Iterator[tuple[str, tuple[int, ...]]]

__all__ = ["EXTENT", "HEADER", "LAYOUTS", "MAGIC", "SECTION", "read_tables"]

MAGIC = 0xEB9F
HEADER = Struct("<HBBI")
EXTENT = Struct("<II")  # where a table is, from the header's end, and its size; one for each
SECTION = Struct("<II")  # the section's name, and how many records follow

# Function types, C lines, CO-RE relocations. A record starts with an offset in its section.
LAYOUTS = (Struct("<II"), Struct("<IIII"), Struct("<IIII"))
# Up to Linux 5.3 there was no third one.
_ALWAYS = 2


def read_tables(
    data: bytes, name_of: Callable[[int], str], *, longer: bool = True
) -> tuple[Records, ...]:
    """Give each table's records, with the section that each is about.

    ``name_of`` reads a name by its offset. Records that are longer than they are known to be are
    cut, or refused where they are to be written again (``longer=False``).

    Raises:
        BtfError: it is damaged.
    """
    least = HEADER.size + _ALWAYS * EXTENT.size
    if len(data) < least:
        raise BtfError(f".BTF.ext is truncated: {len(data)} bytes")
    magic, version, _, header = HEADER.unpack_from(data)
    if magic != MAGIC or version != 1:
        raise BtfError(f".BTF.ext has magic {magic:#x} and version {version}, not 0xeb9f and 1")
    found = []
    for number, layout in enumerate(LAYOUTS):
        at = HEADER.size + number * EXTENT.size
        start = size = 0
        if number < _ALWAYS or at + EXTENT.size <= min(header, len(data)):
            start, size = EXTENT.unpack_from(data, at)
        found.append(_records(data, header + start, size, layout, name_of, longer))
    return tuple(found)


def _records(
    data: bytes,
    start: int,
    size: int,
    layout: Struct,
    name_of: Callable[[int], str],
    longer: bool,
) -> Records:
    """Walk one table: a record size, then per section a head and its records."""
    if not size:
        return
    end = start + size
    if end > len(data) or size < 4:
        raise BtfError(f".BTF.ext is truncated: a table ends at byte {end} of {len(data)}")
    step = int.from_bytes(data[start : start + 4], "little")
    if step < layout.size or (step > layout.size and not longer):
        expected = f"{layout.size} or more" if longer else str(layout.size)
        raise BtfError(f".BTF.ext has records of {step} bytes, expected {expected}")
    at = start + 4
    while at < end:
        if at + SECTION.size > end:
            raise BtfError(".BTF.ext is truncated in the head of a section")
        name, count = SECTION.unpack_from(data, at)
        at += SECTION.size
        if at + step * count > end:
            raise BtfError(f".BTF.ext is truncated: {count} records of {step} bytes do not fit")
        section = name_of(name)
        for position in range(at, at + step * count, step):
            yield section, layout.unpack_from(data, position)
        at += step * count
