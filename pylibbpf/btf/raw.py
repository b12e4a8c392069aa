"""The bytes of BTF: where its two sections are, and where in the first each type starts.

Layout from the kernel's ``Documentation/bpf/btf.rst``.
"""

from __future__ import annotations

import struct

from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HEADER", "MAGIC", "TYPE", "scan", "sections"]

MAGIC = 0xEB9F
HEADER = struct.Struct("<HBBIIIII")
TYPE = struct.Struct("<III")  # name_off, info, size or type
_INFO_UNUSED = 0x60FF0000  # bits of info that no kernel uses (btf.c: BTF_INFO_MASK)

# Bytes after the common 12, by kind: (fixed, per element counted by vlen).
_TRAILERS: dict[int, tuple[int, int]] = {
    Kind.INT: (4, 0),
    Kind.PTR: (0, 0),
    Kind.ARRAY: (12, 0),
    Kind.STRUCT: (0, 12),
    Kind.UNION: (0, 12),
    Kind.ENUM: (0, 8),
    Kind.FWD: (0, 0),
    Kind.TYPEDEF: (0, 0),
    Kind.VOLATILE: (0, 0),
    Kind.CONST: (0, 0),
    Kind.RESTRICT: (0, 0),
    # vlen of a function is its linkage, and counts nothing.
    Kind.FUNC: (0, 0),
    Kind.FUNC_PROTO: (0, 8),
    Kind.VAR: (4, 0),
    Kind.DATASEC: (0, 12),
    Kind.FLOAT: (0, 0),
    Kind.DECL_TAG: (4, 0),
    Kind.TYPE_TAG: (0, 0),
    Kind.ENUM64: (0, 12),
}
# By the top byte of info, with and without kind_flag: words of a type, and per element.
_TRAILER = {
    flag | kind: ((TYPE.size + fixed) // 4, each // 4)
    for kind, (fixed, each) in _TRAILERS.items()
    for flag in (0, 0x80)
}


def sections(data: bytes, split: bool) -> tuple[int, int, int, int]:
    """Check the header; return start and end of the type and of the string section."""
    if len(data) < HEADER.size:
        raise BtfError(f"BTF of {len(data)} bytes is shorter than its header of {HEADER.size}")
    magic, version, _flags, hdr_len, type_off, type_len, str_off, str_len = HEADER.unpack_from(data)
    if magic == 0x9FEB:
        raise BtfError("BTF is big-endian; only little-endian is supported")
    if magic != MAGIC:
        raise BtfError(f"not BTF: it starts with {magic:#06x} instead of {MAGIC:#06x}")
    if version != 1:
        raise BtfError(f"BTF version {version} is unknown (only 1 is)")
    if not HEADER.size <= hdr_len <= len(data):
        raise BtfError(f"BTF header length {hdr_len} is impossible for {len(data)} bytes")
    for what, offset, length in (("type", type_off, type_len), ("string", str_off, str_len)):
        if hdr_len + offset + length > len(data):
            raise BtfError(
                f"BTF {what} section ends at byte {hdr_len + offset + length} of {len(data)}"
            )
    str_start = hdr_len + str_off
    str_end = str_start + str_len
    empty = split and not str_len  # all strings may be in the base
    if not empty and (not str_len or data[str_end - 1] or (not split and data[str_start])):
        raise BtfError("BTF string section does not start and end with a NUL")
    return hdr_len + type_off, hdr_len + type_off + type_len, str_start, str_end


def scan(data: bytes, at: int, end: int, first: int) -> Sequence[int]:
    """Note where each type starts; check that each is of a known kind and ends in the section."""
    # A view over a bytearray instead of a list: 4 bytes for a type, not 36, and no import.
    offsets = memoryview(bytearray(4 * (max(0, end - at) // TYPE.size))).cast("I")
    # All types are whole words.
    words = memoryview(data)[at : end - (end - at) % 4].cast("I")
    trailer, unused = _TRAILER, _INFO_UNUSED
    count = word = 0
    last = len(words) - TYPE.size // 4
    while word <= last:
        info = words[word + 1]
        if info & unused:
            raise BtfError(f"BTF type {first + count} has unknown bits in its info {info:#x}")
        try:
            fixed, each = trailer[info >> 24]
        except KeyError:
            kind = info >> 24 & 0x1F
            raise BtfError(f"BTF type {first + count} is of unknown kind {kind}") from None
        offsets[count] = at + 4 * word
        count += 1
        word += fixed
        if each:
            word += each * (info & 0xFFFF)
    if at + 4 * word != end:
        raise BtfError(f"BTF type {first + count - (at + 4 * word > end)} is cut short")
    return offsets[:count]
