"""Taking debugging sections out of an object."""

from __future__ import annotations

import importlib.util
import struct
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("strip", ROOT / "tools" / "strip.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_debug_section(data: bytes) -> bytes:
    """The object with .debug_test put behind section 0, its section symbol first of all."""
    header = list(struct.unpack_from("<16sHHIQQQIHHHHHH", data))
    count, names_index = header[12], header[13]
    sections = [
        list(struct.unpack_from("<IIQQQQIIQQ", data, header[6] + 64 * i)) for i in range(count)
    ]
    body = bytearray(data[: header[6]])

    def append(part: bytes) -> int:
        body.extend(bytes(-len(body) % 8))
        body.extend(part)
        return len(body) - len(part)

    # every index above 0 moves up by one: of sections in links, of symbols in relocations
    strings = bytearray(data[sections[names_index][4] :][: sections[names_index][5]])
    name = len(strings)
    strings += b".debug_test\0"
    sections[names_index][4], sections[names_index][5] = append(bytes(strings)), len(strings)
    for section in sections[1:]:
        kind, offset, size = section[1], section[4], section[5]
        section[6] += bool(section[6])
        if kind == 2:
            old = [list(row) for row in struct.iter_unpack("<IBBHQQ", data[offset:][:size])]
            for row in old:
                row[3] += 0 < row[3] < 0xFF00
            old.insert(1, [0, 3, 0, 1, 0, 0])
            table = b"".join(struct.pack("<IBBHQQ", *row) for row in old)
            section[4], section[5], section[7] = append(table), len(table), section[7] + 1
        elif kind == 9:
            moved = b"".join(
                struct.pack("<QQ", place, info + (1 << 32))
                for place, info in struct.iter_unpack("<QQ", data[offset:][:size])
            )
            section[4], section[7] = append(moved), section[7] + 1
    sections.insert(1, [name, 1, 0, 0, append(b"debug"), 5, 0, 0, 1, 0])
    rows = b"".join(struct.pack("<IIQQQQIIQQ", *section) for section in sections)
    header[6], header[12], header[13] = append(rows), count + 1, names_index + 1
    body[:64] = struct.pack("<16sHHIQQQIHHHHHH", *header)
    return bytes(body)


def content(data: bytes) -> dict[str, object]:
    """What an object says, apart from where it says it."""
    elf = ELFFile(BytesIO(data))
    found: dict[str, object] = {}
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection):
            symbols = elf.get_section(section["sh_link"])
            found[section.name] = [
                (
                    each["r_offset"],
                    each["r_info_type"],
                    symbols.get_symbol(each["r_info_sym"]).name,
                    elf.get_section(section["sh_info"]).name,
                )
                for each in section.iter_relocations()
            ]
        elif section.name == ".symtab":
            found[".symtab"] = [
                (each.name, each["st_value"], each["st_size"], each["st_info"]["bind"])
                for each in section.iter_symbols()
                if each.name or each["st_info"]["type"] != "STT_SECTION"
            ]
            found["first global"] = section["sh_info"]
        elif section.name != ".strtab":
            found[section.name] = section.data()
    return found


@pytest.mark.parametrize("name", ["opensnoop", "syscount"])
def test_removes_the_section_and_nothing_else(tool, name):
    clean = (ROOT / "examples" / f"{name}.bpf.o").read_bytes()
    dirty = with_debug_section(clean)
    assert b".debug_test" in dirty
    assert content(dirty)[".debug_test"] == b"debug"
    stripped = tool.strip(dirty)
    assert b".debug_test" not in stripped
    assert content(stripped) == content(clean)


def test_is_idempotent(tool):
    clean = (ROOT / "examples" / "opensnoop.bpf.o").read_bytes()
    assert tool.strip(clean) == clean


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF\x02\x02" + bytes(58), bytes(64)])
def test_refuses_what_is_no_object(tool, data):
    with pytest.raises(ValueError, match="little-endian"):
        tool.strip(data)
