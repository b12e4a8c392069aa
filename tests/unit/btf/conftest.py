"""BTF written by hand, from ``include/uapi/linux/btf.h`` and not from the code under test."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[3]


class Blob:
    """Raw BTF in the making: ``string`` gives an offset, ``add`` an id."""

    def __init__(self, first: int = 1, str_first: int = 0) -> None:
        self.strings = b"" if str_first else b"\0"
        self.types = b""
        self.next = first
        self.str_first = str_first

    def string(self, text: str | bytes) -> int:
        if not text:
            return 0
        raw = text.encode() if isinstance(text, str) else text
        offset = self.str_first + len(self.strings)
        self.strings += raw + b"\0"
        return offset

    def add(
        self,
        kind: int,
        name: str | bytes = "",
        size: int = 0,
        *rest: int,
        vlen: int = 0,
        flag: int = 0,
    ) -> int:
        info = flag << 31 | kind << 24 | vlen
        words = (self.string(name), info, size, *rest)
        self.types += b"".join(struct.pack("<I", word & 0xFFFFFFFF) for word in words)
        self.next += 1
        return self.next - 1

    def int(self, name: str, size: int, encoding: int = 0, bits: int = 0, offset: int = 0) -> int:
        return self.add(1, name, size, encoding << 24 | offset << 16 | (bits or 8 * size))

    def ptr(self, to: int) -> int:
        return self.add(2, "", to)

    def array(self, of: int, count: int, index: int = 1) -> int:
        return self.add(3, "", 0, of, index, count)

    def struct(self, name: str, size: int, *members: tuple[str, int, int], flag: int = 0) -> int:
        """Members as (name, type id, offset in bits); with ``flag``, the width in the top byte."""
        return self._composite(4, name, size, members, flag)

    def union(self, name: str, size: int, *members: tuple[str, int, int], flag: int = 0) -> int:
        return self._composite(5, name, size, members, flag)

    def _composite(
        self, kind: int, name: str, size: int, members: tuple[tuple[str, int, int], ...], flag: int
    ) -> int:
        words = [w for text, of, offset in members for w in (self.string(text), of, offset)]
        return self.add(kind, name, size, *words, vlen=len(members), flag=flag)

    def enum(self, name: str, size: int, *values: tuple[str, int], flag: int = 0) -> int:
        words = [w for text, value in values for w in (self.string(text), value)]
        return self.add(6, name, size, *words, vlen=len(values), flag=flag)

    def raw(self) -> bytes:
        sizes = (0, len(self.types), len(self.types), len(self.strings))
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + self.types + self.strings


@pytest.fixture
def blob() -> Blob:
    """BTF whose type 1 is ``unsigned int``."""
    blob = Blob()
    blob.int("unsigned int", 4)
    return blob


@pytest.fixture
def new_blob() -> Callable[..., Blob]:
    """The class, for BTF that starts empty or that splits another."""
    return Blob


@pytest.fixture(scope="session")
def real_btf() -> list[bytes]:
    """``.BTF`` of objects that a compiler made: those of the tests and examples."""
    paths = [*ROOT.glob("tests/objects/*.bpf.o"), *ROOT.glob("examples/*.bpf.o")]
    found = []
    for path in sorted(paths):
        section = ELFFile(BytesIO(path.read_bytes())).get_section_by_name(".BTF")
        if section is not None:
            found.append(section.data())
    assert found
    return found
