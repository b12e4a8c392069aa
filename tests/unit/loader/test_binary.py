"""Programs and libraries as probes see them."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import pytest

from pylibbpf.errors import ElfError
from pylibbpf.loader.binary import Binary, Segment


def libc() -> str:
    maps = Path("/proc/self/maps").read_text()
    return next(line.split()[-1] for line in maps.splitlines() if re.search(r"/libc\b.*so", line))


def elf32(code: bytes = b"\xc3" * 16) -> bytes:
    """A big-endian 32-bit program with one segment, one function and its names."""
    strings = b"\0one\0"
    symbol = struct.pack(">IIIBBH", 1, 0x1054 + 4, 8, 2, 0, 1)
    header = 52 + 32
    at = header + len(code)
    table = at + len(strings) + len(symbol)
    ident = b"\x7fELF" + bytes((1, 2, 1)) + bytes(9)
    start = ident + struct.pack(">HHIIIIIHHHHHH", 2, 20, 1, 0, 52, table, 0, 52, 32, 1, 40, 3, 0)
    segment = struct.pack(">IIIIIIII", 1, header, 0x1054, 0, len(code), len(code), 5, 4096)
    rows = (
        bytes(40)
        + struct.pack(">IIIIIIIIII", 0, 3, 0, 0, at, len(strings), 0, 0, 1, 0)
        + struct.pack(
            ">IIIIIIIIII", 0, 2, 0, 0, at + len(strings), len(symbol), 1, 0, 4, len(symbol)
        )
    )
    return start + segment + code + strings + symbol + rows


def test_the_c_library():
    with Binary(libc()) as binary:
        functions = {each.name: each for each in binary.functions()}
        (segment,) = binary.code()
        getpgid = functions["getpgid"]
        assert segment.offset <= getpgid.offset < segment.offset + segment.size
        assert getpgid.size
        assert not getpgid.indirect
        assert functions["memcpy"].indirect or functions["memcpy"].size
        assert isinstance(binary.stripped, bool)


def test_another_byte_order_and_width(tmp_path):
    (tmp_path / "old").write_bytes(elf32())
    with Binary(str(tmp_path / "old")) as binary:
        assert not binary.wide
        assert binary.code() == [Segment(84, 16, 0x1054)]
        (function,) = binary.functions()
        assert (function.name, function.offset, function.size) == ("one", 88, 8)
        assert not binary.stripped
        assert binary.usdt() == []


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\3\3" + bytes(100)])
def test_what_is_no_binary(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ElfError):
        Binary(str(tmp_path / "file"))


def test_damage_is_an_elf_error_and_nothing_else(tmp_path):
    """Bytes changed at random: what is read may be wrong, but nothing worse comes of it."""
    whole = elf32()
    path = tmp_path / "file"
    chance = random.Random(1)
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(len(data) // 2, len(data) + 1)])
        try:
            with Binary(str(path)) as binary:
                binary.code()
                list(binary.functions())
                binary.usdt()
        except ElfError:
            pass
