"""One object to be linked: which of its sections matter, and what its BTF says of its symbols."""

from __future__ import annotations

import dataclasses

from pylibbpf.btf.rows import Rows, is_global, kind_of
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError, ElfError
from pylibbpf.isa.insn import INSN_SIZE
from pylibbpf.loader.elf import (
    SHN_ABS,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_PROGBITS,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    STB_LOCAL,
    STB_WEAK,
    STT_SECTION,
    STV_DEFAULT,
    STV_HIDDEN,
    Elf,
    Section,
    Symbol,
)
from pylibbpf.loader.static_linker.ext import Ext

__all__ = ["Declaration", "Input"]

SHT_LLVM_ADDRSIG = 0x6FFF4C03

# What no loader of BPF reads: debugging, unwinding, notes of the compiler.
_LEFT_OUT = (".debug_", ".eh_frame", ".comment", ".note")
_LEFT_OUT_TYPES = (0, SHT_STRTAB, SHT_SYMTAB, SHT_NOTE, SHT_LLVM_ADDRSIG)
BTF, BTF_EXT = ".BTF", ".BTF.ext"

# More than any page has. Padding must not make a large file of small ones.
_MOST_ALIGNED = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """What BTF says of a symbol that other files see: its type, and the section of its own.

    ``section`` is None for a function of this object, and where an extern names none.
    """

    type_id: int
    section: str | None


class Input:
    """An object to be linked.

    Raises:
        ElfError, BtfError: it is damaged, or has what cannot be linked.
    """

    def __init__(self, label: str, data: bytes) -> None:
        self.label = label
        self.elf = Elf(data)
        found = self.elf.find(BTF)
        self.types = Rows(self.elf.content(found)) if found is not None else None
        found = self.elf.find(BTF_EXT)
        self.ext = Ext.empty()
        if found is not None:
            if self.types is None:
                raise BtfError("the object has .BTF.ext but no .BTF")
            self.ext = Ext.parse(self.elf.content(found), self.types)
        self.sections: list[Section] = []
        self._sort_sections()
        self.by_index = {section.index: section for section in self.sections}
        self.by_name = {section.name: section for section in self.sections}
        for symbol in self.elf.symbols[1:]:
            self._check_symbol(symbol)
        # DATASECs, by id: what lies in which section by BTF.
        self.datasecs: dict[int, str] = {}
        self.declarations: dict[str, Declaration] = {}
        if self.types is not None:
            self._read_declarations(self.types)

    def _sort_sections(self) -> None:
        names = set()
        for section in self.elf.sections:
            if not _kept(section):
                continue
            if section.type in (SHT_REL, SHT_RELA):
                target = section.info
                if 0 < target < len(self.elf.sections) and not _kept(self.elf.sections[target]):
                    continue
                if section.type == SHT_RELA:
                    raise ElfError(
                        f"section {section.name!r} has relocations with addends (RELA), which "
                        "no compiler for BPF writes"
                    )
                continue
            if section.type not in (SHT_PROGBITS, SHT_NOBITS):
                raise ElfError(
                    f"section {section.name!r} is of type {section.type:#x}, which cannot be linked"
                )
            if section.name in names or not section.name:
                raise ElfError(f"there are two sections named {section.name!r}"
                               if section.name else "a section has no name")  # fmt: skip
            names.add(section.name)
            if section.align & (section.align - 1) or section.align > _MOST_ALIGNED:
                raise ElfError(
                    f"section {section.name!r} is to be aligned to {section.align} bytes, which "
                    f"is no power of 2 up to {_MOST_ALIGNED}"
                )
            if section.executable and section.size % INSN_SIZE:
                raise ElfError(
                    f"section {section.name!r} has {section.size} bytes: not whole instructions"
                )
            self.sections.append(section)

    def _check_symbol(self, symbol: Symbol) -> None:
        what = f"symbol {symbol.name!r}"
        if symbol.bind > STB_WEAK:
            raise ElfError(f"{what} has binding {symbol.bind}: neither local, global nor weak")
        if symbol.visibility not in (STV_DEFAULT, STV_HIDDEN):
            word = ("", "internal", "", "protected")[symbol.visibility]
            raise ElfError(f"{what} has visibility {word!r}: only 'default' and 'hidden' exist")
        if symbol.section == SHN_UNDEF and (symbol.bind == STB_LOCAL or not symbol.name):
            raise ElfError(f"{what} is local, or has no name, but is not defined here")
        if symbol.section >= SHN_LORESERVE and symbol.section != SHN_ABS:
            raise ElfError(f"{what} lies in no section (compile with -fno-common)")
        section = self.by_index.get(symbol.section)
        if section is None:
            return
        if symbol.type == STT_SECTION:
            if symbol.value:
                raise ElfError(f"the symbol of section {section.name!r} is not at its start")
        elif symbol.value + symbol.size > section.size:
            raise ElfError(
                f"{what} ends at byte {symbol.value + symbol.size} of {section.name!r}, "
                f"which has {section.size}"
            )

    def _read_declarations(self, types: Rows) -> None:
        free: dict[bytes, int] = {}
        placed: dict[bytes, Declaration] = {}
        for type_id, row in enumerate(types.types):
            kind = kind_of(row)
            if is_global(row):
                free[types.string(row[0])] = type_id
            elif kind == Kind.DATASEC:
                section = types.name(type_id).decode("utf-8", "backslashreplace")
                self.datasecs[type_id] = section
                # Unannotated externs may be put into a section of this name: it says nothing.
                place = None if section == ".extern" else section
                for at in range(3, len(row), 3):
                    var = types.types[row[at]]
                    if kind_of(var) not in (Kind.VAR, Kind.FUNC):
                        raise BtfError(f"BTF section {section!r} has what is no variable")
                    if is_global(var):
                        placed[types.string(var[0])] = Declaration(row[at], place)
        for name, type_id in free.items():
            said = name.decode("utf-8", "backslashreplace")
            self.declarations[said] = placed.get(name) or Declaration(type_id, None)


def _kept(section: Section) -> bool:
    if section.type in _LEFT_OUT_TYPES or section.name in (BTF, BTF_EXT):
        return False
    # An empty one is in every object.
    if section.name == ".text" and not section.size:
        return False
    return not section.name.startswith(_LEFT_OUT)
