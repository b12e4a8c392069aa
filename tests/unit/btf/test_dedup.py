"""Types of several files become one BTF: the same once, others not at all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.btf.dedup import Pool, partition
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.rows import Rows, Strings
from pylibbpf.btf.types import Enum, Fwd, Kind, Ptr, Struct
from pylibbpf.errors import BtfError


def merged(*blobs: object) -> Btf:
    pool = Pool()
    for blob in blobs:
        pool.add(Rows(blob.raw()))  # type: ignore[attr-defined]
    return Btf(pool.encode(Strings())[0])


def by_rounds(labels: Sequence[Hashable], edges: Sequence[Sequence[int]]) -> list[int]:
    """The same partition, found by looking at everything until nothing changes."""
    numbers: list[Hashable] = list(labels)
    while True:
        seen = [
            (numbers[node], tuple(numbers[target] for target in targets))
            for node, targets in enumerate(edges)
        ]
        known: dict[Hashable, int] = {}
        found = [known.setdefault(each, len(known)) for each in seen]
        if len(known) == len(set(numbers)):
            return found
        numbers = list(found)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[list[int]]]:
    count = draw(st.integers(1, 14))
    nodes = st.lists(st.integers(0, count - 1), max_size=3)
    edges = [draw(nodes) for _ in range(count)]
    return [(draw(st.integers(0, 1)), len(each)) for each in edges], edges


@given(graphs())
def test_partition(graph: tuple[list[tuple[int, int]], list[list[int]]]) -> None:
    found, wanted = partition(*graph), by_rounds(*graph)
    assert len(set(found)) == len(set(wanted)) == len(set(zip(found, wanted, strict=True)))


@pytest.mark.parametrize("last", [1, 0])
def test_partition_of_long_chains(last: int) -> None:
    """Looking at all nodes in each round would be 10^10 looks."""
    count = 100_000
    edges = [[(node + 1) % count] for node in range(count)]
    labels = [0] * (count - 1) + [last]
    assert len(set(partition(labels, edges))) == (count if last else 1)


def list_of(blob: Callable[..., object], *, value: str = "value") -> object:
    """``struct node { struct node *next; int value; }``, with the pointer before or after."""
    made = blob()
    number = made.int("int", 4, 1)  # type: ignore[attr-defined]
    made.struct("node", 16, ("next", number + 2, 0), (value, number, 64))  # type: ignore[attr-defined]
    made.ptr(number + 1)  # type: ignore[attr-defined]
    return made


def test_circles_are_one(new_blob) -> None:
    btf = merged(list_of(new_blob), list_of(new_blob))
    assert len(btf) == 4
    (node,) = btf.find("node")
    struct = btf.type(node)
    assert isinstance(struct, Struct)
    assert btf.type(struct.members[0].type_id) == Ptr(node)


def test_a_difference_in_a_circle_keeps_it_apart(new_blob) -> None:
    btf = merged(list_of(new_blob), list_of(new_blob, value="number"))
    assert len(btf.find("node")) == 2
    assert len(btf) == 1 + 1 + 2 * 2


def test_what_is_declared_is_what_is_defined(new_blob) -> None:
    """And so a struct that points to the one is a struct that points to the other."""
    files = []
    for defined in (False, True):
        made = new_blob()
        number = made.int("int", 4, 1)
        inner = made.struct("inner", 4, ("x", number, 0)) if defined else made.add(7, "inner")
        made.struct("outer", 8, ("inner", made.ptr(inner), 0))
        files.append(made)
    btf = merged(*files)
    assert len(btf.find("outer")) == len(btf.find("inner")) == 1
    assert isinstance(btf.type(btf.find("inner")[0]), Struct)


def test_what_is_defined_twice_is_not_declared_as_one_of_them(new_blob) -> None:
    files = []
    for member in ("x", "y"):
        made = new_blob()
        number = made.int("int", 4, 1)
        made.struct("inner", 4, (member, number, 0))
        files.append(made)
    made = new_blob()
    made.ptr(made.add(7, "inner"))
    btf = merged(*files, made)
    kinds = sorted(type(btf.type(one)).__name__ for one in btf.find("inner"))
    assert kinds == ["Fwd", "Struct", "Struct"]
    (pointer,) = (found for _, found in btf.types(Kind.PTR))
    assert isinstance(btf.type(pointer.type_id), Fwd)


def test_a_union_is_no_struct_and_an_enum_may_be_declared(new_blob) -> None:
    one, two = new_blob(), new_blob()
    one.struct("shape", 0)
    one.ptr(one.enum("color", 4, ("RED", 1)))
    two.add(7, "shape", flag=1)
    two.ptr(two.enum("color", 4))
    btf = merged(one, two)
    assert len(btf.find("shape")) == 2
    (color,) = btf.find("color")
    assert btf.type(color) == Enum("color", 4, False, (("RED", 1),))
    assert len(list(btf.types(Kind.PTR))) == 1


def test_variables_stay_apart_and_functions_do_not(new_blob) -> None:
    files = []
    for _ in range(2):
        made = new_blob()
        number = made.int("int", 4, 1)
        made.add(14, "count", number, 0)
        made.add(12, "help", made.add(13, "", number), vlen=0)
        files.append(made)
    btf = merged(*files)
    assert len(btf.find("count", Kind.VAR)) == 2
    assert len(btf.find("help", Kind.FUNC)) == 1


def test_what_is_tagged_differently_is_different(new_blob) -> None:
    """A tag refers to what it is on, and would be on both of the functions if they were one."""
    files = []
    for tag in ("fast", None, "fast"):
        made = new_blob()
        function = made.add(12, "help", made.add(13, "", made.int("int", 4, 1)), vlen=0)
        if tag:
            made.add(17, tag, function, -1)
        files.append(made)
    btf = merged(*files)
    assert len(btf.find("help")) == 2
    assert len(btf.find("fast")) == 1


def test_names_that_are_no_text_stay_what_they_are(new_blob) -> None:
    made = new_blob()
    made.int(b"\xff\xfe", 4)
    pool = Pool()
    pool.add(Rows(made.raw()))
    data, _ = pool.encode(Strings())
    assert b"\0\xff\xfe\0" in data


def test_what_is_dropped_is_gone_with_its_tags(new_blob) -> None:
    made = new_blob()
    number = made.int("int", 4, 1)
    variable = made.add(14, "count", number, 1)
    made.add(17, "tag", variable, -1)
    pool = Pool()
    base = pool.add(Rows(made.raw()))
    pool.drop(base + variable)
    data, ids = pool.encode(Strings())
    assert len(Btf(data)) == 2
    assert ids == [0, 1, 0, 0]
    made.ptr(variable)
    pool = Pool()
    pool.drop(pool.add(Rows(made.raw())) + variable)
    with pytest.raises(BtfError, match="a type refers to a var, which no type can"):
        pool.encode(Strings())


def test_a_section_holds_no_more_than_fits(new_blob) -> None:
    with pytest.raises(BtfError, match="65536 variables"):
        Pool().add_datasec(b".data", 4, [(1, 0, 4)] * 65536)


def test_types_of_compilers_keep_their_meaning(real_btf: list[bytes]) -> None:
    """All that a type is, down to the last member's type, is the same after merging."""
    for data in real_btf:
        pool = Pool()
        pool.add(Rows(data))
        base = pool.add(Rows(data))
        out, ids = pool.encode(Strings())
        before, after = Btf(data), Btf(out)
        assert len(after) <= 2 * len(before)
        for type_id, found in before.types():
            now = after.type(ids[base + type_id])
            if isinstance(found, Fwd):
                continue
            assert after.kind(ids[base + type_id]) == before.kind(type_id)
            assert now.name == found.name
            assert after.c_name(ids[base + type_id]) == before.c_name(type_id)
            if isinstance(found, Struct):
                assert isinstance(now, Struct)
                assert [(m.name, m.bit_offset, after.c_name(m.type_id)) for m in now.members] == [
                    (m.name, m.bit_offset, before.c_name(m.type_id)) for m in found.members
                ]
