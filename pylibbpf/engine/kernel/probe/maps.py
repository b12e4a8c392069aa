"""Map types: each is created with the smallest sizes that it takes."""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from dataclasses import dataclass

from pylibbpf.ability import Ability, Probe
from pylibbpf.btf.types import Kind
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.uapi.enums import MapType

__all__ = ["MAPS", "map_type"]

# include/uapi/linux/bpf.h
_NO_PREALLOC, _MMAPABLE = 1, 1 << 10
_PAGE = -1  # stands for the size of a page


@dataclass(frozen=True, slots=True)
class _Map:
    """One map type: what creates it, and the kernel that brought it."""

    type: MapType
    since: str
    key_size: int = 4
    value_size: int = 4
    max_entries: int = 1
    flags: int = 0
    option: str = ""  # what the kernel must be built with
    local: bool = False  # storage: key and value need BTF
    inner: bool = False  # a map of maps
    struct_ops: str = ""  # the value's type in the kernel's BTF


# include/linux/bpf_types.h, and map_alloc_check() of each type, Linux 6.18; the versions are those
# of the commits that added the types. Sizes and flags are each type's own least.
MAPS = (
    _Map(MapType.HASH, "3.19"),
    _Map(MapType.ARRAY, "3.19"),
    _Map(MapType.PROG_ARRAY, "4.2"),
    _Map(MapType.PERF_EVENT_ARRAY, "4.3", option="CONFIG_PERF_EVENTS"),
    _Map(MapType.PERCPU_HASH, "4.6"),
    _Map(MapType.PERCPU_ARRAY, "4.6"),
    _Map(MapType.STACK_TRACE, "4.6", value_size=8, option="CONFIG_PERF_EVENTS"),
    _Map(MapType.CGROUP_ARRAY, "4.8", option="CONFIG_CGROUPS"),
    _Map(MapType.LRU_HASH, "4.10"),
    _Map(MapType.LRU_PERCPU_HASH, "4.10"),
    _Map(MapType.LPM_TRIE, "4.11", key_size=8, flags=_NO_PREALLOC),
    _Map(MapType.ARRAY_OF_MAPS, "4.12", inner=True),
    _Map(MapType.HASH_OF_MAPS, "4.12", inner=True),
    _Map(MapType.DEVMAP, "4.14", option="CONFIG_NET"),
    _Map(MapType.SOCKMAP, "4.14", option="CONFIG_NET"),
    _Map(MapType.CPUMAP, "4.15"),
    _Map(MapType.XSKMAP, "4.18", option="CONFIG_XDP_SOCKETS"),
    _Map(MapType.SOCKHASH, "4.18", option="CONFIG_NET"),
    _Map(MapType.CGROUP_STORAGE, "4.19", key_size=8, max_entries=0, option="CONFIG_CGROUP_BPF"),
    _Map(MapType.REUSEPORT_SOCKARRAY, "4.19", value_size=8, option="CONFIG_INET"),
    _Map(
        MapType.PERCPU_CGROUP_STORAGE,
        "4.20",
        key_size=8,
        max_entries=0,
        option="CONFIG_CGROUP_BPF",
    ),
    _Map(MapType.QUEUE, "4.20", key_size=0),
    _Map(MapType.STACK, "4.20", key_size=0),
    _Map(
        MapType.SK_STORAGE,
        "5.2",
        max_entries=0,
        flags=_NO_PREALLOC,
        local=True,
        option="CONFIG_NET",
    ),
    _Map(MapType.DEVMAP_HASH, "5.4", option="CONFIG_NET"),
    _Map(
        MapType.STRUCT_OPS,
        "5.6",
        struct_ops="bpf_struct_ops_tcp_congestion_ops",
        option="CONFIG_BPF_JIT",
    ),
    _Map(MapType.RINGBUF, "5.8", key_size=0, value_size=0, max_entries=_PAGE),
    _Map(
        MapType.INODE_STORAGE,
        "5.10",
        max_entries=0,
        flags=_NO_PREALLOC,
        local=True,
        option="CONFIG_BPF_LSM",
    ),
    _Map(MapType.TASK_STORAGE, "5.11", max_entries=0, flags=_NO_PREALLOC, local=True),
    _Map(MapType.BLOOM_FILTER, "5.16", key_size=0),
    _Map(MapType.USER_RINGBUF, "6.1", key_size=0, value_size=0, max_entries=_PAGE),
    _Map(
        MapType.CGRP_STORAGE,
        "6.2",
        max_entries=0,
        flags=_NO_PREALLOC,
        local=True,
        option="CONFIG_CGROUPS",
    ),
    _Map(MapType.ARENA, "6.9", key_size=0, value_size=0, flags=_MMAPABLE, option="CONFIG_BPF_JIT"),
    _Map(MapType.INSN_ARRAY, "6.19", value_size=16),
    _Map(MapType.RHASH, "7.2", flags=_NO_PREALLOC),
)


def map_type(asker: Asker, each: _Map) -> Ability:
    """Whether a map of this type can be created."""
    name = each.type.name.lower()
    about = Ability("map", name, None, since=each.since)
    entries = os.sysconf("SC_PAGE_SIZE") if each.max_entries == _PAGE else each.max_entries
    value_size = each.value_size
    more: dict[str, int] = {}
    kernel = asker.kernel
    with ExitStack() as held:
        if each.local or each.struct_ops:  # both need a BTF of the object's, be it a small one
            btf = held.enter_context(kernel.btf(_int_btf()))
            probe = Probe("BPF_BTF_LOAD(int)", btf.errno)
            if btf.errno:
                return asker.no(about, probe, "load btf")
            more = {"btf_fd": btf.value, "key_type": 1, "value_type": 1}
        if each.inner:
            inner = held.enter_context(kernel.map(MapType.ARRAY, 4, 4, 1))
            if inner.errno:
                probe = Probe("BPF_MAP_CREATE(array)", inner.errno)
                return asker.no(about, probe, "create map", map_type=MapType.ARRAY)
            more = {"inner_fd": inner.value}
        if each.struct_ops:
            type_id = asker.btf_id(each.struct_ops, Kind.STRUCT)
            if not type_id:
                return asker.unknown(about, asker.why_no_btf(f"struct {each.struct_ops}"))
            value_size = asker.size(type_id)
            more = {"btf_fd": more["btf_fd"], "vmlinux_type": type_id}
        made = held.enter_context(
            kernel.map(each.type, each.key_size, value_size, entries, flags=each.flags, **more)
        )
    probe = Probe(f"BPF_MAP_CREATE({name})", made.errno)
    if not made.errno:
        return asker.yes(about, probe)
    return asker.no(about, probe, "create map", option=each.option, map_type=each.type)


def _int_btf() -> bytes:
    """BTF with one type: int (Documentation/bpf/btf.rst)."""
    strings = b"\0int\0"
    types = struct.pack("<IIII", 1, Kind.INT << 24, 4, 1 << 24 | 32)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + (
        types + strings
    )
