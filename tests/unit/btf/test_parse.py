"""Reading BTF: every kind, split BTF, names, sizes, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pylibbpf.btf import types
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError


def test_all_kinds(blob: Any) -> None:
    u32 = 1
    ids = {
        "s8": blob.int("signed char", 1, encoding=1),
        "bool": blob.int("_Bool", 1, encoding=4),
        "char": blob.int("c", 1, encoding=2),
        "ptr": blob.ptr(u32),
        "array": blob.array(u32, 7),
        "struct": blob.struct("s", 8, ("a", u32, 0), ("b", u32, 32)),
        "bits": blob.struct("b", 4, ("x", u32, 3 << 24), ("y", u32, 5 << 24 | 3), flag=1),
        "union": blob.union("u", 4, ("a", u32, 0)),
        "enum": blob.enum("e", 4, ("ONE", 1), ("TOP", 0xFFFFFFFF)),
        "signed enum": blob.enum("f", 4, ("MINUS", -1), flag=1),
        "fwd": blob.add(7, "later"),
        "fwd union": blob.add(7, "later_u", flag=1),
        "typedef": blob.add(8, "u32", u32),
        "volatile": blob.add(9, "", u32),
        "const": blob.add(10, "", u32),
        "restrict": blob.add(11, "", u32),
        "proto": blob.add(13, "", u32, blob.string("arg"), u32, 0, 0, vlen=2),
    }
    proto = ids["proto"]
    ids |= {
        "func": blob.add(12, "main", proto, vlen=1),
        "var": blob.add(14, "v", u32, 2),
    }
    ids |= {
        "datasec": blob.add(15, ".data", 16, ids["var"], 4, 4, vlen=1),
        "float": blob.add(16, "double", 8),
        "decl tag": blob.add(17, "tagged", ids["struct"], -1),
        "type tag": blob.add(18, "user", u32),
        "enum64": blob.add(
            19, "g", 8, blob.string("HUGE"), 1, 2, blob.string("MAX"), 0, 1 << 31, vlen=2
        ),
        "signed enum64": blob.add(19, "h", 8, blob.string("LOW"), 5, 1 << 31, vlen=1, flag=1),
    }
    btf = Btf(blob.raw())
    expected = {
        "s8": types.Int("signed char", 1, 8, signed=True),
        "bool": types.Int("_Bool", 1, 8, bool=True),
        "char": types.Int("c", 1, 8, char=True),
        "ptr": types.Ptr(u32),
        "array": types.Array(u32, u32, 7),
        "struct": types.Struct("s", 8, (types.Member("a", 1, 0), types.Member("b", 1, 32))),
        "bits": types.Struct("b", 4, (types.Member("x", 1, 0, 3), types.Member("y", 1, 3, 5))),
        "union": types.Union("u", 4, (types.Member("a", 1, 0),)),
        "enum": types.Enum("e", 4, False, (("ONE", 1), ("TOP", 0xFFFFFFFF))),
        "signed enum": types.Enum("f", 4, True, (("MINUS", -1),)),
        "fwd": types.Fwd("later"),
        "fwd union": types.Fwd("later_u", True),
        "typedef": types.Typedef("u32", u32),
        "volatile": types.Volatile("", u32),
        "const": types.Const("", u32),
        "restrict": types.Restrict("", u32),
        "proto": types.FuncProto(u32, (("arg", u32), ("", 0))),
        "func": types.Func("main", proto, 1),
        "var": types.Var("v", u32, 2),
        "datasec": types.Datasec(".data", 16, (types.VarSecinfo(ids["var"], 4, 4),)),
        "float": types.Float("double", 8),
        "decl tag": types.DeclTag("tagged", ids["struct"], -1),
        "type tag": types.TypeTag("user", u32),
        "enum64": types.Enum64("g", 8, False, (("HUGE", 1 + (2 << 32)), ("MAX", 1 << 63))),
        "signed enum64": types.Enum64("h", 8, True, (("LOW", -(1 << 63) + 5),)),
    }
    assert {name: btf.type(ids[name]) for name in expected} == expected
    assert {btf.kind(type_id) for type_id in range(len(btf))} == set(Kind)
    assert all(btf.kind(i) is btf.type(i).kind for i in range(len(btf)))
    assert [i for i, _ in btf.types()] == list(range(1, len(btf)))
    assert dict(btf.types(Kind.STRUCT)) == {
        ids["struct"]: expected["struct"],
        ids["bits"]: expected["bits"],
    }
    assert btf.type(0) == types.Void()
    assert eval(repr(expected["datasec"]), vars(types)) == expected["datasec"]
    assert len(set(expected.values())) == len(expected)
    assert expected["const"] != expected["volatile"]

    same = Btf.from_types([found for _, found in btf.types()])
    assert [same.type(i) for i in range(len(btf))] == [btf.type(i) for i in range(len(btf))]
    assert same.find("u32") == btf.find("u32") == [ids["typedef"]]


def test_find(blob: Any) -> None:
    first = blob.struct("thing", 4, ("a", 1, 0))
    second = blob.union("thing", 4, ("a", 1, 0))
    third = blob.add(8, "thing", first)
    btf = Btf(blob.raw())
    assert btf.find("thing") == [first, second, third]
    assert btf.find("thing", Kind.UNION, Kind.TYPEDEF) == [second, third]
    assert btf.find("a") == btf.find("hing") == btf.find("") == []


def test_find_knows_a_name_stored_as_the_tail_of_another(blob: Any) -> None:
    blob.string("unsigned long")
    blob.types += struct.pack("<IIII", blob.strings.index(b"long\0"), 1 << 24, 8, 64)
    assert Btf(blob.raw()).find("long") == [2]


def test_string(blob: Any) -> None:
    offset = blob.string(b"caf\xc3\xa9")
    broken = blob.string(b"\xff")
    btf = Btf(blob.raw())
    assert btf.string(offset) == "café"
    assert btf.string(broken) == r"\xff"
    assert btf.string(0) == ""
    for outside in (1 << 20, -1):
        with pytest.raises(BtfError, match="outside"):
            btf.string(outside)


def test_split(blob: Any, new_blob: Callable[..., Any]) -> None:
    shared = blob.string("shared")
    blob.struct("base_only", 4, ("a", 1, 0))
    base = Btf(blob.raw())
    module = new_blob(first=3, str_first=len(blob.strings))
    own = module.struct("own", 8, ("x", 1, 0), ("y", 2, 32))
    module.types += struct.pack("<III", shared, 8 << 24, own)
    split = Btf(module.raw(), base)

    assert len(split) == 5
    assert split.type(own) == types.Struct(
        "own", 8, (types.Member("x", 1, 0), types.Member("y", 2, 32))
    )
    assert split.type(4) == types.Typedef("shared", own)
    assert split.type(2) is base.type(2)
    assert split.kind(2) is Kind.STRUCT
    assert split.find("base_only") == [2]
    assert split.find("shared") == [4]
    assert split.find("own") == [own]
    assert split.sizeof(4) == 8
    assert [i for i, _ in split.types()] == [3, 4]
    with pytest.raises(BtfError):
        base.type(3)
    built = Btf.from_types([types.Typedef("z", own)], base=split)
    assert built.sizeof(5) == 8
    assert built.find("z") == [5]
    assert built.find("own") == [own]


def test_sizes_and_alignments(blob: Any) -> None:
    u64 = blob.int("unsigned long long", 8)
    char = blob.int("char", 1, encoding=1)
    u128 = blob.int("unsigned __int128", 16)
    typedef = blob.add(8, "T", blob.add(10, "", u64))
    plain = blob.struct("plain", 16, ("a", char, 0), ("b", typedef, 64))
    packed = blob.struct("packed", 9, ("a", char, 0), ("b", u64, 8))
    array = blob.array(blob.array(plain, 3), 2)
    var = blob.add(14, "v", array, 1)
    cases = {typedef: (8, 8), plain: (16, 8), packed: (9, 1), array: (96, 8), var: (96, 8)}
    cases |= {u128: (16, 16), blob.ptr(0): (8, 8), blob.enum("e", 2): (2, 2)}
    fwd, proto = blob.add(7, "later"), blob.add(13, "", 0)
    btf = Btf(blob.raw())
    assert {i: (btf.sizeof(i), btf.alignof(i)) for i in cases} == cases
    assert btf.resolve(typedef) == u64
    assert btf.strip(typedef) == types.Int("unsigned long long", 8, 64)
    for type_id in (0, fwd, proto):
        with pytest.raises(BtfError, match="has no size"):
            btf.sizeof(type_id)
        with pytest.raises(BtfError, match="has no alignment"):
            btf.alignof(type_id)


def test_pointer_size(blob: Any, new_blob: Callable[..., Any]) -> None:
    assert Btf(blob.raw()).pointer_size == 8
    small = new_blob()
    small.int("long unsigned int", 4)
    pointer = small.ptr(0)
    btf = Btf(small.raw())
    assert (btf.pointer_size, btf.sizeof(pointer)) == (4, 4)
    assert Btf.from_types([types.Ptr(0)], pointer_size=4).sizeof(1) == 4


def test_c_names(blob: Any) -> None:
    u32, char = 1, blob.int("char", 1, encoding=1)
    event = blob.struct("event", 4, ("a", u32, 0))
    anonymous = blob.struct("", 4, ("a", u32, 0))
    proto = blob.add(13, "", u32, 0, char, 0, blob.ptr(event), 0, 0, vlen=3)
    const_char = blob.add(10, "", char)
    pointer = blob.ptr(const_char)
    names = {
        0: "void",
        u32: "unsigned int",
        event: "struct event",
        anonymous: "struct (anonymous)",
        blob.add(8, "anon_t", anonymous): "anon_t",
        blob.array(char, 16): "char[16]",
        blob.array(char, 0): "char[]",
        blob.array(blob.array(char, 16), 4): "char[4][16]",
        blob.ptr(event): "struct event *",
        pointer: "const char *",
        blob.ptr(blob.ptr(0)): "void **",
        blob.add(10, "", pointer): "const char *const",
        blob.ptr(blob.add(10, "", pointer)): "const char *const *",
        blob.array(pointer, 3): "const char *[3]",
        blob.ptr(blob.array(u32, 3)): "unsigned int (*)[3]",
        proto: "unsigned int(char, struct event *, ...)",
        blob.ptr(proto): "unsigned int (*)(char, struct event *, ...)",
        blob.add(12, "main", proto): "unsigned int main(char, struct event *, ...)",
        blob.ptr(blob.add(18, "user", event)): "struct event *",
        blob.add(9, "", blob.add(10, "", u32)): "volatile const unsigned int",
        blob.enum("state", 4): "enum state",
        blob.union("u", 4): "union u",
        blob.add(7, "later"): "struct later",
        blob.add(7, "later", flag=1): "union later",
        blob.add(14, "v", blob.array(u32, 2), 1): "unsigned int v[2]",
        blob.add(14, "p", pointer, 1): "const char *p",
        blob.add(15, ".maps", 0): ".maps",
    }
    btf = Btf(blob.raw())
    assert {type_id: btf.c_name(type_id) for type_id in names} == names


def test_ids_that_are_none(blob: Any) -> None:
    btf = Btf(blob.raw())
    for type_id in (2, 1 << 31, -1):
        for ask in (btf.type, btf.kind, btf.resolve, btf.sizeof, btf.alignof, btf.c_name):
            with pytest.raises(BtfError, match="has no type"):
                ask(type_id)


def _patched(raw: bytes, offset: int, *values: int, size: str = "I") -> bytes:
    patch = struct.pack(f"<{len(values)}{size}", *values)
    return raw[:offset] + patch + raw[offset + len(patch) :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: b"", "shorter than its header"),
        (lambda raw: raw[:23], "shorter than its header"),
        (lambda raw: b"\xeb\x9f" + raw[2:], "big-endian"),
        (lambda raw: b"\x7fELF" + raw[4:], "not BTF"),
        (lambda raw: _patched(raw, 2, 2, size="B"), "version 2"),
        (lambda raw: _patched(raw, 4, 20), "header length"),
        (lambda raw: _patched(raw, 4, 1 << 30), "header length"),
        (lambda raw: _patched(raw, 8, 1 << 31), "type section"),
        (lambda raw: _patched(raw, 16, 1 << 31), "string section"),
        (lambda raw: raw[:-1], "string section"),
        (lambda raw: raw[:-1] + b"x", "start and end with a NUL"),
        (lambda raw: _patched(raw, 20, 0), "start and end with a NUL"),
        (lambda raw: _patched(raw, 12, 15), "cut short"),
        (lambda raw: _patched(raw, 12, 11), "cut short"),
        (lambda raw: _patched(raw, 28, 20 << 24), "unknown kind 20"),
        (lambda raw: _patched(raw, 28, 0), "unknown kind 0"),
        (lambda raw: _patched(raw, 28, 1 << 24 | 1 << 20), "unknown bits"),
        (lambda raw: _patched(raw, 28, 4 << 24 | 0xFFFF), "cut short"),
    ],
)
def test_refused_at_once(blob: Any, change: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(BtfError, match=message):
        Btf(change(blob.raw()))


def test_refused_when_asked_for(blob: Any) -> None:
    blob.types += struct.pack("<IIII", 1 << 20, 1 << 24, 4, 32)  # name outside the strings
    blob.ptr(99)
    blob.struct("s", 4, ("a", 99, 0))
    blob.int("wide", 1, bits=9)
    btf = Btf(blob.raw())
    for type_id in range(2, 6):
        with pytest.raises(BtfError):
            btf.type(type_id)


def test_cycles_end(blob: Any) -> None:
    one = blob.next
    blob.add(8, "a", one + 1)
    blob.add(8, "b", one)
    array = blob.array(blob.next, 2)
    pointer = blob.ptr(blob.next)
    inside = blob.struct("s", 4, ("a", blob.next, 0))
    proto = blob.add(13, "", 0, 0, blob.next, 0, blob.next, vlen=2)
    const = blob.add(10, "", blob.next)
    btf = Btf(blob.raw())
    for type_id, asks in {
        one: (btf.resolve, btf.sizeof, btf.alignof),
        array: (btf.sizeof, btf.alignof, btf.c_name),
        pointer: (btf.c_name,),
        inside: (btf.alignof,),
        proto: (btf.c_name,),
        const: (btf.resolve, btf.c_name),
    }.items():
        for ask in asks:
            with pytest.raises(BtfError):
                ask(type_id)


def test_many_types_of_one_name_take_linear_time(new_blob: Callable[..., Any]) -> None:
    blob = new_blob()
    name = blob.string("same")
    blob.types = struct.pack("<III", name, 7 << 24, 0) * 200_000
    assert len(Btf(blob.raw()).find("same")) == 200_000


def test_bytes_like(blob: Any) -> None:
    raw = blob.raw()
    for data in (bytearray(raw), memoryview(raw)):
        assert Btf(data).type(1).name == "unsigned int"


def test_running_kernel() -> None:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.exists():
        pytest.skip("the kernel shows no BTF of its own: /sys/kernel/btf/vmlinux")
    btf = Btf(path.read_bytes())
    (task,) = btf.find("task_struct", Kind.STRUCT)
    found = btf.type(task)
    assert isinstance(found, types.Struct)
    assert {"pid", "tgid", "comm"} <= {member.name for member in found.members}
    assert btf.sizeof(task) == found.size
    assert btf.pointer_size == 8
