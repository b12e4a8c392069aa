"""From the bytes of an object file to an :class:`~pylibbpf.spec.ObjectSpec`."""

from __future__ import annotations

import dataclasses
import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from operator import attrgetter
from typing import TypeVar

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Datasec, Func, Kind, Var
from pylibbpf.errors import ElfError
from pylibbpf.isa import insn as isa
from pylibbpf.loader import maps as definitions
from pylibbpf.loader.elf import (
    R_BPF_64_32,
    R_BPF_64_64,
    SHN_LORESERVE,
    SHN_UNDEF,
    SHT_PROGBITS,
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STT_NOTYPE,
    STT_SECTION,
    Elf,
    Relocation,
    Section,
    Symbol,
)
from pylibbpf.loader.ext import BtfExt
from pylibbpf.loader.header import read_file
from pylibbpf.spec import (
    CoreRelocation,
    ExternKind,
    ExternSpec,
    FunctionSpec,
    GlobalSpec,
    JumpTable,
    Line,
    MapSpec,
    ObjectSpec,
    Reference,
    ReferenceKind,
    SectionSpec,
)

__all__ = ["read", "source_line"]

_SUBPROGRAMS = ".text"
_JUMP_TABLES = ".jumptables"

# More maps or functions than this are no object but an attempt to keep us busy.
_MOST, _MOST_MAPS = 2048, 1024

_Entry = TypeVar("_Entry", Reference, Line, CoreRelocation)


def read(source: bytes | bytearray | memoryview | str | os.PathLike[str]) -> ObjectSpec:
    """Take a BPF object apart, given its bytes or its path.

    Raises:
        ElfError: the file is no BPF object, or a damaged one.
        BtfError: its type information is damaged, or missing where it is needed.
        OSError: the file cannot be read.
    """
    return _Reader(Elf(_bytes_of(source))).read()


def source_line(
    source: ObjectSpec | bytes | str | os.PathLike[str], program: str, insn: int
) -> tuple[str, int, str] | None:
    """Give file, line number and text of the C line of an instruction of a program.

    ``insn`` counts like the verifier does: past the program's own end come the functions that
    were linked to it. None where the object does not tell.
    """
    from pylibbpf.loader.link import Linker

    spec = source if isinstance(source, ObjectSpec) else read(source)
    function = spec.function(program)
    if function is None or insn < 0:
        return None
    if insn >= function.insn_count:
        where = Linker(spec).link(function).origin(insn)
        if where is None:
            return None
        function, insn = where
    line = function.line(insn)
    return (line.file, line.number, line.text.strip()) if line is not None else None


def _bytes_of(source: bytes | bytearray | memoryview | str | os.PathLike[str]) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    return read_file(source)


class _Reader:
    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        section = elf.find(".BTF")
        data = elf.content(section) if section is not None else b""
        self.btf = Btf(data) if section is not None else None
        ext = elf.find(".BTF.ext")
        self.ext = BtfExt.empty()
        if ext is not None and self.btf is not None:
            self.ext = BtfExt.parse(elf.content(ext), self.btf)
        self.data: dict[int, SectionSpec] = {}
        self.maps: list[MapSpec] = []
        self.map_at: dict[tuple[int, int], str] = {}
        self.functions: dict[int, list[Symbol]] = {}
        self.starts: dict[int, list[int]] = {}
        self.count = 0

    def read(self) -> ObjectSpec:
        elf, btf = self.elf, self.btf
        self._read_maps()
        named: set[str] = set()
        for section in elf.sections:
            if section.executable and section.size:
                if section.name in named:  # by which .BTF.ext and we tell them apart
                    raise ElfError(f"there are two sections of code named {section.name!r}")
                named.add(section.name)
                self._find_functions(section)
        functions = [
            function
            for section in elf.sections
            if section.index in self.functions
            for function in self._read_functions(section)
        ]
        variables: list[GlobalSpec] = []
        for section in elf.sections:
            if section.index in self.data:
                variables += definitions.global_variables(elf, btf, section)
        return ObjectSpec(
            license=self._license(),
            version=self._version(),
            btf=btf,
            has_dwarf=any(s.name == ".debug_info" for s in elf.sections),
            functions=tuple(functions),
            maps=tuple(self.maps),
            globals=tuple(variables),
            sections=tuple(self.data.values()),
            externs=tuple(self._externs(functions)),
            jump_tables=tuple(self._jump_tables()),
        )

    def _license(self) -> str | None:
        section = self.elf.find("license")
        if section is None:
            return None
        return self.elf.content(section).partition(b"\0")[0].decode("utf-8", "backslashreplace")

    def _version(self) -> int | None:
        section = self.elf.find("version")
        if section is None or section.size != 4:
            return None
        return int.from_bytes(self.elf.content(section), "little")

    def _jump_tables(self) -> Iterator[JumpTable]:
        """Read the tables of computed gotos; libbpf 1.7 makes a map of each (create_jt_map)."""
        section = self.elf.find(_JUMP_TABLES)
        if section is None or section.type != SHT_PROGBITS or section.executable:
            return
        content = self.elf.content(section)
        total = 0
        for symbol in self.elf.symbols_in(section):
            if symbol.type == STT_SECTION or not symbol.size:
                continue
            data = content[symbol.value : symbol.value + symbol.size]
            total += symbol.size
            if symbol.value % 8 or symbol.size % 8 or len(data) < symbol.size:
                raise ElfError(f"the jump table {symbol.name!r} is not whole in {_JUMP_TABLES!r}")
            if total > 2 * section.size:
                raise ElfError(f"the jump tables of {_JUMP_TABLES!r} overlap")
            targets = tuple(target for (target,) in struct.iter_unpack("<Q", data))
            yield JumpTable(symbol.name, symbol.value, targets)

    def _read_maps(self) -> None:
        elf, btf = self.elf, self.btf
        # The order is libbpf's (bpf_object__init_maps), which numbers them.
        for source in (definitions.btf_maps(elf, btf), definitions.legacy_maps(elf)):
            for spec, section, offset in source:
                self._add_map(spec)
                self.map_at[section.index, offset] = spec.name
        for spec, data, section in definitions.data_maps(elf, btf):
            self._add_map(spec)
            self.data[section.index] = data
        for spec, section, offset in definitions.struct_ops_maps(elf, btf):
            self._add_map(spec)
            self.map_at[section.index, offset] = spec.name

    def _add_map(self, spec: MapSpec) -> None:
        if len(self.maps) >= _MOST_MAPS:
            raise ElfError(f"the object defines more than {_MOST_MAPS} maps")
        self.maps.append(spec)

    def _find_functions(self, section: Section) -> None:
        """Find where the functions of a section of code start.

        Raises:
            ElfError: one lies outside the section, or two overlap.
        """
        symbols = self.elf.symbols_in(section)
        found = [s for s in symbols if s.type == STT_FUNC]
        if not found:  # up to version 7, clang gave functions no type, and named its labels
            found = [s for s in symbols if s.type == STT_NOTYPE and s.name]
            found = [s for s in found if not s.name.startswith(("LBB", ".L"))]
        found.sort(key=lambda symbol: (symbol.value, symbol.size))
        if section.size % isa.INSN_SIZE:
            raise ElfError(
                f"section {section.name!r} has {section.size} bytes: not whole instructions"
            )
        complete: list[Symbol] = []
        for symbol, following in zip_longest(found, found[1:]):
            end = following.value if following is not None else section.size
            size = symbol.size or max(0, end - symbol.value)
            if symbol.value % isa.INSN_SIZE or size % isa.INSN_SIZE:
                raise ElfError(f"function {symbol.name!r} is not made of whole instructions")
            if not size or symbol.value + size > section.size:
                raise ElfError(
                    f"function {symbol.name!r} ends at byte {symbol.value + size} of "
                    f"{section.name!r}, which has {section.size}"
                )
            before = complete[-1] if complete else symbol
            alias = (symbol.value, size) == (before.value, before.size)
            if complete and symbol.value < before.value + before.size and not alias:
                raise ElfError(
                    f"functions {before.name!r} and {symbol.name!r} overlap in {section.name!r}"
                )
            complete.append(dataclasses.replace(symbol, size=size))
        self.functions[section.index] = complete
        self.count += len(complete)
        if self.count > _MOST:
            raise ElfError(f"the object defines more than {_MOST} functions")
        self.starts[section.index] = [symbol.value for symbol in complete]

    def _function_at(self, section: int, offset: int) -> str | None:
        starts = self.starts.get(section, [])
        at = bisect_left(starts, offset)
        if at < len(starts) and starts[at] == offset:
            return self.functions[section][at].name
        return None

    def _read_functions(self, section: Section) -> Iterator[FunctionSpec]:
        content = self.elf.content(section)
        references = sorted(self._references(section, content), key=lambda r: r.insn)
        lines = self.ext.lines.get(section.name, [])
        core = sorted(self.ext.core.get(section.name, []), key=lambda r: r.insn)
        types = self.ext.functions.get(section.name, {})
        parts: dict[int, tuple[bytes, tuple[Reference, ...], tuple[Line, ...],
                               tuple[CoreRelocation, ...]]] = {}  # fmt: skip
        for symbol in self.functions[section.index]:
            start, end = symbol.value, symbol.value + symbol.size
            if start not in parts:  # aliases share theirs
                parts[start] = (
                    content[start:end],
                    _between(references, start, end),
                    _between(lines, start, end),
                    _between(core, start, end),
                )
            code, refs, own_lines, own_core = parts[start]
            type_id = types.get(start)
            func = self.btf.type(type_id) if self.btf is not None and type_id else None
            scope = definitions.linkage(func.linkage) if isinstance(func, Func) else None
            yield FunctionSpec(
                name=symbol.name,
                section=section.name,
                offset=start,
                code=code,
                # libbpf refuses static functions outside of .text; other loaders link them.
                program=section.name != _SUBPROGRAMS and symbol.bind != STB_LOCAL,
                linkage=scope or ("global" if symbol.bind else "static"),
                type_id=type_id,
                references=refs,
                lines=own_lines,
                core=own_core,
                hidden=symbol.hidden,
            )

    def _references(self, section: Section, content: bytes) -> Iterator[Reference]:
        """List what the code of a section refers to; ``insn`` is a byte offset as yet."""
        relocated = set()
        for relocation in self.elf.relocations(section):
            relocated.add(relocation.offset)
            yield self._reference(section, content, relocation)
        # Calls within a section need no relocation.
        for offset in range(0, len(content), isa.INSN_SIZE):
            if content[offset] != isa.CALL_CODE or offset in relocated:
                continue
            if content[offset + 1] >> 4 == isa.PSEUDO_CALL:
                imm = int.from_bytes(content[offset + 4 : offset + 8], "little", signed=True)
                target = offset + (1 + imm) * isa.INSN_SIZE
                yield self._to_function(section, offset, section.index, target)

    def _reference(self, section: Section, content: bytes, relocation: Relocation) -> Reference:
        offset, symbol = relocation.offset, relocation.symbol
        if offset % isa.INSN_SIZE or relocation.type not in (R_BPF_64_64, R_BPF_64_32):
            raise ElfError(
                f"relocation of type {relocation.type} at byte {offset} of {section.name!r}: "
                "not one for code"
            )
        code = content[offset]
        imm = int.from_bytes(content[offset + 4 : offset + 8], "little", signed=True)
        imm += relocation.addend
        if symbol.section == SHN_UNDEF:
            return Reference(offset, ReferenceKind.EXTERN, symbol.name)
        if symbol.section >= SHN_LORESERVE:
            raise ElfError(f"{symbol.name!r} is used in {section.name!r} but lies in no section")
        if code == isa.CALL_CODE:
            target = symbol.value + (imm + 1) * isa.INSN_SIZE
            return self._to_function(section, offset, symbol.section, target)
        if code != isa.LD_IMM64:
            raise ElfError(
                f"relocation at byte {offset} of {section.name!r}, where no instruction takes one"
            )
        place = symbol.value + imm
        name = self.map_at.get((symbol.section, place))
        if name is not None:
            return Reference(offset, ReferenceKind.MAP, name)
        where = self.elf.sections[symbol.section]
        if symbol.section in self.data:
            return Reference(offset, ReferenceKind.DATA, where.name, place)
        if symbol.section in self.functions:
            return self._to_function(section, offset, symbol.section, place)
        if where.name == _JUMP_TABLES:
            return Reference(offset, ReferenceKind.JUMP_TABLE, symbol.name, symbol.value)
        raise ElfError(
            f"code in {section.name!r} refers to {symbol.name or place!r} in section "
            f"{where.name!r}, where no map or variable is"
        )

    def _to_function(self, section: Section, offset: int, target: int, place: int) -> Reference:
        name = self._function_at(target, place)
        where = self.elf.sections[target].name
        if name is None:
            raise ElfError(
                f"a call at byte {offset} of {section.name!r} goes to byte {place} of section "
                f"{where!r}, where no function starts"
            )
        return Reference(offset, ReferenceKind.FUNCTION, name, place, where)

    def _externs(self, functions: Iterable[FunctionSpec]) -> Iterator[ExternSpec]:
        weak = {
            s.name: s.bind == STB_WEAK
            for s in self.elf.symbols
            if s.section == SHN_UNDEF and s.name
        }
        known = set()
        btf = self.btf
        for section in (".kconfig", ".ksyms"):
            for datasec_id in btf.find(section, Kind.DATASEC) if btf is not None else ():
                datasec = btf.type(datasec_id) if btf is not None else None
                for info in datasec.vars if isinstance(datasec, Datasec) else ():
                    some = btf.type(info.type_id) if btf is not None else None
                    if not isinstance(some, (Var, Func)):
                        continue
                    kind = ExternKind.CONFIG if section == ".kconfig" else ExternKind.VARIABLE
                    if isinstance(some, Func):
                        kind = ExternKind.FUNCTION
                    known.add(some.name)
                    yield ExternSpec(some.name, kind, some.type_id, weak.get(some.name, False))
        used = {
            r.target: r
            for function in functions
            for r in function.references
            if r.kind is ReferenceKind.EXTERN
        }
        for name in used:
            if name not in known:
                yield ExternSpec(name, ExternKind.OBJECT, None, weak.get(name, False))


def _between(entries: list[_Entry], start: int, end: int) -> tuple[_Entry, ...]:
    """Cut out what belongs to one function, and count from its start, in instructions."""
    low = bisect_left(entries, start, key=_offset)
    high = bisect_right(entries, end - 1, key=_offset)
    if low == high:
        return ()
    # All of one class, with insn first. dataclasses.replace takes five times as long.
    cls = type(entries[low])
    rest = attrgetter(*[each.name for each in dataclasses.fields(cls)][1:])
    return tuple(
        [cls((entry.insn - start) // isa.INSN_SIZE, *rest(entry)) for entry in entries[low:high]]
    )


def _offset(entry: Reference | Line | CoreRelocation) -> int:
    return entry.insn
