"""Definitions of maps that can be read, and that libbpf refuses all the same."""

from __future__ import annotations

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Enum64,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Typedef,
    TypeTag,
)
from pylibbpf.loader.strict import problem
from pylibbpf.uapi.enums import MapType


class Types:
    """Builds the types that a definition is made of."""

    def __init__(self):
        self.list = [Int("int", 4, 32), Int("u64", 8, 64), FuncProto(1, ()), Fwd("later")]

    def add(self, some):
        self.list.append(some)
        return len(self.list)

    def number(self, value):
        return self.add(Ptr(self.add(Array(1, 1, value))))

    def struct(self, **fields):
        members = [Member(name, self.field(value), 0) for name, value in fields.items()]
        return self.add(Struct("", 8, tuple(members)))

    def field(self, value):
        return value() if callable(value) else self.number(value)

    def of(self, type_id):
        return lambda: self.add(Ptr(type_id))

    def values(self, value_id, nelems=0):
        return lambda: self.add(Array(self.add(Ptr(value_id)), 1, nelems))


@pytest.fixture
def types():
    return Types()


def said(types, **fields):
    at = types.struct(**fields)
    btf = Btf.from_types(types.list)
    return problem(btf, btf.type(at))


def test_what_libbpf_takes(types):
    inner = types.struct(type=MapType.HASH, key=types.of(1), value=types.of(2), max_entries=3)
    wide = types.add(Enum64("", 8, False, (("place", 1 << 44),)))
    assert not said(types, type=1, key=types.of(1), key_size=4, value_size=8, max_entries=1)
    assert not said(types, type=MapType.RINGBUF, max_entries=4096, map_flags=0, numa_node=0)
    assert not said(types, type=MapType.ARENA, map_extra=lambda: wide)
    assert not said(types, type=MapType.BLOOM_FILTER, map_extra=3, value=types.of(1), pinning=1)
    assert not said(types, type=MapType.ARRAY_OF_MAPS, key_size=4, values=types.values(inner))
    assert not said(types, type=MapType.PROG_ARRAY, value_size=4, values=types.values(3))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_entries": 1}, "it has no type"),
        ({"type": 1, "colour": 3}, "the field 'colour' is unknown"),
        ({"type": lambda: 1}, "holds a plain number"),
        ({"type": 1, "key": lambda: 1}, "'key' is not what __type"),
        ({"type": 1, "pinning": 2}, "its pinning is 2"),
        ({"type": 1, "value_size": 3, "value": None}, "its value has 3 bytes, or 4"),
    ],
)
def test_fields(types, fields, expected):
    fields = {k: types.of(1) if v is None else v for k, v in fields.items()}
    assert expected in said(types, **fields)


def test_types_must_have_a_size_and_no_typedef_around(types):
    assert "a type without a size" in said(types, type=1, key=types.of(4))
    hidden = types.add(Typedef("pointer", types.add(Ptr(1))))
    assert "'key' is not what __type" in said(types, type=1, key=lambda: hidden)
    # What is a number may have one around the pointer, and not around the array.
    number = types.add(Typedef("number", types.number(1)))
    assert not said(types, type=lambda: number)
    tagged = types.add(Ptr(types.add(TypeTag("tag", types.add(Array(1, 1, 1))))))
    assert "holds a plain number" in said(types, type=lambda: tagged)


def test_values(types):
    outer, programs = MapType.ARRAY_OF_MAPS, MapType.PROG_ARRAY
    inner = types.struct(type=1)
    deep = types.struct(type=outer, values=types.values(inner))
    pinned = types.struct(type=1, pinning=1)
    values = types.values
    assert "not the last one" in said(types, type=outer, values=values(inner), key_size=4)
    assert "no map of maps" in said(types, type=1, values=values(inner))
    assert "no map of maps" in said(types, values=values(inner)), "the type comes first"
    assert "4 bytes, not 8" in said(types, type=outer, value_size=8, values=values(inner))
    assert "not what __array() makes" in said(types, type=outer, values=values(inner, 1))
    assert "no array of pointers" in said(
        types, type=outer, values=lambda: types.add(Array(1, 1, 0))
    )
    assert "are no maps" in said(types, type=outer, values=values(3))
    assert "are no functions" in said(types, type=programs, values=values(inner))
    assert "maps of maps of maps" in said(types, type=outer, values=values(deep))
    assert "the map inside" in said(types, type=outer, values=values(pinned))
