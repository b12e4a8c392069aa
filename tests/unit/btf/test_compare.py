"""Two types, each of its own BTF: alike, or the first difference in words."""

from __future__ import annotations

import pytest

from pylibbpf.btf.compare import difference
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
)

U32 = Int("unsigned int", 4, 32)
S32 = Int("int", 4, 32, signed=True)
U64 = Int("unsigned long long", 8, 64)


def pair(ours: list[Type], theirs: list[Type]) -> str | None:
    """The difference of the last types of both lists."""
    return difference(Btf.from_types(ours), len(ours), Btf.from_types(theirs), len(theirs), "value")


def struct(*members: Member, size: int = 8, name: str = "s") -> Struct:
    return Struct(name, size, members)


A, B = Member("a", 1, 0), Member("b", 1, 32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([U32], [U32]),
        ([U32], [S32, Int("u32", 4, 32)]),  # another name of the same integer
        ([U32, Typedef("u32", 1), Const("", 2)], [U32]),
        ([U32, struct(A, B)], [S32, U32, struct(Member("a", 2, 0), Member("b", 2, 32), name="t")]),
        ([U32, Ptr(1)], [U64, Ptr(1)]),
        ([U32, Array(1, 1, 4)], [U32, Array(1, 1, 4)]),
        ([Enum("e", 4, False, (("X", 1),))], [Enum("e", 4, False, (("X", 1), ("Y", 2)))]),
        # What libbpf makes of kinds that the kernel does not know.
        ([Float("double", 8)], [Struct("double", 8, ())]),
        ([Enum64("e", 8, False, (("X", 1 << 40),))], [Union("", 8, ())]),
    ],
)
def test_alike(ours, theirs):
    assert pair(ours, theirs) is None
    assert pair(theirs, ours) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([U32], [S32], "value is unsigned int here and int there"),
        ([U32], [U64], "value is unsigned int here and unsigned long long there"),
        ([U32], [Int("unsigned int", 8, 64)], r"unsigned int \(4 bytes\) here and .* \(8 bytes\)"),
        ([U32], [Float("float", 4)], "here and float there"),
        ([U32, Array(1, 1, 4)], [U32, Array(1, 1, 5)], r"unsigned int\[4\] here and .*\[5\] there"),
        ([U32, Array(1, 1, 4)], [S32, Array(1, 1, 4)], r"value\[\] is unsigned int here and int"),
        ([U32, struct(A, B)], [U32, struct(A)], "member b of value is here and not there"),
        ([U32, struct(A)], [U32, struct(A, B)], "member b of value is there and not here"),
        (
            [U32, struct(A, B)],
            [U32, struct(Member("b", 1, 0), Member("a", 1, 32))],
            "value.a stands where value has b there",
        ),
        (
            [U32, struct(A, B)],
            [U32, struct(A, Member("b", 1, 64), size=16)],
            "value.b is at byte 4 here and at byte 8 there",
        ),
        (
            [U32, struct(Member("a", 1, 0, 3), size=4)],
            [U32, struct(Member("a", 1, 0, 4), size=4)],
            r"value.a is at bit 0 \(3 bits\) here and at bit 0 \(4 bits\) there",
        ),
        ([U32, struct(A)], [U32, struct(A, size=16)], "value has 8 bytes here and 16 there"),
        (
            [Enum("e", 4, False, (("X", 1),))],
            [Enum("e", 4, False, (("X", 2),))],
            "X of value is 1 here and 2 there",
        ),
        ([U32, struct(A)], [U32, Union("u", 8, (A,))], "struct s here and union u there"),
    ],
)
def test_different(ours, theirs, said):
    import re

    assert re.search(said, pair(ours, theirs) or "")
    assert pair(theirs, ours) is not None
