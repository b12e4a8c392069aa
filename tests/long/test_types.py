"""Random types and random bytes: the codec against cffi, which lays structs out as C does.

The types are declared to cffi as C text. Where members lie is asked of cffi and told to BTF; what
they hold is read by cffi and by the codec, out of the same random bytes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

import cffi
from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.btf.codec import codec
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Array, Enum, Float, Int, Member, Ptr, Struct, Type, Union

# name in C: bytes and whether it is signed
INTEGERS = {
    "unsigned char": (1, False),
    "signed char": (1, True),
    "unsigned short": (2, False),
    "short": (2, True),
    "unsigned int": (4, False),
    "int": (4, True),
    "unsigned long long": (8, False),
    "long long": (8, True),
}
FLOATS = {"float": 4, "double": 8}
ENUM = {"ZERO": 0, "ONE": 1, "TWO": 2}


@dataclass
class Declared:
    """What cffi and BTF are told."""

    pick: random.Random
    lines: list[str] = field(default_factory=list)
    types: list[Type] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    members: dict[str, list[tuple[str, str, tuple[int, ...], int]]] = field(default_factory=dict)

    def simple(self) -> str:
        """The name of a type that has no members."""
        names = [*INTEGERS, *FLOATS, "char", "enum e", "void *"]  # no _Bool: cffi refuses 2
        return self.pick.choice(names)

    def composite(self, depth: int) -> str:
        """Declare a struct or union; return its name."""
        union = depth > 0 and self.pick.random() < 0.3
        members = []
        for number in range(self.pick.randint(1, 7)):
            name = f"m{number}"
            chance = self.pick.random()
            if not union and chance < 0.25:
                of = self.pick.choice(list(INTEGERS))
                widest = min(63, 8 * INTEGERS[of][0])  # cffi 2.1 reads one of 64 bits as 0
                members.append((name, of, (), self.pick.randint(1, widest)))
                continue
            of = self.composite(depth + 1) if depth < 2 and chance < 0.5 else self.simple()
            rank = self.pick.choice([0, 0, 0, 1, 1, 2])
            members.append((name, of, tuple(self.pick.randint(1, 5) for _ in range(rank)), 0))
        tag = f"{'union' if union else 'struct'} s{len(self.members)}"
        self.members[tag] = members
        text = "".join(
            f" {of} {name}{''.join(f'[{n}]' for n in shape)}{f' : {bits}' if bits else ''};"
            for name, of, shape, bits in members
        )
        self.lines.append(f"{tag} {{{text} }};")
        return tag

    def add(self, made: Type) -> int:
        self.types.append(made)
        return len(self.types)

    def type_id(self, ffi: cffi.FFI, name: str) -> int:
        """The type in BTF, with the layout that cffi gives it."""
        if name not in self.ids:
            self.ids[name] = self.add(self.described(ffi, name))
        return self.ids[name]

    def described(self, ffi: cffi.FFI, name: str) -> Type:
        if name in INTEGERS:
            size, signed = INTEGERS[name]
            return Int(name, size, 8 * size, signed=signed)
        if name in FLOATS:
            return Float(name, FLOATS[name])
        if name in self.members:
            kind = Union if name.startswith("union") else Struct
            laid = dict(ffi.typeof(name).fields)
            members = []
            for member, of, shape, bits in self.members[name]:
                type_id = self.type_id(ffi, of)
                for count in reversed(shape):
                    type_id = self.add(Array(type_id, 0, count))
                at = 8 * laid[member].offset + max(0, laid[member].bitshift)
                members.append(Member(member, type_id, at, bits))
            return kind(name.split()[1], ffi.sizeof(name), tuple(members))
        return {
            "char": Int("char", 1, 8, signed=True, char=True),
            "enum e": Enum("e", 4, False, tuple(ENUM.items())),
            "void *": Ptr(0),
        }[name]


def read(ffi: cffi.FFI, declared: Declared, name: str, shape: tuple[int, ...], held: Any) -> Any:
    """What the codec should say of what cffi has there."""
    if shape:
        if len(shape) == 1 and name == "char":
            raw = bytes(ffi.buffer(held))
            return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
        if len(shape) == 1 and name == "unsigned char":
            return bytes(ffi.buffer(held))
        return tuple(read(ffi, declared, name, shape[1:], each) for each in held)
    if name in declared.members:
        return {
            member: read(ffi, declared, of, each, getattr(held, member))
            for member, of, each, _ in declared.members[name]
        }
    if name == "char":
        return int.from_bytes(held, "little", signed=True)
    if name == "void *":
        return int(ffi.cast("unsigned long long", held))
    return held


def same(found: Any, expected: Any) -> bool:
    """Whether a decoded value is what cffi says: records have its members, a NaN is a NaN."""
    if isinstance(expected, dict):
        return all(same(getattr(found, name), each) for name, each in expected.items())
    if isinstance(expected, tuple):
        return (
            isinstance(found, tuple)
            and len(found) == len(expected)
            and all(map(same, found, expected))
        )
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    return bool(found == expected)


@given(st.integers(0, 2**64 - 1))
def test_the_codec_reads_what_c_reads(number: int) -> None:
    pick = random.Random(number)
    declared = Declared(pick)
    top = declared.composite(0)
    ffi = cffi.FFI()
    source = "enum e { ZERO, ONE, TWO };\n" + "\n".join(declared.lines)
    ffi.cdef(source)
    type_id = declared.type_id(ffi, top)
    made = codec(Btf.from_types(declared.types), type_id)
    assert made.size == ffi.sizeof(top), source
    for _ in range(4):
        raw = bytearray(pick.randbytes(made.size))
        held = ffi.from_buffer(f"{top} *", raw)
        value = made.decode(raw)
        assert same(value, read(ffi, declared, top, (), held[0])), source
        again = made.decode(made.encode(value))
        assert again == value or repr(again) == repr(value), source  # a NaN equals nothing
