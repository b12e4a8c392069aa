"""Answers to CO-RE relocations, on types made by hand."""

from __future__ import annotations

import pytest

from pylibbpf.btf.core import CoreKind, Resolver, Target, resolve
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Int, Member, Struct
from pylibbpf.errors import CoreError

U32 = Int("unsigned int", 4, 32)
U64 = Int("unsigned long", 8, 64)


def pair(*members: Member, name: str = "box", size: int = 64) -> Btf:
    """Types 1 and 2 are u32 and u64; 3 is a struct of these members."""
    return Btf.from_types([U32, U64, Struct(name, size, members)])


LOCAL = pair(Member("a", 1, 0), Member("b", 1, 32))


def test_an_offset_is_that_of_the_target() -> None:
    target = Target(pair(Member("b", 1, 96), Member("a", 1, 0)))
    found = resolve(LOCAL, CoreKind.FIELD_BYTE_OFFSET, 3, "0:1", target)
    assert (found.original, found.value, found.poison, found.validate) == (4, 12, False, True)
    assert (found.original_size, found.size, found.bad_size) == (4, 4, False)
    assert found.asked == "struct box.b"


def test_a_missing_member_poisons_but_its_existence_is_an_answer() -> None:
    target = Target(pair(Member("a", 1, 0)))
    assert resolve(LOCAL, CoreKind.FIELD_BYTE_OFFSET, 3, "0:1", target).poison
    exists = resolve(LOCAL, CoreKind.FIELD_EXISTS, 3, "0:1", target)
    assert (exists.original, exists.value, exists.poison) == (1, 0, False)


def test_flavours_on_either_side_are_the_same_type() -> None:
    local = pair(Member("b", 1, 0), name="box___mine")
    target = Target(pair(Member("b", 1, 64), name="box___theirs"))
    assert resolve(local, CoreKind.FIELD_BYTE_OFFSET, 3, "0:0", target).value == 8


def test_two_places_are_ambiguous_and_named() -> None:
    structs = [Struct("box", 64, (Member("a", 1, at),)) for at in (0, 32)]
    target = Target(Btf.from_types([U32, U64, *structs]))
    with pytest.raises(CoreError) as caught:
        resolve(LOCAL, CoreKind.FIELD_BYTE_OFFSET, 3, "0:0", target)
    assert (caught.value.errno, caught.value.kind) == (22, "byte_off")
    assert str(caught.value).splitlines() == [
        "struct box.a is ambiguous: types of this name differ, and so does the answer",
        "  struct box (type 3 of vmlinux): a is at byte 0",
        "  struct box (type 4 of vmlinux): a is at byte 4",
    ]


def test_what_one_relocation_ruled_out_is_no_candidate_for_the_next() -> None:
    structs = [
        Struct("box", 64, (Member("a", 1, 0),)),
        Struct("box", 64, (Member("a", 1, 32), Member("b", 1, 0))),
    ]
    resolver = Resolver(LOCAL, Target(Btf.from_types([U32, U64, *structs])))
    assert resolver.resolve(CoreKind.FIELD_BYTE_OFFSET, 3, "0:1").value == 0
    assert resolver.resolve(CoreKind.FIELD_BYTE_OFFSET, 3, "0:0").value == 4


def test_a_module_is_asked_only_where_the_kernel_has_none() -> None:
    kernel, module = pair(Member("a", 1, 64)), pair(Member("a", 1, 96))
    both = Target(kernel, {"mod": module})
    assert resolve(LOCAL, CoreKind.FIELD_BYTE_OFFSET, 3, "0:0", both).value == 8
    alone = Target(Btf.from_types([U32]), {"mod": module})
    found = resolve(LOCAL, CoreKind.FIELD_BYTE_OFFSET, 3, "0:0", alone)
    assert found.value == 12
    assert found.found is not None
    assert found.found.owner == "mod"
