"""The BTF of the linked object: types of all inputs, each once, and what lies where."""

from __future__ import annotations

import dataclasses

from pylibbpf.btf.dedup import Pool
from pylibbpf.btf.rows import Strings, encode, kind_of
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError
from pylibbpf.loader.elf import SHN_UNDEF
from pylibbpf.loader.static_linker.ext import NAME_PLACES, TYPE_PLACES, encode_ext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.rows import Rows
    from pylibbpf.loader.static_linker.ext import Table
    from pylibbpf.loader.static_linker.inputs import Input
    from pylibbpf.loader.static_linker.sections import Merged
    from pylibbpf.loader.static_linker.symbols import Symbols

    Variable = tuple[int, int, int]  # node, offset, size

__all__ = ["Types", "merge_types"]


@dataclasses.dataclass(frozen=True, slots=True)
class Types:
    """``.BTF`` and ``.BTF.ext``; empty where no input has any."""

    btf: bytes = b""
    ext: bytes = b""


def merge_types(inputs: list[Input], merged: Merged, symbols: Symbols) -> Types:
    """Merge the BTF of all inputs.

    Raises:
        BtfError: what it says of sections or of types makes no sense.
    """
    if all(source.types is None for source in inputs):
        return Types()
    pool = Pool()
    bases = [0 if source.types is None else pool.add(source.types) for source in inputs]
    _unite(inputs, symbols, pool, bases)
    datasecs: dict[str, list[Variable]] = {}
    for number, source in enumerate(inputs):
        for type_id, section in source.datasecs.items():
            assert source.types is not None  # it has sections
            pool.drop(bases[number] + type_id)
            row = source.types.types[type_id]
            if merged.repeats(number, section):
                for at in range(3, len(row), 3):
                    pool.drop(bases[number] + row[at])
                continue
            variables = datasecs.setdefault(section, [])
            for at in range(3, len(row), 3):
                entry = row[at], row[at + 1], row[at + 2]
                try:
                    found = _variable(number, source, section, entry, merged, symbols)
                except BtfError as error:
                    raise BtfError(f"{source.label}: {error}") from None
                if found is not None:
                    variables.append((bases[number] + found[0], *found[1:]))
    for section, variables in datasecs.items():
        out = merged.sections.get(section)
        if out is not None:
            variables.sort(key=lambda variable: variable[1])
        if section != ".extern":
            name = section.encode("utf-8", "surrogateescape")
            pool.add_datasec(name, out.size if out is not None else 0, variables)
    strings = Strings()
    rows, ids = pool.finish(strings)
    tables = _tables(inputs, merged, bases, ids, strings)
    ext = encode_ext(tables, strings) if any(table for table in tables) else b""
    return Types(encode(rows, strings), ext)


def _unite(inputs: list[Input], symbols: Symbols, pool: Pool, bases: list[int]) -> None:
    """Let every declaration be the one that won."""
    for one in symbols.globals.values():
        number, _ = one.winner
        ours = inputs[number].declarations.get(one.name)
        if ours is None:
            continue
        target = bases[number] + ours.type_id
        for other, _ in one.declared[1:]:
            theirs = inputs[other].declarations.get(one.name)
            if theirs is not None and (other, theirs.type_id) != (number, ours.type_id):
                pool.alias(bases[other] + theirs.type_id, target)


def _variable(
    number: int,
    source: Input,
    section: str,
    entry: Variable,
    merged: Merged,
    symbols: Symbols,
) -> Variable | None:
    """Move a variable of a section to where it is now; None: another one has won."""
    assert source.types is not None  # it has sections
    type_id, offset, size = entry
    row = source.types.types[type_id]
    name = source.types.name(type_id).decode("utf-8", "backslashreplace")
    found = source.by_name.get(section)
    place = merged.place(number, found.index) if found is not None else None
    start = place[1] if place is not None else 0
    one = symbols.globals.get(name)
    declaration = source.declarations.get(name)
    if one is not None and declaration is not None and declaration.type_id == type_id:
        winner, symbol = one.winner
        if number in one.files and winner != number:
            return None
        # A compiler leaves the offset to the linker; for what is static, it knows it.
        if winner == number and symbol.section != SHN_UNDEF:
            offset = symbol.value
    if found is not None and kind_of(row) == Kind.VAR and offset + size > found.size:
        raise BtfError(
            f"the variable {name!r} ends at byte {offset + size} of {section!r}, which has "
            f"{found.size}"
        )
    return type_id, start + offset, size


def _tables(
    inputs: list[Input], merged: Merged, bases: list[int], ids: list[int], strings: Strings
) -> tuple[Table, ...]:
    """Let the records of .BTF.ext follow their code and their types."""
    tables: tuple[Table, ...] = ({}, {}, {})
    for number, source in enumerate(inputs):
        types = source.types
        if types is None:
            continue
        for table, given, type_places, name_places in zip(
            tables, source.ext.tables, TYPE_PLACES, NAME_PLACES, strict=True
        ):
            for name, records in given.items():
                section = source.by_name.get(name)
                place = merged.place(number, section.index) if section is not None else None
                if section is None or place is None:
                    raise BtfError(
                        f"{source.label}: .BTF.ext is about a section {name!r}, which is not there"
                    )
                for record in records:
                    if record[0] >= section.size:
                        raise BtfError(
                            f"{source.label}: .BTF.ext is about byte {record[0]} of {name!r}, "
                            f"which has {section.size}"
                        )
                    words = [record[0] + place[1], *record[1:]]
                    for at in type_places:
                        words[at] = _id(types, bases[number], words[at], ids)
                    for at in name_places:
                        words[at] = strings.add(types.string(words[at]))
                    table.setdefault(name, []).append(tuple(words))
    return tables


def _id(types: Rows, base: int, type_id: int, ids: list[int]) -> int:
    new = ids[base + type_id] if type_id else 0
    if type_id and not new:
        raise BtfError(f".BTF.ext refers to BTF type {type_id}, which is no type of its own")
    return new
