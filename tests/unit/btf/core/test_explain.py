"""Why a relocation has no answer, in words."""

from __future__ import annotations

import pytest

from pylibbpf.btf.core import CoreKind, Target, resolve
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Enum,
    FuncProto,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
)
from pylibbpf.errors import BtfError, CoreError

INT = Int("int", 4, 32, 0, True)
LONG = Int("long", 8, 64, 0, True)


def answer(kind: str, ours: list[Type], theirs: list[Type], path: str = "0", type_id: int = 3):
    """Types 1 and 2 are int and long on both sides; what is asked about is type 3."""
    local, target = (Btf.from_types([INT, LONG, *types]) for types in (ours, theirs))
    return resolve(local, CoreKind(kind), type_id, path, Target(target))


def box(*members: Member, name: str = "box") -> Struct:
    return Struct(name, 64, members)


NONE = "none of the kernel's 2 types of this name fits: "
A, B = Member("a", 1, 0), Member("b", 1, 32)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([], "the kernel has no struct box"),
        ([box(A)], "the kernel's struct box has no member b"),
        ([box(A, Member("__b", 1, 64))], "the kernel's struct box has no member b (it has __b)"),
        (
            [box(Member("", 4, 0)), Union("", 8, (A, Member("_b_", 1, 0)))],
            "the kernel's struct box has no member b (it has _b_)",
        ),
        (
            [box(A, Member("b", 4, 64)), Ptr(0)],
            "the kernel's struct box.b is of another type, void *, than the object's int",
        ),
        (
            [box(A), box(A, Member("b", 3, 64), name="box___old")],
            NONE + "struct box___old.b is of another type, struct box, than the object's int",
        ),
    ],
)
def test_a_field(theirs: list[Type], said: str) -> None:
    found = answer("byte_off", [box(A, B)], theirs, "0:1")
    assert found.poison
    assert found.why == said
    assert answer("field_exists", [box(A, B)], theirs, "0:1").why == said


def test_steps_into_arrays() -> None:
    ours = [box(Member("a", 4, 0)), Array(5, 1, 8), box(A, name="inner")]
    found = answer("byte_off", ours, [box(Member("a", 4, 0)), Array(1, 1, 8)], "0:0:7:0")
    assert found.why.endswith("struct box.a is of another type, int[8], than the object's "
                              "struct inner[8]")  # fmt: skip
    shorter = [ours[0], Array(5, 1, 4), ours[2]]
    found = answer("byte_off", ours, shorter, "0:0:7")
    assert found.why == "the kernel's struct inner[4] has no element 7"
    single = [box(Member("a", 4, 0)), box(A, name="other")]
    missed = answer("byte_off", [box(Member("a", 4, 0)), Array(1, 1, 2)], single, "0:0:1")
    assert missed.poison


def test_every_candidate_is_told() -> None:
    found = answer("byte_off", [box(A, B)], [box(A), box(A, B), box(A, name="box___x")], "0:1")
    assert found.why == ""
    assert found.details == (
        "struct box (type 3 of vmlinux): struct box has no member b",
        "struct box (type 4 of vmlinux): b is at byte 4",
        "struct box___x (type 5 of vmlinux): struct box___x has no member b",
    )
    many = answer("byte_off", [box(A, B)], [box(A)] * 20, "0:1")
    assert many.details[-1] == "and 12 more"
    assert len(many.details) == 9


def test_a_module_is_named() -> None:
    local = Btf.from_types([INT, LONG, box(A, B)])
    kernel = Btf.from_types([INT])
    module = Btf.from_types([box(Member("a", 1, 0))], base=kernel)
    found = resolve(local, CoreKind.FIELD_EXISTS, 3, "0:1", Target(kernel, {"wifi": module}))
    assert found.details == ("struct box (type 2 of wifi): struct box has no member b",)


def test_a_size_that_cannot_be_read() -> None:
    found = answer("byte_off", [box(A)], [box(Member("a", 2, 0))], "0:0")
    assert found.bad_size
    assert found.why.startswith("the kernel's struct box.a has 8 bytes, the object's 4: only ")


def test_an_enumerator() -> None:
    ours = [Enum("colour", 4, False, (("RED", 0), ("GREEN", 1)))]
    theirs = [Enum("colour", 4, False, (("RED", 0), ("GREEN_", 1)))]
    said = answer("enumval_value", ours, theirs, "1").why
    assert said == "the kernel's enum colour has no GREEN (it has GREEN_)"


ANOTHER, THAN = "of another type,", "than the object's"
POINTER, PROTO = Ptr(5), FuncProto(1, (("x", 1), ("y", 2)))


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([box(A)], [box(B)], "struct box has no member a"),
        ([box(A)], [box(Member("a", 2, 0))],
         "struct box.a is of another type, long, than the object's int"),
        ([box(A)], [Struct("box", 8, (Member("a", 4, 0),)), Int("int", 4, 32)],
         f"struct box.a is {ANOTHER} int (unsigned, 4 bytes), {THAN} int (signed, 4 bytes)"),
        ([box(A, B)], [box(A)], "struct box has no member b"),
        ([box(Member("a", 4, 0)), Array(1, 1, 2)], [box(Member("a", 4, 0)), Array(1, 1, 3)],
         "struct box.a has 3 elements, not 2"),
        ([box(Member("a", 4, 0)), Enum("e", 4, False, (("X", 0),))],
         [box(Member("a", 4, 0)), Enum("e", 8, False, (("X", 0),))],
         "struct box.a has 8 bytes, not 4"),
        ([box(Member("a", 4, 0)), Enum("e", 4, False, (("X", 0),))],
         [box(Member("a", 4, 0)), Enum("e", 4, False, (("Y", 0),))], "struct box.a has no X"),
        ([box(Member("a", 4, 0)), Enum("one", 4, False, (("X", 0),))],
         [box(Member("a", 4, 0)), Enum("two", 4, False, (("X", 0),))],
         f"struct box.a is {ANOTHER} enum two, {THAN} enum one"),
        ([Typedef("call", 4), POINTER, PROTO], [Typedef("call", 4), POINTER, FuncProto(1, ())],
         "*call takes 0 parameters, not 2"),
        ([Typedef("call", 4), POINTER, PROTO],
         [Typedef("call", 4), POINTER, FuncProto(1, (("x", 1), ("y", 1)))],
         "parameter y of *call is of another type, int, than the object's long"),
        ([Typedef("call", 4), POINTER, PROTO],
         [Typedef("call", 4), POINTER, FuncProto(2, PROTO.params)],
         "what *call returns is of another type, long, than the object's int"),
        ([box(Member("a", 4, 0)), Ptr(5), box(A, name="in")],
         [box(Member("a", 4, 0)), Ptr(5), Union("in", 4, (A,))],
         "*struct box.a is of another type, union in, than the object's struct in"),
    ],
)  # fmt: skip
def test_types_that_do_not_match(ours: list[Type], theirs: list[Type], said: str) -> None:
    found = answer("type_matches", ours, theirs)
    assert (found.value, found.why) == (0, f"the kernel's {said}")


def test_types_that_do_not_exist_as_they_are_known() -> None:
    ours = [Typedef("call", 4), POINTER, PROTO]
    found = answer("type_exists", ours, [Typedef("call", 4), Ptr(1)])
    assert found.why == f"the kernel's *call is {ANOTHER} int, {THAN} int(int, long)"
    assert answer("type_exists", ours, ours).why == ""


def test_types_without_an_end_are_told_in_bounded_time() -> None:
    levels = 40

    def tower(last: Type) -> list[Type]:
        return [Struct("box", 8, (Member("a", n + 1, 0), Member("b", n + 1, 0)))
                for n in range(3, 3 + levels)] + [last]  # fmt: skip

    with pytest.raises((CoreError, BtfError), match=r"deeper than 32|without an end"):
        answer("type_matches", tower(INT), tower(LONG))
