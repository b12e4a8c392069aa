"""Maps as they are created: what libbpf 1.7 makes of each definition.

Its functions are fill_map_from_def, map_set_def_max_entries, bpf_object__create_map and
bpf_object__init_internal_map (libbpf.c).
"""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING

from pylibbpf.errors import ElfError
from pylibbpf.loader.maps import ARENA_SECTION
from pylibbpf.loader.relocated import RelocatedMap
from pylibbpf.spec import MapKind
from pylibbpf.uapi.enums import MapType
from pylibbpf.uapi.flags import BPF_F_MMAPABLE, BPF_F_RDONLY_PROG

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf
    from pylibbpf.spec import MapSpec, ObjectSpec, SectionSpec

__all__ = ["arena_offset", "created", "kconfig_map", "possible_cpus"]

PAGE = 4096
KCONFIG = ".kconfig"
JUMP_TABLES = ".jumptables"
_TARGET = struct.Struct("<IIII")  # struct bpf_insn_array_value: the first is where to

# The kernel is told no types for these (bpf_object__create_map).
_UNTYPED = frozenset(
    {
        MapType.PERF_EVENT_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.STACK_TRACE,
        MapType.ARRAY_OF_MAPS,
        MapType.HASH_OF_MAPS,
        MapType.DEVMAP,
        MapType.DEVMAP_HASH,
        MapType.CPUMAP,
        MapType.XSKMAP,
        MapType.SOCKMAP,
        MapType.SOCKHASH,
        MapType.QUEUE,
        MapType.STACK,
        MapType.ARENA,
    }
)


def possible_cpus() -> int:
    """The number of CPUs that this kernel could have (libbpf_num_possible_cpus)."""
    with open("/sys/devices/system/cpu/possible") as file:
        ranges = [each.split("-") for each in file.read().split(",")]
    return sum(int(each[-1]) - int(each[0]) + 1 for each in ranges)


def created(spec: MapSpec, source: ObjectSpec, cpus: int | None) -> RelocatedMap:
    """Make of a definition what is handed to BPF_MAP_CREATE; a struct_ops map lacks the kernel's.

    ``cpus`` is asked for only where a map has one entry for each CPU: None for this machine's.
    """
    if spec.kind is MapKind.DATA:
        return _data(spec, source.section(spec.section), source.btf)
    entries = spec.max_entries
    if spec.type in (MapType.RINGBUF, MapType.USER_RINGBUF):
        entries = ring_size(entries)
    if spec.type == MapType.PERF_EVENT_ARRAY and not entries:
        entries = possible_cpus() if cpus is None else cpus
    typed = spec.type not in _UNTYPED and spec.kind is not MapKind.STRUCT_OPS
    return RelocatedMap(
        name=spec.name,
        kind=spec.kind,
        section=spec.section,
        type=spec.type,
        key_size=spec.key_size,
        value_size=spec.value_size,
        max_entries=entries,
        flags=spec.flags,
        map_extra=spec.map_extra,
        numa_node=spec.numa_node,
        pinning=spec.pinning,
        key_type_id=(typed and spec.key_type_id) or 0,
        value_type_id=((typed or spec.kind is MapKind.STRUCT_OPS) and spec.value_type_id) or 0,
        inner=created(spec.inner, source, cpus) if spec.inner is not None else None,
        values=spec.values,
        created=not spec.section.startswith("?"),
    )


def ring_size(size: int) -> int:
    """Round up to a power of two of pages (adjust_ringbuf_sz); what is 0 the kernel refuses."""
    if size == 0 or (size % PAGE == 0 and (size // PAGE).bit_count() == 1):
        return size
    pages = 1
    while pages * PAGE <= size:
        pages *= 2
    return pages * PAGE if pages <= 0xFFFFFFFF // PAGE else size


def _data(spec: MapSpec, section: SectionSpec | None, btf: Btf | None) -> RelocatedMap:
    found = btf.find(spec.section) if btf is not None else []
    return RelocatedMap(
        name=spec.name,
        kind=spec.kind,
        section=spec.section,
        type=spec.type,
        key_size=spec.key_size,
        value_size=spec.value_size,
        max_entries=spec.max_entries,
        flags=spec.flags,
        value_type_id=found[0] if found else 0,
        contents=section.data if section is not None else bytes(spec.value_size),
        frozen=bool(spec.flags & BPF_F_RDONLY_PROG),
    )


def kconfig_map(contents: bytes, btf: Btf) -> RelocatedMap:
    """Make the map of the kernel configuration values that an object asks for."""
    found = btf.find(KCONFIG)
    return RelocatedMap(
        name=KCONFIG,
        kind=MapKind.KCONFIG,
        section=KCONFIG,
        type=MapType.ARRAY,
        key_size=4,
        value_size=len(contents),
        max_entries=1,
        flags=BPF_F_RDONLY_PROG | BPF_F_MMAPABLE,
        value_type_id=found[0] if found else 0,
        contents=contents,
        frozen=True,
    )


def jump_table(name: str, targets: list[int]) -> RelocatedMap:
    """Make the map of a jump table, whose entries are instructions of the whole program."""
    return RelocatedMap(
        name=name,
        kind=MapKind.JUMP_TABLE,
        section=JUMP_TABLES,
        type=MapType.INSN_ARRAY,
        key_size=4,
        value_size=_TARGET.size,
        max_entries=len(targets),
        contents=b"".join(_TARGET.pack(target, 0, 0, 0) for target in targets),
        frozen=True,
    )


def arena_offset(
    maps: list[RelocatedMap], data: SectionSpec | None, at_end: bool
) -> tuple[str | None, int]:
    """Put the globals of an arena into it; give its name and where in it they begin.

    Since libbpf 1.7 that is its end, where the kernel allows (``at_end``), else its start
    (init_arena_map_data, bpf_object__relocate).

    Raises:
        ElfError: there are globals but no arena, or it is too small, or there are two arenas.
    """
    arenas = [at for at, each in enumerate(maps) if each.type == MapType.ARENA]
    if len(arenas) > 1:
        names = " and ".join(repr(maps[at].name) for at in arenas)
        raise ElfError(f"an object may have one arena, and this one defines {names}")
    if data is None:
        return (maps[arenas[0]].name if arenas else None), 0
    if not arenas:
        raise ElfError(
            f"variables in an arena (section {data.name!r}) need a map of type ARENA in '.maps'"
        )
    arena = maps[arenas[0]]
    size, needed = PAGE * arena.max_entries, -(-len(data.data) // PAGE) * PAGE
    if needed > size:
        raise ElfError(f"the arena {arena.name!r} has {size} bytes; its variables need {needed}")
    offset = size - needed if at_end else 0
    maps[arenas[0]] = dataclasses.replace(arena, contents=data.data, contents_offset=offset)
    return arena.name, offset


def is_arena_data(spec: MapSpec) -> bool:
    return spec.kind is MapKind.DATA and spec.section == ARENA_SECTION
