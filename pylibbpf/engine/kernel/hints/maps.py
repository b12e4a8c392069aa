"""Rows for maps."""

from __future__ import annotations

import errno as _e

from pylibbpf.engine.kernel.hints.rows import (
    UNSUPPORTED,
    Facts,
    Hint,
    all_of,
    before,
    is_one_of,
    no_power_of_two,
    on,
    rows,
)
from pylibbpf.uapi.flags import BPF_F_LINK, BPF_F_LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _locks(flags: str) -> Callable[[Facts], bool]:
    return lambda facts: bool(facts.get(flags, 0) & BPF_F_LOCK)


def _LINKED_OPS(facts: Facts) -> bool:  # noqa: N802  # a condition, as those around it
    return facts.get("map_type") == "struct_ops" and bool(facts.get("flags", 0) & BPF_F_LINK)


_ARRAYS = is_one_of(
    "map_type", "array", "percpu_array", "prog_array", "perf_event_array", "cgroup_array",
    "array_of_maps", "devmap", "sockmap", "xskmap", "cpumap", "reuseport_sockarray",
)  # fmt: skip
_RINGS = is_one_of("map_type", "ringbuf", "user_ringbuf")
_KEYLESS = is_one_of("map_type", "queue", "stack", "ringbuf", "user_ringbuf", "bloom_filter")
_MAPS_OF_MAPS = is_one_of("map_type", "array_of_maps", "hash_of_maps")
STORAGE_OF = {
    "task_storage": "process (a pidfd)",
    "sk_storage": "socket",
    "inode_storage": "file",
    "cgrp_storage": "cgroup (v2)",
}
_STORAGE = is_one_of("map_type", *STORAGE_OF)


def _no_ring_size(facts: Facts) -> bool:
    size, page = facts.get("max_entries"), facts["page_size"]
    return size is not None and (no_power_of_two(size) or size % page != 0)


MAPS: tuple[Hint, ...] = (
    *rows(
        "map create",
        on((_e.EINVAL, *UNSUPPORTED), "{map_lacking}"),
        on(
            _e.EINVAL,
            "max_entries of a ring buffer is its size in bytes: a power of two and a multiple of"
            " the page size ({page_size}), not {max_entries}",
            lambda facts: _RINGS(facts) and _no_ring_size(facts),
        ),
        on(
            _e.EINVAL,
            "the ring buffer's max_entries must be a power of two and a multiple of the page size"
            " ({page_size}), and it has neither key nor value",
            _RINGS,
        ),
        on(
            _e.EINVAL,
            "an LPM trie needs the flag BPF_F_NO_PREALLOC, and a key of 5 to 260 bytes that starts"
            " with the prefix length",
            is_one_of("map_type", "lpm_trie"),
        ),
        on(
            _e.EINVAL,
            "this kernel does not know maps of type {map_type}, or not without the flag"
            " BPF_F_NO_PREALLOC, 4-byte keys, max_entries 0 and a BTF type of the value",
            _STORAGE,
        ),
        on(
            _e.EINVAL,
            "max_entries is 0: say how many (for a map of an object, whose own tool does so before"
            " load: obj.maps[name].max_entries = n)",
            lambda facts: facts.get("max_entries") == 0,
        ),
        on(
            _e.EINVAL,
            "an array's key must have 4 bytes, not {key_size}",
            lambda facts: _ARRAYS(facts) and facts.get("key_size") not in (None, 4),
        ),
        on(
            (_e.EINVAL, _e.EBADF),
            "it does not say what maps are in it: declare that (__array(values, struct inner)), or"
            " give it a map to take after (obj.map(name).set_inner(map)) before load",
            lambda facts: facts.get("inner") is False,
        ),
        on(_e.EBADF, "inner= must be a map that is open", _MAPS_OF_MAPS),
        on(
            _e.EINVAL,
            "there is no NUMA node {numa_node}, or it is not online",
            lambda facts: bool(facts.get("numa_node")),
        ),
        on(
            (_e.EINVAL, _e.ENODEV, _e.EOPNOTSUPP),
            "maps are offloaded to devices whose driver can (ifindex {ifindex}), and only hashes"
            " and arrays: set ifindex to 0",
            lambda facts: bool(facts.get("ifindex")),
        ),
        on(
            _e.EINVAL,
            "this kernel does not know maps of type {map_type}, or an arena needs the flag"
            " BPF_F_MMAPABLE, neither keys nor values, and pages for max_entries",
            is_one_of("map_type", "arena"),
        ),
        on(
            _e.EINVAL,
            "struct_ops by a link (BPF_F_LINK, which .struct_ops.link sets) needs Linux 6.4; this"
            " is {kernel}",
            all_of(_LINKED_OPS, before(6, 4)),
        ),
        on(
            _e.EINVAL,
            "this kernel does not know maps of type {map_type}, or not with these sizes and flags",
        ),
        on(_e.EINVAL, "this kernel does not know this map type, or not these sizes and flags"),
        on(
            _e.E2BIG,
            "the map is too large for the kernel: fewer entries ({max_entries}) or smaller values",
        ),
        on(_e.E2BIG, "the map is too large for the kernel: fewer entries or smaller values"),
        on(
            _e.ENOMEM,
            "not enough memory (or the memory cgroup's limit) for a map of {max_entries} entries;"
            " BPF_F_NO_PREALLOC lets a hash map grow as needed",
        ),
        on(_e.ENOMEM, "not enough memory (or the memory cgroup's limit) for the map"),
        on(UNSUPPORTED, "this kernel was built without maps of type {map_type}"),
    ),
    *rows(
        "map update",
        on(
            _e.EINVAL,
            "maps of type {map_type} carry records, and have no entries to update",
            _RINGS,
        ),
        on(
            _e.E2BIG,
            "the index is past the end of the array (max_entries={max_entries}: 0 to {last_index})",
            _ARRAYS,
        ),
        on(
            _e.E2BIG,
            "the {map_type} is full (max_entries={max_entries})",
            is_one_of("map_type", "queue", "stack"),
        ),
        on(_e.E2BIG, "the map is full (max_entries={max_entries})"),
        on(_e.E2BIG, "the map is full"),
        on(_e.ENOSPC, "the map is full (max_entries={max_entries})"),
        on(_e.ENOSPC, "the map is full"),
        on(
            _e.EEXIST,
            "the entries of an array always exist, so adding only new ones (BPF_NOEXIST) fails",
            _ARRAYS,
        ),
        on(_e.EEXIST, "the key exists already, and only a new one was to be added (BPF_NOEXIST)"),
        on(
            _e.ENOENT,
            "there is nothing in that place, and only something there was to change (BPF_EXIST)",
            _ARRAYS,
        ),
        on(_e.ENOENT, "there is no such key, and only an existing one was to change (BPF_EXIST)"),
        on(
            _e.EINVAL,
            "the inner map differs from the template in type, sizes or flags (before kernel 5.10"
            " in max_entries, too)",
            is_one_of("map_type", "array_of_maps", "hash_of_maps"),
        ),
        on(
            _e.EINVAL,
            "the program's type (or its JIT or sleepable state) is not that of the programs"
            " that already share this map",
            is_one_of("map_type", "prog_array"),
        ),
        on(
            _e.EINVAL,
            "there is no network interface of that index in this network namespace, or the program"
            ' is not made for this (SEC("xdp/devmap"))',
            is_one_of("map_type", "devmap", "devmap_hash"),
        ),
        on(
            _e.EINVAL,
            'the program is not made for this (SEC("xdp/cpumap")), or its flags do not fit',
            is_one_of("map_type", "cpumap"),
        ),
        on(_e.EOVERFLOW, "a CPU's queue has room for 16384 packets at most"),
        on(_e.ENODEV, "there is no such CPU", is_one_of("map_type", "cpumap")),
        on(
            _e.EINVAL,
            "the socket is not of a group (SO_REUSEPORT, set before it is bound or listens), or is"
            " in such a map already",
            is_one_of("map_type", "reuseport_sockarray"),
        ),
        on(
            _e.EINVAL,
            "the value has no spin lock (struct bpf_spin_lock), so BPF_F_LOCK cannot take it",
            _locks("update_flags"),
        ),
        on(_e.EINVAL, "this type of map ({map_type}) does not take this key, value or flag"),
        on(
            _e.EBADF,
            "the value must be the descriptor of a map, program or perf event",
            is_one_of(
                "map_type", "array_of_maps", "hash_of_maps", "prog_array", "perf_event_array"
            ),
        ),
        on(
            _e.EBADF,
            "the descriptor is not of a cgroup (v2)",
            is_one_of("map_type", "cgroup_array"),
        ),
        on(_e.EBADF, "the descriptor is closed, or not of a {storage_of}", _STORAGE),
        on(_e.ENOTSOCK, "the descriptor is not of a socket"),
        on(
            _e.EOPNOTSUPP,
            "the socket's protocol or state (not established) does not fit the map",
            is_one_of("map_type", "sockmap", "sockhash"),
        ),
        on(
            _e.EOPNOTSUPP, "the socket is not of the family AF_XDP", is_one_of("map_type", "xskmap")
        ),
        on(
            _e.ENOBUFS,
            "the socket has no ring to receive by (XDP_RX_RING)",
            is_one_of("map_type", "xskmap"),
        ),
        on(
            _e.EBUSY,
            "the struct_ops is registered already, or its name is taken",
            is_one_of("map_type", "struct_ops"),
        ),
        on(_e.EBUSY, "a program is changing the same bucket at this moment: try again"),
        on(_e.ENOMEM, "no memory for one more entry (or the memory cgroup's limit)"),
        on(UNSUPPORTED, "maps of type {map_type} cannot be written from user space"),
    ),
    *rows(
        "map lookup batch",
        on(_e.ENOSPC, "the buffer is smaller than one bucket of the hash: ask for more at once"),
    ),
    *rows(
        "map delete",
        on(_e.EINVAL, "entries of maps of type {map_type} have no keys: pop them", _KEYLESS),
        on(_e.EINVAL, "the entries of an array cannot be deleted: write zeros instead", _ARRAYS),
        on(_e.ENOENT, "there is no such key"),
        on(_e.EBUSY, "a program is changing the same bucket at this moment: try again"),
        on(UNSUPPORTED, "nothing can be deleted from maps of type {map_type}"),
    ),
    *rows(
        "map lookup",
        on(_e.EINVAL, "entries of maps of type {map_type} have no keys", _KEYLESS),
        on(_e.ENOENT, "there is no such key"),
        on(
            _e.ENOSPC,
            "the value size must be 8 for the lookup of a socket's cookie",
            is_one_of("map_type", "sockmap", "sockhash"),
        ),
        on(
            _e.ENOSPC,
            "the value size must be 8 for the lookup of a socket's cookie",
            is_one_of("map_type", "reuseport_sockarray"),
        ),
        on(UNSUPPORTED, "maps of type {map_type} cannot be read like this from user space"),
        on(
            _e.EINVAL,
            "the value has no spin lock (struct bpf_spin_lock), so BPF_F_LOCK cannot take it",
            _locks("lookup_flags"),
        ),
        on(_e.EBADF, "the descriptor is closed, or not of a {storage_of}", _STORAGE),
        on(_e.ENOTSOCK, "the descriptor is not of a socket"),
        on(_e.EINVAL, "this type of map ({map_type}) does not take this flag"),
    ),
    *rows(
        "map pop",
        on(_e.ENOENT, "the {map_type} is empty"),
    ),
    *rows(
        "map iteration",
        on(_e.EINVAL, "maps of type {map_type} have no keys to go through", _KEYLESS),
        on(_e.EBUSY, "programs change the map faster than it can be read"),
        on(UNSUPPORTED, "maps of type {map_type} have no keys to go through"),
    ),
    *rows(
        "map read",
        on(_e.EFAULT, "no program has allocated the page at {offset} (BPF_F_SEGV_ON_FAULT)"),
        on(_e.ENOSYS, "process_vm_readv(2) is not built into this kernel"),
    ),
    *rows(
        "map write",
        on(_e.EFAULT, "no program has allocated the page at {offset} (BPF_F_SEGV_ON_FAULT)"),
    ),
    *rows(
        "map arena",
        on(
            (_e.EEXIST, _e.EBUSY),
            "an arena lies at one address in all processes, and in this one something else is"
            " there: give it another (map_extra)",
        ),
    ),
    *rows(
        "map info",
        on(_e.EINVAL, "the descriptor is of no map"),
    ),
    *rows(
        "map freeze",
        on(_e.EBUSY, "the map is frozen already, or mapped writable into some process"),
    ),
    *rows(
        "map",
        on(UNSUPPORTED, "maps of type {map_type} do not offer this (or this kernel is too old)"),
        on(UNSUPPORTED, "this type of map does not offer this, or this kernel is too old"),
    ),
)
