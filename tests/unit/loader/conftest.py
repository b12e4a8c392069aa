from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

HERE = Path(__file__).parent

# name, type, flags, content (or a size, for a section that is not in the file), link, info
Content = tuple[str, int, int, "bytes | int", int, int]


@pytest.fixture(params=["records4.bpf.o", "records5.bpf.o"])
def records(request: pytest.FixtureRequest) -> bytes:
    """The object of records.bpf.c with DWARF of version 4 and 5."""
    return (HERE / str(request.param)).read_bytes()


@pytest.fixture
def make_elf() -> Callable[..., bytes]:
    return build


def build(*sections: Content, machine: int = 247, kind: int = 1) -> bytes:
    """Lay out a small ELF file: a null section, those given, and the section of names."""
    names = b"\0"
    body = b""
    headers = [bytes(64)]
    all_sections = [*sections, (".shstrtab", 3, 0, b"", 0, 0)]
    for name, _, _, _, _, _ in all_sections:
        names += name.encode() + b"\0"
    at = 1
    for name, number, flags, content, link, info in all_sections:
        if name == ".shstrtab":
            content = names
        size = content if isinstance(content, int) else len(content)
        place = 64 + len(body)
        headers.append(pack("<IIQQQQIIQQ", at, number, flags, 0, place, size, link, info, 8, 0))
        body += b"" if isinstance(content, int) else content
        at += len(name) + 1
    body += bytes(-len(body) % 8)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    count = len(headers)
    header = pack("<16sHHIQQQIHHHHHH", ident, kind, machine, 1, 0, 0, 64 + len(body), 0, 64, 0, 0,
                  64, count, count - 1)  # fmt: skip
    return header + body + b"".join(headers)


def symbols(*entries: tuple[str, int, int, int, int, int]) -> tuple[bytes, bytes]:
    """Symbol and string table of (name, type, bind, section, value, size)."""
    strings = b"\0"
    table = bytes(24)
    for name, kind, bind, section, value, size in entries:
        table += pack("<IBBHQQ", len(strings), bind << 4 | kind, 0, section, value, size)
        strings += name.encode() + b"\0"
    return table, strings


@pytest.fixture
def make_symbols() -> Callable[..., tuple[bytes, bytes]]:
    return symbols
