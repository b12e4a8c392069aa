from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from pylibbpf.btf.codec import codec
from pylibbpf.btf.types import Kind, Struct
from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader import dwarf
from pylibbpf.loader.object import read


def test_what_each_map_carries(records: bytes) -> None:
    found = {
        name: btf.c_name(type_id) for name, (btf, type_id) in dwarf.record_types(records).items()
    }
    assert found == {
        "stacked": "struct on_stack",
        "reserved": "struct nested",
        "wrapped": "struct on_stack",
        "typedefed": "pair_t",
        "agreeing": "struct on_stack",
        "passed": "struct nested",
        "longer": "struct open_ended",
        "scalar": "__u64",
        "chosen_a": "__u64",
        "chosen_b": "__u64",
    }


def test_types_are_what_btf_says_where_both_know_them(records: bytes) -> None:
    """The same compiler wrote both, so layouts must agree."""
    spec = read(records)
    btf, type_id = dwarf.record_types(records)["agreeing"]
    (known,) = spec.btf.find("on_stack", Kind.STRUCT) if spec.btf is not None else ()
    assert spec.btf is not None
    theirs, ours = spec.btf.type(known), btf.type(type_id)
    assert isinstance(theirs, Struct)
    assert isinstance(ours, Struct)
    assert theirs.size == ours.size
    assert [(m.name, m.bit_offset, spec.btf.c_name(m.type_id)) for m in theirs.members] == [
        (m.name, m.bit_offset, btf.c_name(m.type_id)) for m in ours.members
    ]


def test_records_decode(records: bytes) -> None:
    btf, type_id = dwarf.record_types(records)["reserved"]
    made = codec(btf, type_id)
    data = bytearray(made.size)
    data[0:2] = (-2).to_bytes(2, "little", signed=True)
    data[4] = 0b10101_010
    data[8:12] = (7).to_bytes(4, "little")
    data[12:16] = b"\x01\x02\x03\x04"
    data[16:20] = (9).to_bytes(4, "little")
    data[36:40] = (11).to_bytes(4, "little")
    value = made.decode(bytes(data))
    assert (value.x, value.low, value.high) == (-2, 0b010, 0b10101)
    assert value.state.name == "BUSY"
    assert (value.word, value.bytes) == (0x04030201, b"\x01\x02\x03\x04")
    assert value.grid == ((9, 0, 0), (0, 0, 11))
    assert (value.text, value.task, value.call, value.yes) == (0, 0, 0, False)
    btf, type_id = dwarf.record_types(records)["longer"]
    assert codec(btf, type_id).decode(bytes(16) + b"more\0").text == "more"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("struct nested", "struct nested"),
        ("nested", "struct nested"),
        ("pair_t", "pair_t"),
        ("enum state", "enum state"),
        ("__u64", "__u64"),
        ("unsigned int", "unsigned int"),
    ],
)
def test_types_by_name(records: bytes, text: str, name: str) -> None:
    found = dwarf.named_type(records, text)
    assert found is not None
    assert found[0].c_name(found[1]) == name


def test_names_that_are_not_there(records: bytes) -> None:
    assert dwarf.named_type(records, "struct nobody") is None
    assert dwarf.named_type(records, "union nested") is None
    assert dwarf.named_type(records, "") is None


def test_an_object_without_dwarf(objects: Path) -> None:
    data = (objects / "ring.bpf.o").read_bytes()
    assert dwarf.record_types(data) == {}
    assert dwarf.named_type(data, "struct event") is None


def test_damaged_dwarf_is_refused_or_read_and_soon(records: bytes) -> None:
    sections = [s for s in _debug_sections(records) if s[1]]
    numbers = random.Random(3)
    for _ in range(120):
        data = bytearray(records)
        offset, size = numbers.choice(sections)
        for _ in range(numbers.choice((1, 3, 30))):
            data[offset + numbers.randrange(size)] = numbers.choice(
                (0, 1, 0x7F, 0x80, 255, numbers.randrange(256))
            )
        start = time.monotonic()
        try:
            dwarf.record_types(bytes(data))
            dwarf.named_type(bytes(data), "struct nested")
        except (ElfError, BtfError):
            pass  # said, not crashed
        assert time.monotonic() - start < 10


def _debug_sections(data: bytes) -> list[tuple[int, int]]:
    from pylibbpf.loader.elf import Elf

    return [(s.offset, s.size) for s in Elf(data).sections if s.name.startswith(".debug_")]
