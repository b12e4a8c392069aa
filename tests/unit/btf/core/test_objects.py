"""Relocations of every kind as a compiler writes them, against the types of a made-up kernel.

tests/objects/core_kinds.bpf.c asks, core_kernel.bpf.c are the types; what is expected follows from
their declarations.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibbpf.btf.core import CoreKind, Resolution, Resolver, Target
from pylibbpf.loader.object import read

U64 = (1 << 64) - 1


@pytest.fixture(scope="module")
def answers(objects: Path) -> dict[tuple[str, str, str], Resolution]:
    """The last answer by program, kind and what was asked about."""
    spec, kernel = read(objects / "core_kinds.bpf.o"), read(objects / "core_kernel.bpf.o").btf
    assert spec.btf is not None
    assert kernel is not None
    resolver = Resolver(spec.btf, Target(kernel))
    found = {}
    asked = [
        (each.order, function.name, each) for function in spec.functions for each in function.core
    ]
    for _, name, each in sorted(asked, key=lambda row: row[0]):
        answer = resolver.resolve(each.kind, each.type_id, each.access)
        found[name, each.kind.value, answer.asked] = answer
    return found


def test_every_kind_is_asked_for(answers: dict[tuple[str, str, str], Resolution]) -> None:
    assert {kind for _, kind, _ in answers} == {kind.value for kind in CoreKind}


@pytest.mark.parametrize(
    ("program", "kind", "asked", "original", "value"),
    [
        ("offsets", "byte_off", "struct moved.first", 0, 160),
        ("offsets", "byte_off", "struct moved.second", 4, 18),  # in a union in a struct
        ("offsets", "byte_off", "struct moved.items[2].id", 24, 80),
        ("offsets", "byte_off", "struct moved.items[3].name[2]", 34, 108),
        ("offsets", "byte_off", "struct moved.grid[1]", 76, 140),
        ("offsets", "byte_off", "struct moved___other.third", 0, 8),
        ("missing", "field_exists", "struct moved.items[6]", 1, 0),
        ("missing", "field_exists", "struct moved___other.items", 1, 0),
        ("missing", "field_exists", "struct moved___other.not_there", 1, 0),
        ("fields", "byte_sz", "struct moved.items", 48, 96),
        ("fields", "byte_sz", "struct moved.grid[1]", 16, 20),
        ("fields", "field_exists", "struct moved.second", 1, 1),
        ("fields", "signed", "struct moved.third", 1, 1),
        ("fields", "signed", "struct moved.second", 0, 0),
        ("fields", "lshift_u64", "struct moved.second", 48, 48),
        ("bitfields", "byte_off", "struct bits.middle", 0, 0),
        ("bitfields", "byte_sz", "struct bits.high", 8, 8),
        ("bitfields", "lshift_u64", "struct bits.low", 61, 56),
        ("bitfields", "lshift_u64", "struct bits.middle", 52, 47),
        ("bitfields", "rshift_u64", "struct bits.middle", 55, 55),
        ("bitfields", "signed", "struct bits.middle", 1, 1),
        ("bitfields", "signed", "struct bits.high", 0, 0),
        ("flexible", "byte_off", "struct tail.items[5].id", 34, 136),
        ("flexible", "field_exists", "struct tail.items[100]", 1, 1),
        ("twins", "byte_off", "struct twin.there", 8, 8),
        ("twins", "type_size", "struct twin", 12, 12),
        ("twins", "field_exists", "struct twin.here", 1, 0),  # its type was ruled out before
        ("types", "type_exists", "struct not_there", 1, 0),
        ("types", "type_size", "struct moved", 128, 184),
        ("types", "type_exists", "callback", 1, 1),
        ("types", "type_exists", "callback___one", 1, 0),
        ("matching", "type_matches", "struct moved___fits", 1, 1),
        ("matching", "type_matches", "struct moved___matches", 1, 0),
        ("matching", "type_matches", "struct item", 1, 0),
        ("matching", "type_matches", "callback", 1, 1),
        ("matching", "type_matches", "enum colour", 1, 0),
        ("matching", "type_matches", "enum colour___new", 1, 1),
        ("enums", "enumval_value", "enum colour::COLOUR_RED", 1, -7 & U64),
        ("enums", "enumval_exists", "enum colour::COLOUR_GREEN", 1, 0),
        ("enums", "enumval_value", "enum colour___new::COLOUR_BLUE___new", 50, 1),
        ("enums", "enumval_value", "enum wide::WIDE_LARGE", 0x1111111111, 0x1234567890),
        ("enums", "enumval_value", "enum narrow::NARROW_GROWN", 5, 0x7654321000),
    ],
)
def test_what_is_answered(
    answers: dict[tuple[str, str, str], Resolution],
    program: str,
    kind: str,
    asked: str,
    original: int,
    value: int,
) -> None:
    found = answers[program, kind, asked]
    assert (found.original, found.value, found.poison) == (original, value, False)


@pytest.mark.parametrize(
    ("program", "kind", "asked", "said"),
    [
        ("missing", "byte_off", "struct moved.items[6].id", "struct item[4] has no element 6"),
        ("missing", "byte_off", "struct moved.grid[2]", "int[2][5] has no element 2"),
        ("missing", "byte_off", "struct moved___other.not_there",
         "struct moved has no member not_there"),
        ("enums", "enumval_value", "enum wide::WIDE_NOT_THERE",
         "enum wide has no WIDE_NOT_THERE"),
    ],
)  # fmt: skip
def test_what_is_not(
    answers: dict[tuple[str, str, str], Resolution], program: str, kind: str, asked: str, said: str
) -> None:
    found = answers[program, kind, asked]
    assert (found.poison, found.why) == (True, f"the kernel's {said}")


@pytest.mark.parametrize(
    ("asked", "sizes", "bad"),
    [
        ("grown", (4, 8), False),
        ("shrunk", (8, 1), False),
        ("no_sign", (8, 4), False),
        ("with_sign", (4, 8), True),
        ("changed_sign", (4, 4), False),
    ],
)
def test_what_is_read_in_another_size(
    answers: dict[tuple[str, str, str], Resolution], asked: str, sizes: tuple[int, int], bad: bool
) -> None:
    found = answers["sizes", "byte_off", f"struct resized.{asked}"]
    assert ((found.original_size, found.size), found.bad_size) == (sizes, bad)


def test_ids_of_types(answers: dict[tuple[str, str, str], Resolution], objects: Path) -> None:
    local, kernel = (read(objects / f"core_{name}.bpf.o").btf for name in ("kinds", "kernel"))
    assert local is not None
    assert kernel is not None
    ours, theirs = (
        answers["types", f"{where}_type_id", "struct item"] for where in ("local", "target")
    )
    assert [ours.value] == local.find("item")
    assert [theirs.value] == kernel.find("item")
    assert (ours.validate, theirs.validate) == (False, False)
    assert answers["types", "target_type_id", "struct not_there"].value == 0
