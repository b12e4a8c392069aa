"""Padding and packing: what makes a compiler put members where BTF has them."""

from __future__ import annotations

import pytest

from pylibbpf.btf.c_layout import LARGEST_GAP, Plan, Slot, arrange, arrange_union
from pylibbpf.errors import BtfError


def plain(start: int, size: int) -> Slot:
    """A number of so many bytes at a byte."""
    return Slot(8 * start, 8 * size, size)


def field(start: int, width: int, unit: int = 4) -> Slot:
    """A bit-field at a bit, of a type of so many bytes."""
    return Slot(start, width, unit, 8 * unit)


def told(plan: Plan) -> tuple[bool, int, dict[int, str]]:
    pads = {
        index: " ".join(f"{unit or 'bytes'}:{count}" for unit, count in each)
        for index, each in plan.pads.items()
    }
    return plan.packed, plan.align, pads


@pytest.mark.parametrize(
    ("slots", "size", "expected"),
    [
        # As C does it by itself.
        ([], 0, (False, 1, {})),
        ([plain(0, 4), plain(4, 4)], 8, (False, 4, {})),
        ([plain(0, 1), plain(8, 8), plain(16, 2)], 24, (False, 8, {})),
        ([field(0, 3), field(3, 29), field(32, 1)], 8, (False, 4, {})),
        ([field(0, 30), field(32, 3)], 8, (False, 4, {})),  # 3 bits do not fit: the next unit
        ([field(0, 3), plain(1, 1)], 4, (False, 4, {})),
        ([plain(0, 1), field(8, 3)], 4, (False, 4, {})),  # within the int that the char is in
        ([Slot(0, 0, 8)], 0, (False, 8, {})),  # a flexible array
        # Gaps.
        ([plain(0, 4), plain(8, 4)], 12, (False, 4, {1: "int:32"})),
        ([plain(0, 1), plain(64, 8)], 72, (False, 8, {1: " ".join(["long:64"] * 7)})),
        ([plain(0, 1)], 64, (False, 1, {1: " ".join(["long:64"] * 7)})),
        ([plain(0, 1)], 3, (False, 1, {1: "short:16"})),
        ([field(0, 1), field(5, 1)], 4, (False, 4, {1: "char:4"})),
        ([field(0, 1), field(12, 1)], 4, (False, 4, {1: "char:8 char:4"})),
        ([field(0, 3), field(32, 3)], 8, (False, 4, {1: "int:32"})),
        ([], 16, (False, 1, {0: "long:64 long:64"})),
        # Packed, and by which sign.
        ([plain(0, 1), plain(1, 4)], 5, (True, 1, {})),
        ([plain(0, 4), plain(4, 1)], 5, (True, 1, {})),
        ([plain(0, 4), plain(4, 8)], 12, (True, 1, {})),
        ([plain(0, 1), plain(5, 4)], 9, (True, 1, {1: "int:32"})),
        ([field(0, 30), field(30, 3)], 5, (True, 1, {})),
        ([field(0, 30), field(30, 3)], 8, (True, 1, {2: "short:16 char:8"})),
        ([field(0, 4, 2), field(20, 3, 4)], 3, (True, 1, {1: "char:4 char:8 char:4"})),
    ],
)
def test_structs(slots: list[Slot], size: int, expected: tuple[bool, int, dict[int, str]]) -> None:
    found = told(arrange(slots, size, 8))
    # Which units a gap is made of is a matter of taste; where it ends is tried by compilers.
    assert found[:2] == expected[:2]
    assert found[2].keys() == expected[2].keys()


def test_a_large_gap_is_one_member() -> None:
    plan = arrange([plain(0, 1), plain(1 << 20, 1)], (1 << 20) + 1, 8)
    assert plan.pads == {1: (("", (1 << 20) - 1),)}
    plan = arrange([field(0, 3), plain(1 << 20, 1)], (1 << 30), 8)
    assert plan.pads[1] == (("char", 5), ("", (1 << 20) - 1))
    assert len(arrange([plain(0, 1), plain(LARGEST_GAP, 1)], LARGEST_GAP + 1, 8).pads[1]) < 600


def test_padding_of_32_bits_has_no_long() -> None:
    plan = arrange([plain(0, 4), plain(64, 4)], 68, 4)
    assert {unit for unit, _ in plan.pads[1]} == {"int"}


@pytest.mark.parametrize(
    ("slots", "size", "expected"),
    [
        ([plain(0, 4), plain(0, 8)], 8, (False, 8, {})),
        ([plain(0, 4), field(0, 3)], 4, (False, 4, {})),
        ([Slot(0, 40, 1)], 8, (False, 4, {})),
        ([plain(0, 8)], 64, (False, 64, {})),
        ([Slot(0, 40, 1)], 7, (False, 1, {1: "int:32 short:16 char:8"})),
        ([plain(0, 4)], 5, (True, 1, {1: "int:32 char:8"})),
        ([], 0, (False, 1, {})),
    ],
)
def test_unions(slots: list[Slot], size: int, expected: tuple[bool, int, dict[int, str]]) -> None:
    plan = arrange_union(slots, size)
    assert told(plan) == expected
    assert plan.aligned == (plan.align > max([1, *[slot.align for slot in slots]]))


@pytest.mark.parametrize(
    ("slots", "size", "said"),
    [
        ([plain(0, 4), plain(2, 4)], 8, "overlaps the one before"),
        ([plain(0, 4)], 3, "end at byte 4 of 3"),
        ([Slot(3, 8, 1)], 4, "at bit 3, within a byte"),
        ([field(0, 5), field(4, 5)], 4, "member 1, at bit 4, overlaps"),
    ],
)
def test_what_no_struct_can_be(slots: list[Slot], size: int, said: str) -> None:
    with pytest.raises(BtfError, match=said):
        arrange(slots, size, 8)


def test_what_no_union_can_be() -> None:
    with pytest.raises(BtfError, match="member 1 of a union is at bit 8, not 0"):
        arrange_union([plain(0, 4), plain(1, 1)], 4)
    with pytest.raises(BtfError, match="of 32 bits leaves the union of 2 bytes"):
        arrange_union([plain(0, 4)], 2)
