"""Write the linked object: an ELF file of the kind that compilers make."""

from __future__ import annotations

import dataclasses
from struct import Struct

from pylibbpf.errors import ElfError
from pylibbpf.isa import insn as isa
from pylibbpf.loader.elf import (
    R_BPF_64_32,
    R_BPF_64_64,
    R_BPF_64_ABS32,
    R_BPF_64_ABS64,
    SHF_INFO_LINK,
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_PROGBITS,
    SHT_REL,
    SHT_STRTAB,
    SHT_SYMTAB,
    STT_SECTION,
)
from pylibbpf.loader.header import HEADER, SECTION_HEADER_SIZE
from pylibbpf.loader.static_linker.sections import JUMP_TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.loader.elf import Relocation, Section, Symbol
    from pylibbpf.loader.static_linker.inputs import Input
    from pylibbpf.loader.static_linker.sections import Merged, Out
    from pylibbpf.loader.static_linker.symbols import Symbols
    from pylibbpf.loader.static_linker.types import Types

__all__ = ["write"]

_SECTION = Struct("<IIQQQQIIQQ")
_SYMBOL = Struct("<IBBHQQ")
_REL = Struct("<QQ")
_ENTRY = 8  # bytes of an entry of a jump table
_EM_BPF, _ET_REL, _EV_CURRENT = 247, 1, 1
_IDENT = b"\x7fELF\2\1\1" + bytes(9)  # 64 bits, little-endian

# How many bytes a relocation changes, from where on.
_FIELDS = {R_BPF_64_64: (4, 4), R_BPF_64_32: (4, 4), R_BPF_64_ABS64: (0, 8), R_BPF_64_ABS32: (0, 4)}


def write(inputs: list[Input], merged: Merged, symbols: Symbols, types: Types) -> bytes:
    """Put all parts into one file.

    Raises:
        ElfError: a relocation makes no sense, or what is moved is out of its reach.
    """
    relocations: dict[str, list[tuple[int, int, int]]] = {}
    tables = _JumpTables(merged)
    for number, source in enumerate(inputs):
        for section in source.sections:
            place = merged.place(number, section.index)
            if place is None or merged.repeats(number, section.name):
                continue
            out, _ = place
            try:
                for relocation in source.elf.relocations(section):
                    at, index = _relocate(number, section, relocation, place, merged, symbols)
                    tables.move(number, section, relocation.symbol)
                    relocations.setdefault(out.name, []).append((at, index, relocation.type))
            except ElfError as error:
                raise ElfError(f"{source.label}: {error}") from None
    return _File(merged, symbols, types, relocations).content()


def _relocate(
    number: int,
    section: Section,
    relocation: Relocation,
    place: tuple[Out, int],
    merged: Merged,
    symbols: Symbols,
) -> tuple[int, int]:
    """Give the new place and symbol of a relocation.

    What refers to a section as a whole has the place in it in itself, and is changed.
    """
    out, start = place
    symbol = relocation.symbol
    what = f"the relocation at byte {relocation.offset} of {section.name!r}"
    if relocation.type not in _FIELDS:
        raise ElfError(f"{what} is of type {relocation.type}, which is none for code or data")
    index = symbols.index(number, symbol)
    if not symbol.index or index is None:
        raise ElfError(f"{what} refers to {symbol.name or 'nothing'!r}, which is left out")
    if section.executable and relocation.offset % isa.INSN_SIZE:
        raise ElfError(f"{what} is not at an instruction")
    skip, width = _FIELDS[relocation.type]
    if out.type == SHT_NOBITS or relocation.offset + skip + width > section.size:
        raise ElfError(f"{what} changes what is not in the file")
    at = start + relocation.offset
    target = merged.place(number, symbol.section)
    if symbol.type == STT_SECTION and target is not None and target[1]:
        moved = target[1]
        if section.executable and out.content[at] == isa.CALL_CODE:
            moved //= isa.INSN_SIZE  # calls count instructions
        field = slice(at + skip, at + skip + width)
        value = int.from_bytes(out.content[field], "little", signed=True) + moved
        try:
            out.content[field] = value.to_bytes(width, "little", signed=True)
        except OverflowError:
            raise ElfError(f"{what} reaches beyond its {8 * width} bits") from None
    return at, index


class _JumpTables:
    """Jump tables follow the code that uses them.

    Their entries are offsets in the section of that code, and nothing else says which that is.
    (libbpf's linker, as of 1.7, leaves them as they are.)
    """

    def __init__(self, merged: Merged) -> None:
        self._merged = merged
        self._users: dict[tuple[int, int], int] = {}
        self._left: dict[int, int] = {}

    def move(self, number: int, section: Section, symbol: Symbol) -> None:
        """Move what the code of a section refers to, if it is a table and not yet moved.

        Raises:
            ElfError: it is no table of whole entries, or not of this section alone.
        """
        place = self._merged.place(number, symbol.section)
        code = self._merged.place(number, section.index)
        if place is None or code is None or place[0].name != JUMP_TABLES or not section.executable:
            return
        user = self._users.setdefault((number, symbol.index), -section.index)
        if abs(user) != section.index:
            raise ElfError(f"the jump table {symbol.name!r} is used by code in two sections")
        if user > 0:
            return
        self._users[number, symbol.index] = section.index
        out, start = place
        left = self._left.setdefault(number, out.size) - symbol.size
        if symbol.size % _ENTRY or left < 0 or out.type == SHT_NOBITS:
            raise ElfError(f"the jump table {symbol.name!r} is cut off, or overlaps another")
        self._left[number] = left
        at, end = start + symbol.value, start + symbol.value + symbol.size
        entries = Struct(f"<{symbol.size // _ENTRY}Q")
        moved = [(entry + code[1]) % (1 << 64) for entry in entries.unpack(out.content[at:end])]
        out.content[at:end] = entries.pack(*moved)


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """A section, as it is in the file."""

    name: str
    type: int
    content: bytes | bytearray
    size: int
    flags: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entry: int = 0


class _Texts:
    """The names of sections and symbols."""

    def __init__(self) -> None:
        self.content = bytearray(1)
        self._known = {"": 0}

    def add(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = len(self.content)
            self.content += name.encode("utf-8", "surrogateescape") + b"\0"
        return self._known[name]


class _File:
    """The sections, in the order of libbpf's linker: names, symbols, what is linked, the rest."""

    def __init__(
        self,
        merged: Merged,
        symbols: Symbols,
        types: Types,
        relocations: dict[str, list[tuple[int, int, int]]],
    ) -> None:
        self._names = _Texts()
        outs = list(merged.sections.values())
        numbers = {out.name: number for number, out in enumerate(outs, 3)}
        self._parts = [
            _Part(out.name, out.type, out.content, out.size, out.flags, 0, 0, out.align, out.entry)
            for out in outs
        ]
        for name, entries in relocations.items():
            # Number 0 is the symbol that is none.
            content = b"".join(
                _REL.pack(at, (index + 1) << 32 | type) for at, index, type in entries
            )
            self._parts.append(
                _Part(
                    f".rel{name}", SHT_REL, content, len(content), SHF_INFO_LINK, 2,
                    numbers[name], 8, _REL.size,
                )
            )  # fmt: skip
        for name, content in ((".BTF", types.btf), (".BTF.ext", types.ext)):
            if content:
                self._parts.append(_Part(name, SHT_PROGBITS, content, len(content), align=8))
        table = self._symbols(symbols, numbers)
        self._parts[:0] = [
            _Part(".symtab", SHT_SYMTAB, table, len(table), 0, 1, symbols.locals + 1, 8,
                  _SYMBOL.size)
        ]  # fmt: skip
        for part in self._parts:
            self._names.add(part.name)
        self._names.add(".strtab")
        text = bytes(self._names.content)
        self._parts[:0] = [_Part(".strtab", SHT_STRTAB, text, len(text))]
        if len(self._parts) >= SHN_LORESERVE - 1:
            raise ElfError(f"the linked object would have {len(self._parts)} sections")

    def _symbols(self, symbols: Symbols, numbers: dict[str, int]) -> bytes:
        rows = [bytes(_SYMBOL.size)]
        for symbol in symbols.table:
            section = symbol.section
            number = section if isinstance(section, int) else numbers[section.name]
            # The name of a section symbol is that of its section.
            name = "" if symbol.type == STT_SECTION else symbol.name
            rows.append(
                _SYMBOL.pack(
                    self._names.add(name),
                    symbol.bind << 4 | symbol.type,
                    symbol.visibility,
                    number,
                    symbol.value,
                    symbol.size,
                )
            )
        return b"".join(rows)

    def content(self) -> bytes:
        body = bytearray(HEADER.size)
        headers = [bytes(SECTION_HEADER_SIZE)]
        for part in self._parts:
            body += bytes(-len(body) % part.align)
            headers.append(
                _SECTION.pack(
                    self._names.add(part.name), part.type, part.flags, 0, len(body), part.size,
                    part.link, part.info, part.align, part.entry,
                )
            )  # fmt: skip
            if part.type != SHT_NOBITS:
                body += part.content
        body += bytes(-len(body) % 8)
        header = HEADER.pack(
            _IDENT, _ET_REL, _EM_BPF, _EV_CURRENT, 0, 0, len(body), 0, HEADER.size, 0, 0,
            SECTION_HEADER_SIZE, len(headers), 1,
        )  # fmt: skip
        return header + body[HEADER.size :] + b"".join(headers)
