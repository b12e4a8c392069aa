"""BTF as rows of words: nothing is lost, and what cannot be is refused."""

from __future__ import annotations

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.rows import Rows, Strings, encode, id_places, kind_of, name_places
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError


def test_written_again_it_is_the_same(real_btf: list[bytes]) -> None:
    for data in real_btf:
        rows, strings, written = Rows(data), Strings(), []
        for row in rows.types[1:]:
            words = list(row)
            for place in name_places(row):
                words[place] = strings.add(rows.string(words[place]))
            written.append(tuple(words))
        before, after = Btf(data), Btf(encode(written, strings))
        assert list(before.types()) == list(after.types())


def test_places_are_those_of_every_kind(real_btf: list[bytes]) -> None:
    """Ids and names are found wherever Btf finds them."""
    seen = set()
    for data in real_btf:
        rows, btf = Rows(data), Btf(data)
        for type_id, row in enumerate(rows.types):
            found = btf.type(type_id)
            seen.add(kind_of(row))
            ids = [row[place] for place in id_places(row)]
            members = getattr(found, "members", ()) or getattr(found, "vars", ())
            params = [one for _, one in getattr(found, "params", ())]
            single = [found.type_id] if hasattr(found, "type_id") else []
            index = [found.index_type_id] if hasattr(found, "index_type_id") else []
            assert ids == [*single, *index, *(one.type_id for one in members), *params]
            if row:
                assert rows.string(row[0]).decode() == found.name
    assert {Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FUNC_PROTO, Kind.DATASEC, Kind.ARRAY} <= seen


def test_an_id_that_is_not(blob) -> None:
    blob.ptr(7)
    with pytest.raises(BtfError, match="BTF type 2 refers to type 7, but the last is 2"):
        Rows(blob.raw())


def test_a_name_that_is_not(blob) -> None:
    blob.types += bytes.fromhex("ffff0000 00000004 00000000")
    with pytest.raises(BtfError, match="string offset 65535 is outside"):
        Rows(blob.raw())


def test_names_that_overlap(new_blob) -> None:
    """A file of 2 MB that names 30 GB."""
    made = new_blob()
    start = made.string("x" * 500_000)
    rows = b"".join(
        (start + number).to_bytes(4, "little") + bytes.fromhex("00000004 00000000")
        for number in range(0, 400_000, 4)
    )
    made.types = rows
    with pytest.raises(BtfError, match="overlap without end"):
        Rows(made.raw())


def test_nothing_at_all(new_blob) -> None:
    made = new_blob()
    made.strings = b"\0"
    assert len(Rows(made.raw())) == 1


def test_sizes_and_chains(blob) -> None:
    array = blob.array(blob.ptr(1), 3)
    loop = blob.add(8, "", 5)
    assert loop == 4
    assert blob.add(9, "", 4) == 5
    rows = Rows(blob.raw())
    assert [rows.size(1), rows.size(2), rows.size(array), rows.size(0)] == [4, 8, 24, 0]
    with pytest.raises(BtfError, match="chain of typedefs without an end"):
        rows.strip(loop)
    blob.array(6, 2)
    with pytest.raises(BtfError, match="chain of arrays without an end"):
        Rows(blob.raw()).size(6)
