from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Datasec,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
    VarSecinfo,
)
from pylibbpf.errors import BtfError
from pylibbpf.events import RecordType, Rule, find_type, record_type
from pylibbpf.isa.calls import OutputCall
from pylibbpf.loader.link import sending_calls
from pylibbpf.loader.object import read

RESERVE, PERF = 131, 25


def reserve(map: str | None, size: int | None) -> OutputCall:
    return OutputCall(map, RESERVE, size, 0, ("record", 0))


def btf_of(*types: Type, maps: dict[str, list[Member]] | None = None) -> Btf:
    """BTF of these types (numbered from 1; 1 should be an int) and of map definitions."""
    all_types = list(types)
    places = []
    for name, members in (maps or {}).items():
        all_types.append(Struct("", 8 * len(members), tuple(members)))
        all_types.append(Var(name, len(all_types)))
        places.append(VarSecinfo(len(all_types), 0, 8 * len(members)))
    if places:
        all_types.append(Datasec(".maps", 0, tuple(places)))
    return Btf.from_types(all_types)


INT = Int("int", 4, 32, 0, True)
EVENT = Struct("event", 8, (Member("a", 1, 0), Member("b", 1, 32)))
OTHER = Struct("other", 12, tuple(Member(c, 1, 32 * n) for n, c in enumerate("abc")))
TWIN = Struct("twin", 8, (Member("x", 1, 0), Member("y", 1, 32)))


def test_what_the_user_says_comes_first() -> None:
    found = record_type("ring", user="struct other", btf=btf_of(INT, EVENT, OTHER),
                        calls=[reserve("ring", 8)])  # fmt: skip
    assert (found.name, found.rule, found.hint) == ("struct other", Rule.USER, None)
    assert found.codec is not None
    assert found.codec.size == 12
    assert repr(found) == "RecordType('struct other', rule='user')"


@pytest.mark.parametrize("text", ["struct event", "event", "  struct   event ", "int", "alias_t"])
def test_ways_to_name_a_type(text: str) -> None:
    btf = btf_of(INT, EVENT, Typedef("alias_t", 2))
    assert record_type("ring", user=text, btf=btf).rule is Rule.USER


def test_a_bare_name_prefers_the_typedef() -> None:
    btf = btf_of(INT, EVENT, Typedef("event", 1))
    assert find_type(btf, "event") == 3
    assert find_type(btf, "struct event") == 2
    assert find_type(btf, "union event") is None


def test_names_that_are_not_there_get_near_ones() -> None:
    with pytest.raises(BtfError, match=r"'struct evnt'.*'ring'.*near to it: struct event"):
        record_type("ring", user="struct evnt", btf=btf_of(INT, EVENT))
    with pytest.raises(BtfError, match="no type 'x'"):
        record_type("ring", user="x", btf=None)


def test_a_type_that_is_only_declared() -> None:
    with pytest.raises(BtfError, match="only declared"):
        record_type("ring", user="alias_t", btf=btf_of(INT, Fwd("event"), Typedef("alias_t", 2)))


def test_the_convention_and_flags_that_are_none() -> None:
    types = (INT, EVENT, Array(2, 1, 0), Ptr(3), Array(1, 1, 5), Ptr(5))
    btf = btf_of(
        *types, maps={"said": [Member("map_flags", 4, 0)], "flags": [Member("map_flags", 6, 0)]}
    )
    found = record_type("said", btf=btf, calls=_never())
    assert (found.name, found.rule) == ("struct event", Rule.CONVENTION)
    assert record_type("flags", btf=btf).rule is Rule.BYTES


def test_a_convention_that_cannot_be_followed() -> None:
    types = (INT, Fwd("event"), Array(2, 1, 0), Ptr(3))
    btf = btf_of(*types, maps={"ring": [Member("map_flags", 4, 0)]})
    found = record_type("ring", btf=btf)
    assert (found.rule, found.codec) == (Rule.BYTES, None)
    assert found.hint is not None
    assert "its definition says struct event" in found.hint


def test_an_inference_that_cannot_be_decoded_is_none() -> None:
    beyond = Struct("odd", 8, (Member("a", 1, 640),))
    found = record_type("ring", btf=btf_of(INT, beyond), calls=[reserve("ring", 8)])
    assert found.rule is Rule.BYTES
    assert found.hint is not None
    assert "struct odd cannot be decoded" in found.hint


def test_an_object_that_our_reader_refuses_is_still_given_a_type() -> None:
    btf = btf_of(INT, EVENT)
    found = record_type("ring", btf=btf, calls=[reserve("ring", 8)], elf=lambda: b".debug_info\0")
    assert found.rule is Rule.SIZE


def _never() -> Iterator[OutputCall]:
    raise AssertionError("the calls are not needed")
    yield


def test_the_size_decides_between_structs() -> None:
    btf = btf_of(INT, EVENT, OTHER)
    found = record_type("ring", btf=btf, calls=[reserve("ring", 8), reserve("else", 12)])
    assert (found.name, found.rule) == ("struct event", Rule.SIZE)


def test_a_typedef_names_a_struct_without_a_name() -> None:
    btf = btf_of(INT, Struct("", 8, EVENT.members), Typedef("event_t", 2))
    assert record_type("ring", btf=btf, calls=[reserve("ring", 8)]).name == "event_t"


@pytest.mark.parametrize(
    ("types", "calls", "hint"),
    [
        ((INT, EVENT, TWIN), [("ring", 8)], "struct event, struct twin all have"),
        ((INT, EVENT), [("ring", 16)], "no struct of the program's own in BTF has the 16 bytes"),
        ((INT, EVENT), [("ring", 8), ("ring", 12)], "records of 8 and of 12 bytes;"),
        ((INT, EVENT), [("ring", None)], "records of varying size"),
        ((INT, EVENT), [("ring", 8), ("ring", None)], "records of 8 bytes and of varying size"),
        ((INT, EVENT), [("ring", 8), (None, 8)], "records of 8 bytes"),
        ((INT, EVENT), [("else", 8)], "no call that sends to it"),
        ((INT, Struct("bpf_dynptr", 8, EVENT.members)), [("ring", 8)], "no struct"),
        ((INT, Union("event", 8, EVENT.members)), [("ring", 8)], "no struct"),
    ],
)
def test_otherwise_bytes_and_how_to_name_the_type(
    types: tuple[Type, ...], calls: list[tuple[str | None, int | None]], hint: str
) -> None:
    found = record_type("ring", btf=btf_of(*types), calls=[reserve(*call) for call in calls])
    assert (found.name, found.rule, found.codec) == ("bytes", Rule.BYTES, None)
    assert found.hint is not None
    assert hint in found.hint
    assert "--type ring=STRUCT" in found.hint


def test_without_btf() -> None:
    found = record_type("ring", btf=None, calls=[reserve("ring", 8)])
    assert found.rule is Rule.BYTES
    assert found.hint is not None
    assert "no BTF" in found.hint


def test_map_definitions_and_keys_are_no_records() -> None:
    btf = btf_of(INT, EVENT, Ptr(2), maps={"seen": [Member("key", 3, 0)]})
    assert record_type("ring", btf=btf, calls=[reserve("ring", 8)]).rule is Rule.BYTES


def test_values_of_a_map_that_are_sent() -> None:
    btf = btf_of(INT, EVENT, TWIN, Ptr(2), maps={"heap": [Member("value", 4, 0)]})

    def sends(offset: int, size: int | None) -> RecordType:
        call = OutputCall("events", PERF, size, 0, ("value", "heap", offset))
        return record_type("events", btf=btf, calls=[call])

    assert (sends(0, None).name, sends(0, None).rule) == ("struct event", Rule.VALUE)
    assert sends(0, 8).rule is Rule.VALUE
    assert sends(0, 4).rule is Rule.BYTES
    assert sends(4, None).rule is Rule.BYTES


def test_fields_as_raw_bytes() -> None:
    found = record_type("ring", user="event", btf=btf_of(INT, EVENT), raw=["b"])
    assert found.codec is not None
    assert found.codec.decode(bytes(range(8))).b == bytes(range(4, 8))


def test_dwarf_comes_before_the_size_and_finds_named_types() -> None:
    data = (Path(__file__).parent / "loader" / "records5.bpf.o").read_bytes()
    spec = read(data)
    calls = [call for call, _, _ in sending_calls(spec)]
    found = record_type("reserved", btf=spec.btf, calls=calls, elf=lambda: data)
    assert (found.name, found.rule) == ("struct nested", Rule.DWARF)
    said = record_type("reserved", user="struct open_ended", btf=spec.btf, elf=lambda: data)
    assert (said.name, said.rule) == ("struct open_ended", Rule.USER)
    with pytest.raises(BtfError, match="BTF and DWARF"):
        record_type("reserved", user="struct nobody", btf=spec.btf, elf=lambda: data)


def test_damaged_dwarf_is_no_evidence() -> None:
    data = bytearray((Path(__file__).parent / "loader" / "records5.bpf.o").read_bytes())
    from pylibbpf.loader.elf import Elf

    section = Elf(bytes(data)).find(".debug_abbrev")
    assert section is not None
    data[section.offset : section.offset + section.size] = b"\xff" * section.size
    found = record_type(
        "scalar", btf=btf_of(INT, EVENT), calls=[reserve("scalar", 8)], elf=lambda: bytes(data)
    )
    assert found.rule is Rule.SIZE


def test_kernel_types_are_not_taken_for_records(objects: Path) -> None:
    """What programs ask the kernel about by CO-RE comes from its headers."""
    data = (objects / "core.bpf.o").read_bytes()
    btf = read(data).btf
    assert btf is not None
    (wrong,) = btf.find("task_struct___wrong")
    size = btf.sizeof(wrong)
    found = record_type("ring", btf=btf, calls=[reserve("ring", size)], elf=lambda: data)
    assert found.rule is Rule.BYTES


def test_pyelftools_is_not_imported_for_an_object_without_dwarf(
    objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("elftools")]:
        monkeypatch.delitem(sys.modules, name)
    data = (objects / "ring.bpf.o").read_bytes()
    read_elf: Callable[[], bytes] = lambda: data  # noqa: E731
    record_type("samples", btf=read(data).btf, calls=[reserve("samples", 16)], elf=read_elf)
    assert not any(name.startswith("elftools") for name in sys.modules)
