"""The ELF container of a BPF object: sections, symbols, relocations.

Read by hand and not with pyelftools, which trusts what a file says about itself: here every
offset is held against the file's size before it is used, so that a damaged file gives one clear
message and cannot make us read, allocate or loop without bound. (DWARF is pyelftools' work.)
The layouts are those of the ELF-64 specification; the BPF numbers are from the kernel's
Documentation/bpf/llvm_reloc.rst.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from struct import Struct

from pylibbpf.errors import ElfError
from pylibbpf.loader.header import parse_header

__all__ = ["Elf", "Relocation", "Section", "Symbol"]

SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOTE, SHT_NOBITS, SHT_REL = 1, 2, 3, 4, 7, 8, 9
SHF_EXECINSTR = 4
SHF_INFO_LINK = 0x40
SHF_COMPRESSED = 0x800
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_COMMON, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = range(5)
STB_LOCAL, STB_GLOBAL, STB_WEAK = range(3)
STV_DEFAULT, STV_INTERNAL, STV_HIDDEN, STV_PROTECTED = range(4)

R_BPF_64_64 = 1  # the constant of an LD_IMM64
R_BPF_64_ABS64 = 2  # an address in data
R_BPF_64_ABS32 = 3  # its lower half
R_BPF_64_32 = 10  # the target of a CALL

_SECTION = Struct("<IIQQQQIIQQ")
_SYMBOL = Struct("<IBBHQQ")
_REL = Struct("<QQ")
_RELA = Struct("<QQq")


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """One section; ``size`` is what it takes in memory, which for ``.bss`` is not in the file."""

    index: int
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int = 0
    entry: int = 0

    @property
    def executable(self) -> bool:
        return self.type == SHT_PROGBITS and bool(self.flags & SHF_EXECINSTR)


@dataclasses.dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol; ``section`` is an index, 0 for an undefined one.

    ``index`` is its own place in the table.
    """

    name: str
    value: int
    size: int
    type: int
    bind: int
    section: int
    visibility: int = 0
    index: int = 0

    @property
    def hidden(self) -> bool:
        return self.visibility in (STV_INTERNAL, STV_HIDDEN)


@dataclasses.dataclass(frozen=True, slots=True)
class Relocation:
    """What the linker is to fill in at ``offset`` of a section; RELA gives an ``addend``."""

    offset: int
    type: int
    symbol: Symbol
    addend: int


class Elf:
    """A BPF object file, taken apart.

    Raises:
        ElfError: it is not one, or it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sections = self._read_sections(*parse_header(data))
        self.symbols = self._read_symbols()
        self.by_name = {(s.section, s.name): s for s in self.symbols}
        self._by_section: dict[int, list[Symbol]] = {}
        for symbol in self.symbols:
            self._by_section.setdefault(symbol.section, []).append(symbol)
        self._tables: dict[int, list[Section]] = {}
        for section in self.sections:
            if section.type in (SHT_REL, SHT_RELA):
                self._tables.setdefault(section.info, []).append(section)

    def find(self, name: str) -> Section | None:
        """Give the first section of this name that has contents."""
        return next((s for s in self.sections if s.name == name and s.type), None)

    def symbols_in(self, section: Section) -> list[Symbol]:
        """List the symbols of a section, in the order of the table."""
        return self._by_section.get(section.index, [])

    def content(self, section: Section) -> bytes:
        """Give the bytes of a section, zeros for one that is not in the file."""
        if section.type == SHT_NOBITS:
            return bytes(section.size)
        return self.data[section.offset : section.offset + section.size]

    def relocations(self, section: Section) -> Iterator[Relocation]:
        """List what is to be filled in in a section.

        Raises:
            ElfError: an entry lies outside the section or names a symbol that is not there.
        """
        for table in self._tables.get(section.index, []):
            for offset, info, addend in self._entries(table):
                number = info >> 32
                if number >= len(self.symbols):
                    raise ElfError(
                        f"relocation section {table.name!r} refers to symbol {number} of "
                        f"{len(self.symbols)}"
                    )
                if offset >= section.size:
                    raise ElfError(
                        f"relocation section {table.name!r} points at offset {offset:#x} of "
                        f"{section.name!r}, which has {section.size:#x} bytes"
                    )
                yield Relocation(offset, info & 0xFFFFFFFF, self.symbols[number], addend)

    def _entries(self, table: Section) -> Iterator[tuple[int, int, int]]:
        layout = _REL if table.type == SHT_REL else _RELA
        content = self.content(table)
        if len(content) % layout.size:
            raise ElfError(f"relocation section {table.name!r} has a broken size")
        for entry in layout.iter_unpack(content):
            yield (*entry, 0) if table.type == SHT_REL else entry

    def _read_sections(self, table: int, entry: int, count: int, names: int) -> list[Section]:
        size = len(self.data)
        raw = list(_SECTION.iter_unpack(self.data[table : table + entry * count]))
        strings = Names(self._strings(raw[names], "section names"))
        sections = []
        in_file = in_memory = 0
        for index, row in enumerate(raw):
            name, type, flags, _, offset, length, link, info, align, each = row
            said = strings.at(name) if type else ""
            if type not in (0, SHT_NOBITS) and offset + length > size:
                raise ElfError(
                    f"truncated: section {said!r} ends at byte {offset + length}, "
                    f"the file at {size}"
                )
            if type == SHT_NOBITS:
                in_memory += length
            elif type:
                in_file += length
            sections.append(
                Section(index, said, type, flags, offset, length, link, info, align, each)
            )
        # Either would let a small file ask for much memory.
        if in_file > size:
            raise ElfError(f"sections overlap: they have {in_file} bytes, the file {size}")
        if in_memory > _LARGEST:
            raise ElfError(f"the file claims {in_memory} bytes of zeros (.bss)")
        return sections

    def _strings(self, raw: tuple[int, ...], what: str) -> bytes:
        offset, length = raw[4], raw[5]
        if raw[1] == SHT_NOBITS or offset + length > len(self.data):
            raise ElfError(f"truncated: the {what} end at byte {offset + length}, "
                           f"the file at {len(self.data)}")  # fmt: skip
        return self.data[offset : offset + length]

    def _read_symbols(self) -> list[Symbol]:
        table = next((s for s in self.sections if s.type == SHT_SYMTAB), None)
        if table is None:
            return []
        if table.size % _SYMBOL.size:
            raise ElfError(f"symbol table {table.name!r} has a broken size")
        if table.link >= len(self.sections):
            raise ElfError(f"symbol names are in section {table.link} of {len(self.sections)}")
        strings = Names(self.content(self.sections[table.link]))
        symbols = []
        for index, row in enumerate(_SYMBOL.iter_unpack(self.content(table))):
            name, info, other, section, value, size = row
            if SHN_LORESERVE > section >= len(self.sections):
                raise ElfError(
                    f"symbol {strings.at(name)!r} lies in section {section} of {len(self.sections)}"
                )
            said = strings.at(name)
            if info & 0x0F == STT_SECTION and section < len(self.sections):
                said = self.sections[section].name
            symbols.append(
                Symbol(said, value, size, info & 0x0F, info >> 4, section, other & 3, index)
            )
        return symbols


# The kernel bounds a map value by KMALLOC_MAX_SIZE or, for arrays, by what vmalloc gives.
# Beyond this a size is not meant.
_LARGEST = 1 << 28


class Names:
    """A string table. What is no UTF-8 is shown escaped.

    Names may overlap, so that a small table can hold endless text; there is a limit to it.
    """

    def __init__(self, strings: bytes) -> None:
        self._strings = strings
        self._known: dict[int, str] = {}
        self._left = _LARGEST // 4

    def at(self, offset: int) -> str:
        """Read the name at an offset.

        Raises:
            ElfError: the offset is outside, or the table does not end its last name.
        """
        if offset in self._known:
            return self._known[offset]
        if offset >= len(self._strings):
            if offset == 0:
                return ""
            raise ElfError(
                f"a name at offset {offset} of a string table of {len(self._strings)} bytes"
            )
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise ElfError("a string table does not end with NUL")
        self._left -= end - offset
        if self._left < 0:
            raise ElfError("the names of a string table overlap without end")
        name = self._known[offset] = self._strings[offset:end].decode("utf-8", "backslashreplace")
        return name
