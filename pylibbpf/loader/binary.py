"""What a probe needs to know of a program or library: its code, its functions, its USDT probes.

A reader of its own for the few tables that matter (System V ABI, chapters 4 and 5): it looks at
files of any size, which are mapped and not read, and copies no more than names.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

from pylibbpf.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Binary", "Function", "Segment"]

_PT_LOAD, _PF_X = 1, 1
_SHT_SYMTAB, _SHT_NOTE, _SHT_NOBITS, _SHT_DYNSYM = 2, 7, 8, 11
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_USDT_NOTE = 3  # NT_STAPSDT, of owner "stapsdt"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file that is mapped as code."""

    offset: int
    size: int
    address: int


@dataclass(frozen=True, slots=True)
class Function:
    """A function's place in the file, in bytes; size 0 where the file does not say it.

    ``indirect``: at that place is what chooses the function when the program starts (IFUNC).
    """

    name: str
    offset: int
    size: int
    indirect: bool


@dataclass(frozen=True, slots=True)
class _Section:
    name: int
    kind: int
    offset: int
    size: int
    link: int
    entry: int


class Binary:
    """An ELF program or library. Use it as a context manager.

    Raises:
        ElfError: not an ELF file, or damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._data: mmap.mmap | bytes = b""
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    def __enter__(self) -> Binary:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_header(self) -> None:
        ident = self._data[:16]
        if ident[:4] != b"\x7fELF":
            raise ElfError(f"{self.path}: not an ELF file")
        if len(ident) < 16 or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ElfError(f"{self.path}: its ELF header is damaged")
        self.wide = ident[4] == 2
        self._order = "<" if ident[5] == 1 else ">"
        header = self._unpack("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH", 16)
        (self.kind, self.machine, _, _, self._ph, self._sh) = header[:6]
        self._ph_size, self._ph_count, self._sh_size, self._sh_count, self._sh_names = header[8:]

    @property
    def big_endian(self) -> bool:
        return self._order == ">"

    def _unpack(self, layout: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + layout, self._data, at)
        except struct.error:
            raise ElfError(f"{self.path}: it ends before its tables do") from None

    # ---- code

    def code(self) -> list[Segment]:
        """The parts of the file that are mapped as code."""
        found = []
        for index in range(self._ph_count):
            at = self._ph + index * self._ph_size
            if self.wide:
                kind, flags, offset, address, _, size, _, _ = self._unpack("IIQQQQQQ", at)
            else:
                kind, offset, address, _, size, _, flags, _ = self._unpack("IIIIIIII", at)
            if kind == _PT_LOAD and flags & _PF_X and size:
                found.append(Segment(offset, size, address))
        return found

    # ---- symbols

    def _sections(self) -> list[_Section]:
        layout = "IIQQQQIIQQ" if self.wide else "IIIIIIIIII"
        found = []
        for index in range(self._sh_count if self._sh else 0):
            row = self._unpack(layout, self._sh + index * self._sh_size)
            found.append(_Section(row[0], row[1], row[4], row[5], row[6], row[9]))
        return found

    def content(self, name: str, largest: int) -> bytes | None:
        """The bytes of the first section of this name; None where there is none in the file.

        Raises:
            ElfError: it has more than ``largest`` bytes, or the file is damaged.
        """
        sections = self._sections()
        if not sections:
            return None
        if self._sh_names >= len(sections):
            raise ElfError(f"{self.path}: the names of its sections are missing")
        names = sections[self._sh_names]
        for each in sections:
            if each.kind in (0, _SHT_NOBITS) or self._string(names, each.name) != name:
                continue
            if each.size > largest:
                raise ElfError(f"{self.path}: section {name} has {each.size} bytes")
            found = self._data[each.offset : each.offset + each.size]
            if len(found) < each.size:
                raise ElfError(f"{self.path}: it ends before its section {name} does")
            return found
        return None

    @property
    def stripped(self) -> bool:
        """Whether only exported functions have names here."""
        return not any(each.kind == _SHT_SYMTAB for each in self._sections())

    def functions(self) -> Iterator[Function]:
        """Each function that has a name and is in this file, by name as often as it comes."""
        code = self.code()
        sections = self._sections()
        for table in sections:
            if table.kind not in (_SHT_SYMTAB, _SHT_DYNSYM) or table.link >= len(sections):
                continue
            names = sections[table.link]
            layout = struct.Struct(self._order + ("IBBHQQ" if self.wide else "IIIBBH"))
            end = table.offset + table.size // layout.size * layout.size
            rows = self._data[table.offset : end]
            if len(rows) % layout.size:
                raise ElfError(f"{self.path}: it ends before its tables do")
            for row in layout.iter_unpack(rows):
                if self.wide:
                    name, info, _, where, value, size = row
                else:
                    name, value, size, info, _, where = row
                if where == 0 or info & 15 not in (_STT_FUNC, _STT_GNU_IFUNC):
                    continue
                for part in code:
                    if part.address <= value < part.address + part.size:
                        offset = value - part.address + part.offset
                        indirect = info & 15 == _STT_GNU_IFUNC
                        yield Function(self._string(names, name), offset, size, indirect)

    def _string(self, names: _Section, at: int) -> str:
        start = names.offset + at
        end = self._data.find(b"\0", start, names.offset + names.size)
        return os.fsdecode(self._data[start : end if end >= 0 else start])

    # ---- USDT probes

    def usdt(self) -> list[tuple[str, str]]:
        """Provider and name of each USDT probe, once (section .note.stapsdt)."""
        found: dict[tuple[str, str], None] = {}
        width = 8 if self.wide else 4
        for section in self._sections():
            if section.kind != _SHT_NOTE:
                continue
            at, end = section.offset, section.offset + section.size
            while at + 12 <= end:
                owner, size, kind = self._unpack("III", at)
                name = at + 12
                body = name + (owner + 3 & ~3)
                at = body + (size + 3 & ~3)
                if kind != _USDT_NOTE or self._data[name : name + owner] != b"stapsdt\0":
                    continue
                # Three addresses (place, base, semaphore), then provider, name, arguments.
                texts = bytes(self._data[body + 3 * width : body + size]).split(b"\0")
                if len(texts) >= 2:
                    found[os.fsdecode(texts[0]), os.fsdecode(texts[1])] = None
        return list(found)
