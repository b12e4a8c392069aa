"""Two BTFs, and what is told of their difference."""

from __future__ import annotations

import pytest

from pylibbpf.btf.diff import Change, Place, diff
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Func,
    FuncProto,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)
from pylibbpf.errors import BtfError

INT = Int("int", 4, 32, signed=True)
LONG = Int("long", 8, 64, signed=True)


def member(type: int, name: str = "m", at: int = 0, bits: int = 0) -> Member:
    return Member(name, type, 8 * at if not bits else at, bits)


def changes(before: list[Type], after: list[Type], **only: object) -> list[Change]:
    return list(diff(Btf.from_types(before), Btf.from_types(after), **only))  # type: ignore[arg-type]


def told(before: list[Type], after: list[Type]) -> list[str]:
    """All that differs, a line each; and that the other way round it is the same upside down."""
    lines = []
    for change in changes(before, after):
        sign = "~" if change.before and change.after else "-" if change.before else "+"
        lines.append(f"{sign} {change.kind} {change.name}")
        if sign == "~":
            lines += [f"{d.what} {d.name}: {d.before} -> {d.after}" for d in change.details]
    back = changes(after, before)
    assert [(c.kind, c.name, c.after, c.before) for c in back] == [
        (c.kind, c.name, c.before, c.after) for c in changes(before, after)
    ]
    return lines


def test_the_same() -> None:
    types: list[Type] = [
        INT, Struct("s", 4, (member(1),)), Ptr(2), FuncProto(3, (("a", 1),)), Func("f", 4),
        Var("v", 2), Typedef("t", 1), Enum("e", 4, False, (("A", 1),)),
    ]  # fmt: skip
    assert told(types, types) == []
    # In another order, with other ids.
    moved: list[Type] = [
        Struct("s", 4, (member(3),)), Ptr(1), INT, Enum("e", 4, False, (("A", 1),)),
        Typedef("t", 3), Func("f", 7), FuncProto(2, (("a", 3),)), Var("v", 1),
    ]  # fmt: skip
    assert told(types, moved) == []


def test_what_is_only_in_one() -> None:
    assert told(
        [INT, Struct("a", 4, (member(1),)), Typedef("t", 1), FuncProto(0, ()), Func("f", 4)],
        [INT, Struct("b", 4, (member(1),)), Union("a", 4, (member(1),)), Var("v", 1)],
    ) == ["- struct a", "+ struct b", "+ union a", "- typedef t", "- function f", "+ variable v"]


def test_members() -> None:
    before = [
        INT,
        LONG,
        Struct("s", 24, (member(1, "a"), member(1, "b", 4), member(2, "c", 8), member(1, "d", 16))),
    ]
    after = [
        INT,
        LONG,
        Struct(
            "s", 32, (member(1, "a"), member(2, "b", 8), member(2, "c", 16), member(1, "e", 24))
        ),
    ]
    assert told(before, after) == [
        "~ struct s",
        "size : 24 -> 32",
        "member b: int at 4 -> long at 8",
        "member c: long at 8 -> long at 16",
        "member d: int at 16 -> None",
        "member e: None -> int at 24",
    ]


def test_bit_fields() -> None:
    before = [INT, Struct("s", 4, (member(1, "a", 0, 3), member(1, "b", 3, 1)))]
    after = [INT, Struct("s", 4, (member(1, "a", 0, 4), member(1, "b", 4, 1)))]
    assert told(before, after) == [
        "~ struct s",
        "member a: int : 3 at 0 -> int : 4 at 0",
        "member b: int : 1 at 0.3 -> int : 1 at 0.4",
    ]
    assert Place(0, 3, "int") == Place(0, 3, "int")
    assert Place(0, 3, "int") != "int"


def test_members_of_types_without_a_name() -> None:
    def nested(size: int, *inner: Member) -> list[Type]:
        return [
            INT,
            Struct("", size, inner),
            Array(2, 1, 2),
            Ptr(2),
            Const("", 2),
            Struct(
                "s",
                100,
                (member(2, "", 0), member(5, "x", 8), member(3, "y", 16), member(4, "z", 48)),
            ),
        ]

    lines = told(
        nested(8, member(1, "a"), member(1, "b", 4)), nested(8, member(1, "a"), member(1, "c", 4))
    )
    assert lines == [
        "~ struct s",
        "member b: int at 4 -> None",
        "member x.b: int at 12 -> None",
        "member y[].b: int at 20 -> None",
        "member z->b: int at 4 -> None",
        "member c: None -> int at 4",
        "member x.c: None -> int at 12",
        "member y[].c: None -> int at 20",
        "member z->c: None -> int at 4",
    ]


def test_only_what_has_another_name_is_another_type() -> None:
    """A change of struct inner is told once, under its name."""
    before = [
        INT,
        Struct("inner", 4, (member(1),)),
        Struct("s", 4, (member(2),)),
        Ptr(2),
        Var("v", 4),
    ]
    after = [
        LONG,
        Struct("inner", 8, (member(1),)),
        Struct("s", 4, (member(2),)),
        Ptr(2),
        Var("v", 4),
    ]
    assert told(before, after) == [
        "~ struct inner",
        "size : 4 -> 8",
        "member m: int at 0 -> long at 0",
    ]


def test_enumerations() -> None:
    before: list[Type] = [Enum("e", 4, False, (("A", 1), ("B", 2), ("C", 3)))]
    after: list[Type] = [Enum64("e", 8, False, (("A", 1), ("B", 3), ("D", 1 << 40)))]
    assert told(before, after) == [
        "~ enum e",
        "size : 4 -> 8",
        "enumerator B: 2 -> 3",
        "enumerator C: 3 -> None",
        f"enumerator D: None -> {1 << 40}",
    ]
    # Those without a name are compared as one.
    before = [Enum("", 4, False, (("A", 1),)), Enum("", 4, False, (("B", 0),))]
    after = [Enum("", 4, False, (("A", 2), ("B", 0)))]
    assert told(before, after) == ["~ enum (anonymous)", "enumerator A: 1 -> 2"]


def test_typedefs() -> None:
    assert told([INT, Typedef("t", 1)], [LONG, Typedef("t", 1)]) == [
        "~ typedef t",
        "type : int -> long",
    ]
    bare: list[Type] = [INT, Struct("", 4, (member(1, "a"),)), Typedef("t", 2)]
    other: list[Type] = [INT, Struct("", 4, (member(1, "b"),)), Typedef("t", 2)]
    assert told(bare, bare) == []
    assert told(bare, other) == [
        "~ typedef t",
        "member a: int at 0 -> None",
        "member b: None -> int at 0",
    ]
    assert told([INT, Typedef("t", 1)], other) == [
        "~ typedef t",
        "kind : None -> struct",
        "size : None -> 4",
        "type : int -> None",
        "member b: None -> int at 0",
    ]


def test_prototypes() -> None:
    before = [INT, FuncProto(1, (("a", 1),)), Func("f", 2), FuncProto(1, (("b", 1),)), Func("g", 4)]
    after = [LONG, FuncProto(1, (("a", 1), ("", 0))), Func("f", 2)]
    assert told(before, after) == [
        "~ function f",
        "type : int(int) -> long(long, ...)",
        "- function g",
    ]


def test_integers_are_the_same_whichever_compiler_named_them() -> None:
    gcc = [Int("long unsigned int", 8, 64), Ptr(1), Typedef("t", 2)]
    clang = [Int("unsigned long", 8, 64), Ptr(1), Typedef("t", 2)]
    assert told(gcc, clang) == []
    gcc = [Int("short int", 2, 16, signed=True), Typedef("t", 1)]
    clang = [Int("short", 2, 16, signed=True), Typedef("t", 1)]
    assert told(gcc, clang) == []
    signed = [Int("signed char", 1, 8, signed=True), Typedef("t", 1)]
    plain = [Int("char", 1, 8, signed=True), Typedef("t", 1)]
    assert told(signed, plain) == ["~ typedef t", "type : signed char -> char"]


def test_several_of_one_name() -> None:
    one, two, three = (Struct("s", size, ()) for size in (1, 2, 3))
    assert told([one, two], [two, one]) == []
    assert told([one, two], [two]) == ["- struct s"]
    assert told([one, two], [two, three]) == ["~ struct s", "size : 1 -> 3"]


def test_very_many_of_one_name() -> None:
    """In time: none is held against each of the others."""
    many: list[Type] = [Struct("s", size, ()) for size in range(10_000)]
    assert changes(many, many[::-1]) == []
    assert len(changes(many, many[1:])) == 1


def test_some_only() -> None:
    before: list[Type] = [INT, Struct("a", 1, ()), Struct("b", 1, ()), Typedef("a", 1)]
    after: list[Type] = [INT, Enum("", 4, False, (("A", 1),))]
    assert [(c.kind, c.name) for c in changes(before, after, names=["a"])] == [
        ("struct", "a"),
        ("typedef", "a"),
    ]
    assert [(c.kind, c.name) for c in changes(before, after, kinds=["typedef"])] == [
        ("typedef", "a")
    ]


def test_a_module_has_the_types_of_its_kernel_too() -> None:
    base = Btf.from_types([INT, Struct("s", 4, (member(1),))])
    split = Btf.from_types([Struct("own", 4, (member(2),))], base=base)
    assert [(c.kind, c.name) for c in diff(base, split)] == [("struct", "own")]


def test_a_type_without_a_name_within_itself() -> None:
    types: list[Type] = [Struct("", 8, (member(1, "a"),)), Struct("s", 8, (member(1, "b"),))]
    with pytest.raises(BtfError, match="without a name lie in each other"):
        changes(types, [])


def test_names_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pylibbpf.btf.diff.MAX_CHARACTERS", 10_000)
    types: list[Type] = [INT]
    for depth in range(1, 30):
        size = 4 << depth
        types.append(Struct("", size, (Member("a", depth, 0), Member("b", depth, 4 * size))))
    with pytest.raises(BtfError, match="more than 10000 characters"):
        changes([*types, Typedef("t", len(types))], [])
