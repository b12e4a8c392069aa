"""Objects with CO-RE relocations, made without a compiler: what no compiler would write, too.

BTF as in the kernel's Documentation/bpf/btf.rst, ELF as in the System V ABI. Nothing here uses what
it is to test, but the plain objects that stand for types.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Volatile,
)

KINDS = (
    "byte_off",
    "byte_sz",
    "field_exists",
    "signed",
    "lshift_u64",
    "rshift_u64",
    "local_type_id",
    "target_type_id",
    "type_exists",
    "type_size",
    "enumval_exists",
    "enumval_value",
    "type_matches",
)


class Strings:
    def __init__(self) -> None:
        self.data = b"\0"
        self.known = {"": 0}

    def at(self, text: str) -> int:
        if text not in self.known:
            self.known[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self.known[text]


def _words(*words: int) -> bytes:
    return b"".join(struct.pack("<I", word & 0xFFFFFFFF) for word in words)


def _type(found: Type, strings: Strings) -> bytes:
    def head(kind: int, vlen: int, word: int, flag: bool = False) -> bytes:
        name = strings.at(found.name)
        return _words(name, flag << 31 | kind << 24 | vlen, word)

    if isinstance(found, Int):
        encoding = found.signed | found.char << 1 | found.bool << 2
        return head(1, 0, found.size) + _words(encoding << 24 | found.offset << 16 | found.bits)
    if isinstance(found, Ptr):
        return head(2, 0, found.type_id)
    if isinstance(found, Array):
        return head(3, 0, 0) + _words(found.type_id, found.index_type_id, found.nelems)
    if isinstance(found, (Struct, Union)):
        flag = any(member.bitfield_size for member in found.members)
        rows = [
            _words(strings.at(m.name), m.type_id, m.bitfield_size << 24 | m.bit_offset)
            for m in found.members
        ]
        kind = 4 if isinstance(found, Struct) else 5
        return head(kind, len(rows), found.size, flag) + b"".join(rows)
    if isinstance(found, Enum):
        rows = [_words(strings.at(name), value) for name, value in found.values]
        return head(6, len(rows), found.size, found.signed) + b"".join(rows)
    if isinstance(found, Enum64):
        rows = [_words(strings.at(name), value, value >> 32) for name, value in found.values]
        return head(19, len(rows), found.size, found.signed) + b"".join(rows)
    if isinstance(found, Fwd):
        return head(7, 0, 0, found.is_union)
    if isinstance(found, FuncProto):
        rows = [_words(strings.at(name), type_id) for name, type_id in found.params]
        return head(13, len(rows), found.type_id) + b"".join(rows)
    if isinstance(found, Float):
        return head(16, 0, found.size)
    for kind, cls in ((8, Typedef), (9, Volatile), (10, Const), (11, Restrict), (18, TypeTag)):
        if isinstance(found, cls):
            return head(kind, 0, found.type_id)
    raise TypeError(f"no encoding for {found!r}")


def btf(types: list[Type], strings: Strings | None = None) -> bytes:
    """The section ``.BTF`` with these types as 1, 2, ...; ``strings`` may have more already."""
    strings = strings or Strings()
    body = b"".join(_type(each, strings) for each in types)
    return (
        struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings.data))
        + body
        + strings.data
    )


@dataclass(frozen=True)
class Question:
    """One relocation: ``kind`` in libbpf's words, and the instruction or two that hold it."""

    kind: str
    type_id: int
    access: str
    code: bytes


def elf(types: list[Type], questions: list[Question]) -> bytes:
    """An object with one socket filter that consists of these, one after the other."""
    section, program = "socket", "filter"
    strings = Strings()
    records, code = b"", b""
    for each in questions:
        number = KINDS.index(each.kind)
        records += _words(len(code), each.type_id, strings.at(each.access), number)
        code += each.code
    core = _words(16, strings.at(section), len(questions)) + records if questions else b""
    code += struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
    ext = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 32, 0, 0, 0, 0) + _words(0, len(core)) + core
    names = Strings()
    symbols = bytes(24) + struct.pack("<IBBHQQ", names.at(program), 0x12, 0, 1, 0, len(code))
    contents = [  # name, type, flags, data, link, info, entry size
        ("", 0, 0, b"", 0, 0, 0),
        (section, 1, 6, code, 0, 0, 0),
        ("license", 1, 3, b"GPL\0", 0, 0, 0),
        (".BTF", 1, 0, btf(types, strings), 0, 0, 0),
        (".BTF.ext", 1, 0, ext, 0, 0, 0),
        (".symtab", 2, 0, symbols, 6, 1, 24),
    ]
    for name, *_ in contents:
        names.at(name)
    names.at(".strtab")
    contents.append((".strtab", 3, 0, names.data, 0, 0, 0))
    body, table = b"", b""
    for name, kind, flags, data, link, info, entry in contents:
        body += bytes(-len(body) % 8)
        place = 64 + len(body) if kind else 0
        table += struct.pack(
            "<IIQQQQIIQQ",
            names.at(name), kind, flags, 0, place, len(data), link, info, 8 if kind else 0, entry,
        )  # fmt: skip
        body += data
    body += bytes(-len(body) % 8)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1", 1, 247, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(contents),
        len(contents) - 1,
    )  # fmt: skip
    return header + body + table
