"""What older libbpfs make otherwise of an object than the newest: which change came when.

Read in the sources of libbpf 1.1.2, 1.4.6 and 1.7.0 (libbpf.c), and seen when their instructions
were compared. Those in between were not read: their rows follow release notes where these tell, and
are inferred otherwise (the one of 1.6 is in Linux 6.12.117's copy, which calls itself 1.5). When
SEC() names came is in :mod:`pylibbpf.uapi.sections`.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import TYPE_CHECKING

from pylibbpf.btf.types import Array, Enum64, Ptr, Struct
from pylibbpf.btf.types import Enum as BtfEnum
from pylibbpf.errors import ElfError
from pylibbpf.loader.maps import ARENA_SECTION, BTF_SECTION, variables
from pylibbpf.spec import MapKind, ReferenceKind
from pylibbpf.uapi.sections import section

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf
    from pylibbpf.spec import FunctionSpec, MapSpec, ObjectSpec, Reference
    from pylibbpf.uapi.sections import Section

__all__ = ["NEWEST", "OLDEST", "Change", "Release"]

# Of 1.0, the sources were not read. Of 1.8, only the SEC() names are known; in all else it is 1.7.
OLDEST = (1, 1)
NEWEST = (1, 8)


class Change(Enum):
    """What a libbpf learned, and with which release."""

    LINKED_STRUCT_OPS = (1, 2), "'.struct_ops.link' holds struct_ops maps"
    POISONED_FUNCTIONS = (1, 2), "the call of a missing weak function is one no kernel accepts"
    MODULE_ADDRESSES = (1, 2), "the address of a module's function is told with the module"
    FUNCTION_FLAVOURS = (1, 3), "___flavour in a function's name is ignored; a weak one may differ"
    EXCEPTION_CALLBACKS = (1, 3), "exception callbacks are linked behind programs"
    OPTIONAL_STRUCT_OPS = (1, 4), "'?.struct_ops' holds struct_ops maps; one may be left out"
    ADAPTED_STRUCT_OPS = (
        (1, 4),
        "struct_ops go by the kernel's types: flavours, modules, what it lacks",
    )
    STRUCT_OPS_TYPES = (1, 4), "a struct_ops map has the id of its struct"
    WIDE_MAP_EXTRA = (1, 4), "map_extra may be __ulong()"
    ARENA_VARIABLES = (1, 4), "an object may have one arena, and variables in it"
    NO_LONE_PROGRAM = (1, 6), "an only function, in .text, is no program"
    VARIABLES_AT_ARENA_END = (1, 7), "the variables of an arena are at its end"
    JUMP_TABLES = (1, 7), "jump tables become maps"

    def __init__(self, since: tuple[int, int], what: str) -> None:
        self.since = since
        self.what = what


_STRUCT_OPS = {
    ".struct_ops.link": Change.LINKED_STRUCT_OPS,
    "?.struct_ops": Change.OPTIONAL_STRUCT_OPS,
    "?.struct_ops.link": Change.OPTIONAL_STRUCT_OPS,
}


class Release:
    """One release of libbpf, by major and minor version.

    Raises:
        ValueError: it is older or newer than those that are known.
    """

    __slots__ = ("version",)

    def __init__(self, version: tuple[int, int]) -> None:
        if not OLDEST <= version <= NEWEST:
            known = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
            raise ValueError(f"libbpf {version[0]}.{version[1]} is none of those known: {known}")
        self.version = version

    def __str__(self) -> str:
        return f"libbpf {self.version[0]}.{self.version[1]}"

    def has(self, change: Change) -> bool:
        return self.version >= change.since

    def section(self, name: str) -> Section | None:
        """The row of a SEC() name; None where this release has none."""
        row = section(name)
        return row if row is not None and row.libbpf <= self.version else None

    def seen(self, spec: ObjectSpec) -> ObjectSpec:
        """An object as this release sees it: sections that it does not know are not there.

        Raises:
            ElfError: code refers to what lies in one of them.
        """
        changed = dataclasses.replace(
            spec,
            functions=self._functions(spec),
            maps=tuple(self._map(spec.btf, each) for each in spec.maps if self._knows(each)),
            jump_tables=spec.jump_tables if self.has(Change.JUMP_TABLES) else (),
        )
        known = {each.name for each in changed.maps}
        for function in spec.functions:
            for reference in function.references:
                if not self._finds(reference, known):
                    raise ElfError(
                        f"{function.name!r} refers to {reference.target!r}, which lies in a "
                        f"section that {self} does not know"
                    )
        return changed

    def _functions(self, spec: ObjectSpec) -> tuple[FunctionSpec, ...]:
        """An only function is a program, with or without SEC() (prog_is_subprog)."""
        only = spec.functions[0] if len(spec.functions) == 1 else None
        if only is None or only.section != ".text" or self.has(Change.NO_LONE_PROGRAM):
            return spec.functions
        return (dataclasses.replace(only, program=True),)

    def _knows(self, spec: MapSpec) -> bool:
        if spec.kind is MapKind.STRUCT_OPS:
            change = _STRUCT_OPS.get(spec.section)
            return change is None or self.has(change)
        if spec.kind is MapKind.DATA and spec.section == ARENA_SECTION:
            return self.has(Change.ARENA_VARIABLES)
        return True

    def _map(self, btf: Btf | None, spec: MapSpec) -> MapSpec:
        wide = spec.kind is MapKind.BTF and not self.has(Change.WIDE_MAP_EXTRA)
        if wide and btf is not None and not spec.problem and _has_wide_extra(btf, spec.name):
            problem = f"{self} knows no __ulong(map_extra, ...), only __uint()"
            return dataclasses.replace(spec, problem=problem)
        return spec

    def _finds(self, reference: Reference, maps: set[str]) -> bool:
        if reference.kind in (ReferenceKind.MAP, ReferenceKind.DATA):
            return reference.target in maps
        return reference.kind is not ReferenceKind.JUMP_TABLE or self.has(Change.JUMP_TABLES)


def _has_wide_extra(btf: Btf, name: str) -> bool:
    """Whether a definition in .maps, or that of the maps in it, has map_extra as an enumerator."""
    waiting = [var.type_id for var, _ in variables(btf, BTF_SECTION) if var.name == name]
    for type_id in waiting:
        struct = btf.strip(type_id)
        for member in struct.members if isinstance(struct, Struct) else ():
            some = btf.strip(member.type_id)
            if member.name == "map_extra" and isinstance(some, BtfEnum | Enum64):
                return True
            if member.name == "values" and isinstance(some, Array) and len(waiting) == 1:
                pointer = btf.strip(some.type_id)
                if isinstance(pointer, Ptr):
                    waiting.append(pointer.type_id)
    return False
