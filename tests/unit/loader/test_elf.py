from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from struct import pack_into

import pytest

from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.elf import Elf
from pylibbpf.loader.header import check_header
from pylibbpf.loader.object import read

Make = Callable[..., bytes]
MakeSymbols = Callable[..., tuple[bytes, bytes]]

PROGBITS, SYMTAB, STRTAB, NOBITS, REL = 1, 2, 3, 8, 9
EXIT = bytes.fromhex("b700000000000000 9500000000000000")


def test_messages_for_what_is_no_object(make_elf: Make) -> None:
    elf = make_elf()
    big = bytearray(elf)
    big[5] = 2
    big[18:20] = b"\x00\xf7"
    narrow = bytearray(elf)
    narrow[4] = 1
    odd = bytearray(elf)
    odd[5] = 9
    cases = {
        "empty": b"",
        "7b 0a 20 20 (text": b"{\n  'json': 1}" * 20,
        "LLVM bitcode": b"BC\xc0\xde" + bytes(100),
        "starts with 00 00 00 00": bytes(100),
        "truncated: 40 bytes": elf[:40],
        "identification is damaged": bytes(odd),
        "compiled for x86-64, not for BPF": make_elf(machine=62),
        "compiled for machine 999": make_elf(machine=999),
        "big-endian": bytes(big),
        "not a 64-bit": bytes(narrow),
        "a shared library, not a relocatable": make_elf(kind=3),
        "truncated: the section table ends at": elf[:-1],
    }
    for message, data in cases.items():
        with pytest.raises(ElfError) as info:
            Elf(data)
        assert message in str(info.value)
        with pytest.raises(ElfError, match=r"^some\.o: "):
            check_header(data, "some.o")


def test_machine_none_is_accepted_as_old_compilers_wrote_it(make_elf: Make) -> None:
    assert read(make_elf(machine=0)).functions == ()


def test_an_object_with_nothing_in_it(make_elf: Make) -> None:
    spec = read(make_elf())
    assert (spec.license, spec.version, spec.btf, spec.has_dwarf) == (None, None, None, False)
    assert (spec.functions, spec.maps, spec.globals, spec.externs) == ((), (), (), ())


def test_license_and_version(make_elf: Make) -> None:
    spec = read(
        make_elf(
            ("license", PROGBITS, 3, b"GPL\0", 0, 0),
            ("version", PROGBITS, 3, b"\x01\x02\x06\x00", 0, 0),
        )
    )
    assert (spec.license, spec.version) == ("GPL", 0x60201)


def test_functions_without_size_or_type(make_elf: Make, make_symbols: MakeSymbols) -> None:
    """As clang wrote them up to version 7."""
    table, strings = make_symbols(
        ("LBB0_1", 0, 0, 1, 8, 0), ("first", 0, 1, 1, 0, 0), ("second", 0, 1, 1, 16, 0)
    )
    spec = read(
        make_elf(
            ("socket", PROGBITS, 6, EXIT * 2, 0, 0),
            (".symtab", SYMTAB, 0, table, 3, 0),
            (".strtab", STRTAB, 0, strings, 0, 0),
        )
    )
    assert [(f.name, f.offset, f.insn_count) for f in spec.programs] == [
        ("first", 0, 2),
        ("second", 16, 2),
    ]


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        (("f", 2, 1, 1, 0, 64), "ends at byte 64"),
        (("f", 2, 1, 1, 4, 8), "whole instructions"),
        (("f", 2, 1, 1, 1 << 63, 8), "ends at byte"),
        (("f", 2, 1, 9, 0, 8), "lies in section 9 of 5"),
    ],
)
def test_functions_that_cannot_be(
    make_elf: Make,
    make_symbols: MakeSymbols,
    symbol: tuple[object, ...],
    message: str,
) -> None:
    table, strings = make_symbols(symbol)
    with pytest.raises(ElfError, match=message):
        read(
            make_elf(
                ("socket", PROGBITS, 6, EXIT * 2, 0, 0),
                (".symtab", SYMTAB, 0, table, 3, 0),
                (".strtab", STRTAB, 0, strings, 0, 0),
            )
        )


def test_overlapping_functions_but_not_aliases(make_elf: Make, make_symbols: MakeSymbols) -> None:
    def of(*entries: tuple[object, ...]) -> bytes:
        table, strings = make_symbols(*entries)
        return make_elf(
            ("socket", PROGBITS, 6, EXIT * 2, 0, 0),
            (".symtab", SYMTAB, 0, table, 3, 0),
            (".strtab", STRTAB, 0, strings, 0, 0),
        )

    same = read(of(("a", 2, 1, 1, 0, 32), ("b", 2, 1, 1, 0, 32)))
    assert [f.name for f in same.programs] == ["a", "b"]
    with pytest.raises(ElfError, match="'a' and 'b' overlap"):
        read(of(("a", 2, 1, 1, 0, 32), ("b", 2, 1, 1, 16, 16)))


def test_two_sections_of_code_with_one_name(make_elf: Make, make_symbols: MakeSymbols) -> None:
    table, strings = make_symbols(("a", 2, 1, 1, 0, 16), ("b", 2, 1, 2, 0, 8))
    with pytest.raises(ElfError, match="two sections of code named 'socket'"):
        read(
            make_elf(
                ("socket", PROGBITS, 6, EXIT, 0, 0),
                ("socket", PROGBITS, 6, EXIT[:8], 0, 0),
                (".symtab", SYMTAB, 0, table, 4, 0),
                (".strtab", STRTAB, 0, strings, 0, 0),
            )
        )


def test_a_small_file_cannot_ask_for_much_memory(make_elf: Make) -> None:
    with pytest.raises(ElfError, match="bytes of zeros"):
        read(make_elf((".bss", NOBITS, 3, 1 << 40, 0, 0)))
    data = bytearray(make_elf(*((f".data.{n}", PROGBITS, 3, bytes(8), 0, 0) for n in range(50))))
    table = int.from_bytes(data[40:48], "little")
    for n in range(1, 51):
        pack_into("<QQ", data, table + 64 * n + 24, 64, 400)
    with pytest.raises(ElfError, match="overlap"):
        read(bytes(data))


def test_relocations_that_point_nowhere(make_elf: Make, make_symbols: MakeSymbols) -> None:
    table, strings = make_symbols(("f", 2, 1, 1, 0, 32), ("nothing", 0, 1, 0xFFF1, 0, 0))

    def with_relocation(offset: int, kind: int, symbol: int) -> bytes:
        entry = offset.to_bytes(8, "little") + (symbol << 32 | kind).to_bytes(8, "little")
        return make_elf(
            ("socket", PROGBITS, 6, EXIT * 2, 0, 0),
            (".symtab", SYMTAB, 0, table, 3, 0),
            (".strtab", STRTAB, 0, strings, 0, 0),
            (".relsocket", REL, 0, entry, 2, 1),
        )

    for arguments, message in (
        ((999, 1, 1), "points at offset 0x3e7"),
        ((0, 1, 77), "symbol 77 of 3"),
        ((0, 1, 1), "no instruction takes one"),
        ((0, 7, 1), "type 7"),
        ((0, 1, 2), "lies in no section"),
    ):
        with pytest.raises(ElfError, match=message):
            read(with_relocation(*arguments))


def test_maps_without_btf(make_elf: Make) -> None:
    with pytest.raises(BtfError, match="no BTF to read them by"):
        read(make_elf((".maps", PROGBITS, 3, bytes(32), 0, 0)))


def test_operations_without_btf(make_elf: Make) -> None:
    elf = make_elf((".struct_ops.link", PROGBITS, 3, bytes(16), 0, 0))
    with pytest.raises(BtfError, match=r"'\.struct_ops\.link' but no BTF to read them by"):
        read(elf)


def test_names_that_are_not_text(make_elf: Make, make_symbols: MakeSymbols) -> None:
    table, strings = make_symbols(("f", 2, 1, 1, 0, 32))
    (function,) = read(
        make_elf(
            ("socket", PROGBITS, 6, EXIT * 2, 0, 0),
            (".symtab", SYMTAB, 0, table, 3, 0),
            (".strtab", STRTAB, 0, strings.replace(b"f", b"\xff"), 0, 0),
        )
    ).functions
    assert function.name == "\\xff"


def test_every_truncation_has_a_message(objects: Path) -> None:
    data = (objects / "core.bpf.o").read_bytes()
    for end in range(0, len(data) - 1, 37):
        with pytest.raises(ElfError, match=r"truncated|empty|sections|not an ELF"):
            read(data[:end])


@pytest.mark.parametrize("name", ["maps", "globals", "core", "legacy", "kconfig", "ring"])
def test_damage_is_either_harmless_or_named(objects: Path, name: str) -> None:
    whole = (objects / f"{name}.bpf.o").read_bytes()
    numbers = random.Random(name)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(numbers.choice((1, 1, 4, 20))):
            data[numbers.randrange(len(data))] = numbers.choice((0, 1, 255, numbers.randrange(256)))
        try:
            read(bytes(data))
        except (ElfError, BtfError):
            pass  # said, not crashed
