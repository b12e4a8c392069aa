"""Our table of SEC() names says what libbpf's own says, in each version that is to be had.

The table ``section_defs`` is read out of Debian's static libbpf.a, where its symbol and its
relocations still are; nothing is run.
"""

from __future__ import annotations

import io
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from pylibbpf.uapi.sections import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import debpkg  # noqa: E402
import headers as debian  # noqa: E402

# libbpf.c: struct bpf_sec_def (on 64-bit machines) and the bits of its cookie, enum sec_def_flags.
ROW = struct.Struct("<QIIq")
ROW_SIZE = 56
ATTACH_BTF, SLEEPABLE, XDP_FRAGS = 4, 8, 16


@pytest.fixture(scope="module", params=debian.SUITES)
def suite(request: pytest.FixtureRequest) -> debian.Headers:
    try:
        return debian.fetch(request.param)
    except (debpkg.DebianError, OSError) as error:
        reason = f"libbpf-dev of {request.param} is not to be had: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def members(archive: bytes) -> Iterator[bytes]:
    """The files of an ar archive."""
    at = 8
    while at < len(archive):
        size = int(archive[at + 48 : at + 58])
        yield archive[at + 60 : at + 60 + size]
        at += 60 + size + (size & 1)


def table(archive: bytes) -> dict[str, tuple[int, int, int, bool]]:
    """Name (with its ``+``) -> type, attach type, cookie, and whether it has an attach function."""
    for data in members(archive):
        if not data.startswith(b"\x7fELF"):
            continue
        elf = ELFFile(io.BytesIO(data))
        symbols = elf.get_section_by_name(".symtab")
        found = symbols.get_symbol_by_name("section_defs")
        if not found:
            continue
        (symbol,) = found
        section = elf.get_section(symbol["st_shndx"])
        start, size = symbol["st_value"], symbol["st_size"]
        pointers = {}
        for each in elf.get_section_by_name(f".rela{section.name}").iter_relocations():
            target = symbols.get_symbol(each["r_info_sym"])
            pointers[each["r_offset"] - start] = target, each["r_addend"]
        assert size % ROW_SIZE == 0
        rows = {}
        for at in range(0, size, ROW_SIZE):
            target, addend = pointers[at]
            text = elf.get_section(target["st_shndx"]).data()[target["st_value"] + addend :]
            _, kind, attach_type, cookie = ROW.unpack_from(section.data(), start + at)
            name = text[: text.index(b"\0")].decode()
            rows[name] = kind, attach_type, cookie, at + ROW_SIZE - 8 in pointers
        return rows
    raise AssertionError("no section_defs in libbpf.a")


def test_rows(suite):
    (archive,) = suite.root.glob("usr/lib/**/libbpf.a")
    theirs = table(archive.read_bytes())
    ours = {
        each.name + "+" * each.extends: (
            int(each.type),
            int(each.attach_type),
            each.attach_btf * ATTACH_BTF | each.sleepable * SLEEPABLE | each.frags * XDP_FRAGS,
            each.attaches,
        )
        for each in SECTIONS.values()
        if each.libbpf <= suite.version
    }
    mask = ATTACH_BTF | SLEEPABLE | XDP_FRAGS
    assert ours == {
        name: (kind, attach_type, cookie & mask, attaches)
        for name, (kind, attach_type, cookie, attaches) in theirs.items()
    }
