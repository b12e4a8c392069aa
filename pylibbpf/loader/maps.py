"""Map definitions: ``.maps`` by BTF, ``maps`` as structs, sections of data, struct_ops."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING

from pylibbpf.btf.parse import MAX_DEPTH
from pylibbpf.btf.types import (
    Array,
    Datasec,
    Enum,
    Enum64,
    FuncProto,
    Int,
    Kind,
    Member,
    Ptr,
    Var,
    Void,
)
from pylibbpf.btf.types import (
    Struct as BtfStruct,
)
from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.elf import (
    SHT_NOBITS,
    SHT_PROGBITS,
    STT_NOTYPE,
    STT_OBJECT,
    Elf,
    Relocation,
    Section,
    Symbol,
)
from pylibbpf.loader.strict import problem
from pylibbpf.spec import GlobalSpec, MapKind, MapSpec, SectionSpec
from pylibbpf.uapi.enums import MapType
from pylibbpf.uapi.flags import BPF_F_LINK, BPF_F_MMAPABLE, BPF_F_RDONLY_PROG

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf

__all__ = [
    "ARENA_SECTION",
    "btf_maps",
    "data_maps",
    "global_variables",
    "legacy_maps",
    "struct_ops_maps",
]

BTF_SECTION = ".maps"
LEGACY_SECTION = "maps"
STRUCT_OPS_SECTIONS = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")

_LINKAGE = {0: "static", 1: "global", 2: "extern"}
_NOT_GLOBAL = {
    0: "it is static",
    2: "it is extern, and the object that defines it is not linked in (bpftool gen object)",
}


# bpf_map_def of old libbpf (20 bytes); iproute2's bpf_elf_map starts with the same five fields.
_LEGACY = Struct("<IIIII")

_NUMBERS = (
    "type",
    "key_size",
    "value_size",
    "max_entries",
    "map_flags",
    "pinning",
    "map_extra",
    "numa_node",
)


def linkage(number: int) -> str:
    return _LINKAGE.get(number, str(number))


def variables(btf: Btf, section: str) -> Iterator[tuple[Var, int]]:
    """List the variables that BTF places in a section, and the offset it gives them.

    Compilers write the true one for what is static, and 0 for the rest; linkers all of them.
    """
    for type_id in btf.find(section, Kind.DATASEC):
        datasec = btf.type(type_id)
        if not isinstance(datasec, Datasec):
            continue
        for info in datasec.vars:
            var = btf.type(info.type_id)
            if isinstance(var, Var):
                yield var, info.offset


def symbol_of(elf: Elf, section: Section, name: str) -> Symbol | None:
    return elf.by_name.get((section.index, name))


def _placed(elf: Elf, btf: Btf, section: Section) -> list[tuple[int, Symbol | None, Var]]:
    """List the variables of a section in the order of their places, as libbpf sorts them.

    In what a linker wrote (the section has a size in BTF), BTF tells the places, and libbpf does
    not ask the symbols (btf_fixup_datasec).
    """
    found = []
    sizes = [btf.type(each) for each in btf.find(section.name, Kind.DATASEC)]
    linked = any(isinstance(each, Datasec) and each.size for each in sizes)
    for var, offset in variables(btf, section.name):
        symbol = symbol_of(elf, section, var.name)
        place = offset if linked or symbol is None else symbol.value
        found.append((place, symbol, var))
    found.sort(key=lambda each: each[0])
    return found


def btf_maps(elf: Elf, btf: Btf | None) -> Iterator[tuple[MapSpec, Section, int]]:
    """Read the maps of ``.maps``; with each comes where it lies, for the relocations.

    Raises:
        BtfError: the object has no BTF, or a definition makes no sense.
    """
    section = elf.find(BTF_SECTION)
    if section is None:
        return
    if btf is None:
        raise BtfError(
            "the object defines maps in '.maps' but has no BTF to read them by (compile with -g, "
            "and do not strip .BTF)"
        )
    filled = sorted(elf.relocations(section), key=_offset)
    content = elf.content(section)
    known: dict[tuple[int, bytes], MapSpec] = {}
    for at, symbol, var in _placed(elf, btf, section):
        size = btf.sizeof(var.type_id)
        key = (var.type_id, content[at : at + size])
        if key not in known:
            known[key] = _definition(btf, var.name, section.name, *key, inner=False)
        spec = dataclasses.replace(known[key], name=var.name)
        if linkage(var.linkage) != "global":
            spec = dataclasses.replace(spec, problem=_NOT_GLOBAL.get(var.linkage, "of no linkage"))
        member = _values_member(btf, var.type_id)
        if member is not None:
            start = at + member.bit_offset // 8
            # The flexible array is not part of the type's size; the symbol's size has it.
            end = at + max(size, symbol.size if symbol is not None else 0)
            values = tuple(
                ((relocation.offset - start) // 8, relocation.symbol.name)
                for relocation in _within(filled, start, end)
            )
            spec = dataclasses.replace(spec, values=values)
        yield spec, section, at


def _offset(relocation: Relocation) -> int:
    return relocation.offset


def _within(filled: list[Relocation], start: int, end: int) -> list[Relocation]:
    """Cut out the relocations of one variable of a section, from those sorted by offset."""
    low = bisect_left(filled, start, key=_offset)
    return filled[low : bisect_left(filled, end, key=_offset)]


def _values_member(btf: Btf, type_id: int) -> Member | None:
    struct = btf.strip(type_id)
    if not isinstance(struct, BtfStruct):
        return None
    return next((member for member in struct.members if member.name == "values"), None)


def _definition(
    btf: Btf, name: str, section: str, type_id: int, content: bytes, *, inner: bool
) -> MapSpec:
    """Read one definition as libbpf's parse_btf_map_def does, inner ones included."""
    struct = btf.strip(type_id)
    if not isinstance(struct, BtfStruct):
        raise BtfError(f"map {name!r} is defined by {btf.c_name(type_id)!r}, not by a struct")
    numbers = dict.fromkeys(_NUMBERS, 0)
    types: dict[str, int] = {}
    inner_spec = None
    for member in struct.members:
        if member.name in numbers:
            numbers[member.name] = _number(btf, name, member, content)
        elif member.name in ("key", "value"):
            types[member.name], numbers[f"{member.name}_size"] = _pointee(btf, name, member)
        elif member.name == "values" and not inner:
            inner_spec = _inner(btf, name, section, member)
            numbers["value_size"] = numbers["value_size"] or 4  # a descriptor
    return MapSpec(
        name=name,
        kind=MapKind.BTF,
        section=section,
        key_type_id=types.get("key"),
        value_type_id=types.get("value"),
        inner=inner_spec,
        type=numbers["type"],
        key_size=numbers["key_size"],
        value_size=numbers["value_size"],
        max_entries=numbers["max_entries"],
        flags=numbers["map_flags"],
        pinning=numbers["pinning"],
        map_extra=numbers["map_extra"],
        numa_node=numbers["numa_node"],
        problem="" if inner else problem(btf, struct),
    )


def _number(btf: Btf, name: str, member: Member, content: bytes) -> int:
    """Decode ``__uint(field, n)``, a pointer to an array of n, or ``__ulong``, an enumerator.

    The first objects with ``.maps`` (2019, refused by libbpf 1.0) had plain initialized integers.
    """
    some = btf.strip(member.type_id)
    if isinstance(some, Ptr):
        array = btf.strip(some.type_id)
        if isinstance(array, Array):
            return array.nelems
    if isinstance(some, (Enum, Enum64)) and some.values:
        return some.values[0][1]
    if isinstance(some, Int) and not member.bit_offset % 8:
        at = member.bit_offset // 8
        return int.from_bytes(content[at : at + some.size], "little")
    raise BtfError(f"map {name!r}: the field {member.name!r} holds no number")


def _pointee(btf: Btf, name: str, member: Member) -> tuple[int, int]:
    pointer = btf.strip(member.type_id)
    if not isinstance(pointer, Ptr):
        raise BtfError(f"map {name!r}: the field {member.name!r} holds no type")
    return pointer.type_id, btf.sizeof(pointer.type_id)


def _inner(btf: Btf, name: str, section: str, member: Member) -> MapSpec | None:
    array = btf.strip(member.type_id)
    pointer = btf.strip(array.type_id) if isinstance(array, Array) else None
    if not isinstance(pointer, Ptr):
        raise BtfError(f"map {name!r}: the field 'values' is no array of pointers")
    if isinstance(btf.strip(pointer.type_id), FuncProto):
        return None  # an array of programs
    return _definition(btf, f"{name}.inner", section, pointer.type_id, b"", inner=True)


def legacy_maps(elf: Elf) -> Iterator[tuple[MapSpec, Section, int]]:
    """Read ``struct bpf_map_def`` (libbpf before 1.0) and ``struct bpf_elf_map`` (iproute2).

    They lie in the section ``maps``; gobpf has one section ``maps/NAME`` for each.

    Raises:
        ElfError: a definition is cut off.
    """
    places = {
        section.index: section
        for section in elf.sections
        if section.name == LEGACY_SECTION or section.name.startswith(f"{LEGACY_SECTION}/")
        if section.type == SHT_PROGBITS
    }
    found = [
        symbol
        for section in places.values()
        for symbol in elf.symbols_in(section)
        if symbol.type in (STT_OBJECT, STT_NOTYPE) and symbol.name
    ]
    for symbol in sorted(found, key=lambda symbol: (symbol.section, symbol.value)):
        section = places[symbol.section]
        content = elf.content(section)
        if symbol.value + _LEGACY.size > len(content):
            raise ElfError(f"map {symbol.name!r}: its definition goes beyond its section")
        type, key, value, entries, flags = _LEGACY.unpack_from(content, symbol.value)
        yield (
            MapSpec(
                name=symbol.name,
                kind=MapKind.LEGACY,
                section=section.name,
                type=type,
                key_size=key,
                value_size=value,
                max_entries=entries,
                flags=flags,
            ),
            section,
            symbol.value,
        )


def struct_ops_maps(elf: Elf, btf: Btf | None) -> Iterator[tuple[MapSpec, Section, int]]:
    """Read the tables of functions that are to become kernel operations, each a map.

    Raises:
        BtfError: the object has no BTF.
    """
    for section in elf.sections:
        name = section.name
        if name not in STRUCT_OPS_SECTIONS or section.type != SHT_PROGBITS:
            continue
        if btf is None:
            raise BtfError(
                f"the object has operations in {name!r} but no BTF to read them by (compile with "
                "-g, and do not strip .BTF)"
            )
        filled = sorted(elf.relocations(section), key=_offset)
        content = elf.content(section)
        for at, _, var in _placed(elf, btf, section):
            struct = btf.strip(var.type_id)
            places = {}
            if isinstance(struct, BtfStruct):
                places = {m.bit_offset // 8: n for n, m in enumerate(struct.members)}
            size = btf.sizeof(var.type_id)
            values = tuple(
                (places[relocation.offset - at], relocation.symbol.name)
                for relocation in _within(filled, at, at + size)
                if relocation.offset - at in places
            )
            yield (
                MapSpec(
                    name=var.name,
                    kind=MapKind.STRUCT_OPS,
                    section=name,
                    type=MapType.STRUCT_OPS,
                    key_size=4,
                    value_size=size,
                    max_entries=1,
                    flags=BPF_F_LINK if name.endswith(".link") else 0,
                    value_type_id=btf.resolve(var.type_id),
                    values=values,
                    initial=content[at : at + size],
                ),
                section,
                at,
            )


ARENA_SECTION = ".addr_space.1"  # the globals of an arena


def is_data(section: Section) -> bool:
    """Tell whether libbpf would make a map of a section's contents."""
    if section.executable or not section.size:
        return False
    if section.name == ARENA_SECTION:
        return section.type == SHT_PROGBITS
    first = section.name.split(".")[1:2]
    names = ["bss"] if section.type == SHT_NOBITS else ["data", "rodata"]
    known = section.type in (SHT_PROGBITS, SHT_NOBITS) and section.name.startswith(".")
    return known and bool(first) and first[0] in names


def data_maps(elf: Elf, btf: Btf | None) -> Iterator[tuple[MapSpec, SectionSpec, Section]]:
    """Make a map of each section of global data.

    libbpf puts the first letters of the object's name before the section's; here it is bare.
    """
    for section in elf.sections:
        if not is_data(section):
            continue
        read_only = section.name.startswith(".rodata")
        spec = MapSpec(
            name=section.name,
            kind=MapKind.DATA,
            section=section.name,
            type=MapType.ARRAY,
            key_size=4,
            value_size=section.size,
            max_entries=1,
            flags=(BPF_F_MMAPABLE if _is_shown(elf, btf, section) else 0)
            | (BPF_F_RDONLY_PROG if read_only else 0),
        )
        yield spec, SectionSpec(section.name, elf.content(section), read_only), section


def _is_shown(elf: Elf, btf: Btf | None, section: Section) -> bool:
    """Tell whether user space may see one of a section's variables (map_is_mmapable)."""
    for var, _ in variables(btf, section.name) if btf is not None else ():
        symbol = symbol_of(elf, section, var.name)
        if _LINKAGE.get(var.linkage) != "static" and not (symbol is not None and symbol.hidden):
            return True
    return False


def _is_void(btf: Btf, type_id: int) -> bool:
    """Tell whether a type, or that of an array's elements, says nothing."""
    some = btf.strip(type_id)
    for _ in range(MAX_DEPTH):
        if not isinstance(some, Array):
            break
        some = btf.strip(some.type_id)
    return isinstance(some, Void)


def global_variables(elf: Elf, btf: Btf | None, section: Section) -> Iterator[GlobalSpec]:
    """List the variables of a section of data: by BTF, or by symbols where there is none.

    Raises:
        ElfError: a variable lies outside its section.
    """
    known = set()
    total = 0
    sizes = {(symbol.name, symbol.value): symbol.size for symbol in elf.symbols_in(section)}
    for var, offset in variables(btf, section.name) if btf is not None else ():
        symbol = symbol_of(elf, section, var.name)
        # In a linked object, several that are static may have one name.
        own = _LINKAGE.get(var.linkage) == "static" and (var.name, offset) in sizes
        at = symbol.value if symbol is not None and not own else offset
        type_id: int | None = var.type_id
        if btf is None or _is_void(btf, var.type_id):
            # clang knows no type of a float before version 12.
            size, type_id = sizes.get((var.name, at), 0), None
        else:
            size = btf.sizeof(var.type_id)
        if 0 < sizes.get((var.name, at), 0) < size:
            # clang takes a static array apart of which only some elements are used (GlobalOpt),
            # and still gives each piece the type of the whole.
            size, type_id = sizes[var.name, at], None
        known.add(var.name)
        total += size
        if total > 2 * section.size:
            raise ElfError(f"the variables of {section.name!r} overlap")
        yield _inside(
            section,
            GlobalSpec(var.name, section.name, at, size, type_id, linkage(var.linkage)),
        )
    for symbol in elf.symbols_in(section):
        # Private constants of the compiler have no type and no BTF.
        if symbol.type == STT_OBJECT and symbol.name and symbol.name not in known:
            scope = "global" if symbol.bind else "static"
            yield _inside(
                section,
                GlobalSpec(symbol.name, section.name, symbol.value, symbol.size, None, scope),
            )


def _inside(section: Section, variable: GlobalSpec) -> GlobalSpec:
    if variable.offset + variable.size > section.size:
        raise ElfError(
            f"the variable {variable.name!r} ends at byte {variable.offset + variable.size} of "
            f"{section.name!r}, which has {section.size}"
        )
    return variable
