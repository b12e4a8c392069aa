"""What an errno means for the operation that gave it.

"E2BIG (Argument list too long)" for a map that is full helps nobody. Each row of the table says
for which operation and errno it speaks, and what must be known of the case; the first row that
fits wins, so particular rows stand before general ones. EPERM and EACCES are explained by
:mod:`pylibbpf.engine.kernel.privileges` instead.

Sources: kernel/bpf/ (syscall.c, hashtab.c, arraymap.c, ringbuf.c), kernel/events/core.c and
net/core/dev.c of Linux 6.12, libbpf.c of 1.1 to 1.7. Loaded only when something has failed.
"""

from __future__ import annotations

import errno as _e
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.needs import type_name
from pylibbpf.uapi.enums import LinkType, MapType, ProgType
from pylibbpf.uapi.flags import BPF_F_LOCK
from pylibbpf.uapi.sections import attaches_itself
from pylibbpf.uapi.sections import section as find_section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["errno_hint"]

ENOTSUPP = 524  # include/linux/errno.h: the kernel's own, unknown to the C library

_Facts = Mapping[str, "Any"]


@dataclass(frozen=True, slots=True)
class _Hint:
    operation: frozenset[str]  # words that the operation must have
    errnos: tuple[int, ...]
    text: str  # names the facts that must be known
    when: Callable[[_Facts], bool] | None = None

    def fits(self, words: frozenset[str], errno: int, facts: _Facts) -> bool:
        return (
            errno in self.errnos
            and self.operation <= words
            and (self.when is None or self.when(facts))
        )


def errno_hint(operation: str, errno: int, **facts: Any) -> str | None:
    """Say in plain words what the errno means here, or None where nothing better is known.

    Useful facts: ``map_type``, ``max_entries``, ``key_size``, ``value_size``, ``flags``,
    ``program_type``, ``section``, ``pages``. ``root`` stands in for ``/`` in tests.
    """
    words = frozenset(operation.lower().replace("_", " ").split())
    known = _known(facts)
    for row in _TABLE:
        if row.fits(words, errno, known):
            try:
                return row.text.format_map(known)
            except KeyError:  # a fact is not known: a more general row may do
                continue
    return None


# How programs are attached whose SEC() names no target, by program type.
_METHODS = {
    "cgroup": "attach_cgroup(path)",
    "sock_ops": "attach_cgroup(path)",
    "sk_lookup": "attach_sk_lookup()",
    "flow_dissector": "attach_flow_dissector()",
    "socket_filter": "attach_socket(socket)",
    "sk_reuseport": "attach_reuseport(socket)",
    "sk_skb": "attach_sockmap(map)",
    "sk_msg": "attach_sockmap(map)",
}


class _Known(dict[str, "Any"]):
    """What is known of a case; what costs some time is found out where a text wants it."""

    def __missing__(self, name: str) -> str:
        if name == "instead" and self["root"] == "/":  # the probes ask the machine itself
            from pylibbpf.engine.kernel.probe import alternatives

            found = alternatives(self.get("section"))
            if found:
                return found
        raise KeyError(name)


def _known(facts: _Facts) -> dict[str, Any]:
    known = _Known({name: value for name, value in facts.items() if value is not None})
    for name, names in (
        ("map_type", MapType),
        ("program_type", ProgType),
        ("link_type", LinkType),
    ):
        if name in known:
            known[name] = type_name(known[name], names) or str(known[name])
    section = str(known.get("section", "")).removeprefix("?")
    if section:
        known["hook"], _, known["target"] = section.partition("/")
    row, kernel = find_section(section), Host(str(known.get("root", "/"))).kernel()
    if row is not None and kernel is not None and kernel < row.kernel:
        known["needed"] = f"{row.kernel[0]}.{row.kernel[1]}"
    if section and not attaches_itself(section):
        kind = "cgroup_lsm" if section.startswith("lsm_cgroup") else known.get("program_type")
        known["method"] = _METHODS.get("cgroup" if str(kind).startswith("cgroup_") else str(kind))
    if "cgroup" in known:
        if isinstance(known["cgroup"], int):
            known["cgroup"] = f"descriptor {known['cgroup']}"
        mounted = Host(str(known.get("root", "/"))).mounted("cgroup2")
        if mounted:
            known["cgroup2"] = mounted
    known.setdefault("page_size", os.sysconf("SC_PAGE_SIZE"))
    known.setdefault("root", "/")
    known.setdefault("kernel", os.uname().release)
    if known.get("map_type") in _STORAGE_OF:
        known["storage_of"] = _STORAGE_OF[known["map_type"]]
    if "max_entries" in known:
        known["last_index"] = known["max_entries"] - 1
    return known


# --------------------------------------------------------------------------------------------
# Conditions


def _is(name: str, *values: str) -> Callable[[_Facts], bool]:
    return lambda facts: facts.get(name) in values


def _knows(*names: str) -> Callable[[_Facts], bool]:
    return lambda facts: all(facts.get(name) for name in names)


def _locks(flags: str) -> Callable[[_Facts], bool]:
    return lambda facts: bool(facts.get(flags, 0) & BPF_F_LOCK)


def _hook(*prefixes: str) -> Callable[[_Facts], bool]:
    return lambda facts: str(facts.get("hook", "")).startswith(prefixes)


def _lacks(hook: Callable[[_Facts], bool], *paths: str) -> Callable[[_Facts], bool]:
    """The hook is of this kind, and none of the paths exists on this machine."""
    return lambda facts: (
        hook(facts) and not any(os.path.exists(os.path.join(facts["root"], path)) for path in paths)
    )


def _older(hook: str, major: int, minor: int) -> Callable[[_Facts], bool]:
    """The hook is of this kind, and the running kernel is older than that."""

    def older(facts: _Facts) -> bool:
        release = str(facts["kernel"]).split(".")
        try:
            running = int(release[0]), int(release[1].partition("-")[0])
        except (ValueError, IndexError):
            return False
        return facts.get("hook") == hook and running < (major, minor)

    return older


def _mounted(kind: str) -> Callable[[_Facts], bool]:
    """A file system of this type is mounted somewhere."""

    def mounted(facts: _Facts) -> bool:
        from pylibbpf.engine.kernel.host import Host

        return Host(facts["root"]).mounted(kind) is not None

    return mounted


def _all_of(*conditions: Callable[[_Facts], bool]) -> Callable[[_Facts], bool]:
    return lambda facts: all(condition(facts) for condition in conditions)


_ARRAYS = _is(
    "map_type", "array", "percpu_array", "prog_array", "perf_event_array", "cgroup_array",
    "array_of_maps", "devmap", "sockmap", "xskmap", "cpumap", "reuseport_sockarray",
)  # fmt: skip
_RINGS = _is("map_type", "ringbuf", "user_ringbuf")
_KEYLESS = _is("map_type", "queue", "stack", "ringbuf", "user_ringbuf", "bloom_filter")
_MAPS_OF_MAPS = _is("map_type", "array_of_maps", "hash_of_maps")
_STORAGE_OF = {
    "task_storage": "process (a pidfd)",
    "sk_storage": "socket",
    "inode_storage": "file",
    "cgrp_storage": "cgroup (v2)",
}
_STORAGE = _is("map_type", *_STORAGE_OF)
_TRACEPOINT = _hook("tp", "tracepoint")
_KPROBE = _hook("kprobe", "kretprobe", "ksyscall", "kretsyscall")
_UPROBE = _hook("uprobe", "uretprobe", "usdt")
_LISTED = _hook("tcx", "netkit")
_TRACEFS = ("sys/kernel/tracing/events", "sys/kernel/debug/tracing/events")
_KPROBES = ("sys/bus/event_source/devices/kprobe",)


# --------------------------------------------------------------------------------------------
# The table


def _on(
    errnos: int | tuple[int, ...], text: str, when: Callable[[_Facts], bool] | None = None
) -> Callable[[str], _Hint]:
    numbers = (errnos,) if isinstance(errnos, int) else errnos
    return lambda operation: _Hint(frozenset(operation.split()), numbers, text, when)


def _rows(operation: str, *rows: Callable[[str], _Hint]) -> tuple[_Hint, ...]:
    return tuple(row(operation) for row in rows)


_UNSUPPORTED = (ENOTSUPP, _e.EOPNOTSUPP)

_SOCKET_ROWS = (
    _on(
        _e.EINVAL,
        "the socket shares its port with no other: SO_REUSEPORT must be set, before bind()",
        _knows("reuseport"),
    ),
    _on(
        _UNSUPPORTED,
        "this kind of socket has no groups that share a port: TCP and UDP have",
        _knows("reuseport"),
    ),
    _on(_e.ENOTSOCK, "the descriptor is no socket", _knows("socket")),
    _on(
        _e.E2BIG,
        "the network namespace has a flow dissector already, and there is room for one",
        lambda facts: bool(facts.get("netns")) and facts.get("program_type") == "flow_dissector",
    ),
    _on(
        _e.EEXIST,
        "a flow dissector is attached already: without a link in this network namespace, or in the"
        " machine's first one, which serves all, or in another while this is the first",
        lambda facts: bool(facts.get("netns")) and facts.get("program_type") == "flow_dissector",
    ),
    _on(_e.E2BIG, "the network namespace has 64 such programs, as many as fit", _knows("netns")),
    _on(_e.EINVAL, "this kernel has no such hook of network namespaces", _knows("netns")),
    _on(
        _e.EBUSY,
        "the map {sockmap} has a program there already, by a link, or stream_verdict and verdict"
        " would meet",
        _knows("sockmap"),
    ),
    _on(
        _e.EINVAL,
        "this kernel has no links to maps of sockets (Linux 6.10 has), or not for {attach_type}",
        _knows("sockmap"),
    ),
)
_CGROUP = _knows("cgroup")


def _ITER_CGROUP(facts: _Facts) -> bool:  # noqa: N802  # a condition, as those around it
    return _hook("iter")(facts) and _CGROUP(facts)


def _ITER_ALL(facts: _Facts) -> bool:  # noqa: N802
    return _hook("iter")(facts) and facts.get("target") == "cgroup"


_CGROUP_ROWS = (
    _on(
        _e.EBADF,
        "{cgroup} is no cgroup v2 folder: those of this machine are in {cgroup2}",
        _CGROUP,
    ),
    _on(
        _e.EBADF,
        "{cgroup} is no cgroup v2 folder, and no file system of that kind is mounted here: sudo"
        " mount -t cgroup2 cgroup2 FOLDER",
        _CGROUP,
    ),
)

# Of the table of SEC() names; not known where the kernel is new enough.
_TOO_OLD = 'SEC("{section}") needs Linux {needed}; this is {kernel}'

_TABLE: tuple[_Hint, ...] = (
    *_rows(
        "map create",
        _on(
            _e.EINVAL,
            "max_entries of a ring buffer is its size in bytes: a power of two and a multiple of"
            " the page size ({page_size}), not {max_entries}",
            lambda facts: _RINGS(facts) and _no_ring_size(facts),
        ),
        _on(
            _e.EINVAL,
            "the ring buffer's max_entries must be a power of two and a multiple of the page size"
            " ({page_size}), and it has neither key nor value",
            _RINGS,
        ),
        _on(
            _e.EINVAL,
            "an LPM trie needs the flag BPF_F_NO_PREALLOC, and a key of 5 to 260 bytes that starts"
            " with the prefix length",
            _is("map_type", "lpm_trie"),
        ),
        _on(
            _e.EINVAL,
            "this kernel does not know maps of type {map_type}, or not without the flag"
            " BPF_F_NO_PREALLOC, 4-byte keys, max_entries 0 and a BTF type of the value",
            _STORAGE,
        ),
        _on(
            _e.EINVAL,
            "max_entries is 0: its own tool sets it before load, so must you "
            "(obj.maps[name].max_entries = n)",
            lambda facts: facts.get("max_entries") == 0,
        ),
        _on(
            _e.EINVAL,
            "an array's key must have 4 bytes, not {key_size}",
            lambda facts: _ARRAYS(facts) and facts.get("key_size") not in (None, 4),
        ),
        _on(
            (_e.EINVAL, _e.EBADF),
            "it does not say what maps are in it: declare that (__array(values, struct inner)), or"
            " give it a map to take after (obj.map(name).set_inner(map)) before load",
            lambda facts: facts.get("inner") is False,
        ),
        _on(_e.EBADF, "inner= must be a map that is open", _MAPS_OF_MAPS),
        _on(
            _e.EINVAL,
            "there is no NUMA node {numa_node}, or it is not online",
            lambda facts: bool(facts.get("numa_node")),
        ),
        _on(
            (_e.EINVAL, _e.ENODEV, _e.EOPNOTSUPP),
            "maps are offloaded to devices whose driver can (ifindex {ifindex}), and only hashes"
            " and arrays: set ifindex to 0",
            lambda facts: bool(facts.get("ifindex")),
        ),
        _on(
            _e.EINVAL,
            "this kernel does not know maps of type {map_type} (they came with Linux 6.9), or an"
            " arena needs the flag BPF_F_MMAPABLE, neither keys nor values, and pages for"
            " max_entries",
            _is("map_type", "arena"),
        ),
        _on(
            _e.EINVAL,
            "this kernel does not know maps of type {map_type}, or not with these sizes and flags",
        ),
        _on(_e.EINVAL, "this kernel does not know this map type, or not these sizes and flags"),
        _on(
            _e.E2BIG,
            "the map is too large for the kernel: fewer entries ({max_entries}) or smaller values",
        ),
        _on(_e.E2BIG, "the map is too large for the kernel: fewer entries or smaller values"),
        _on(
            _e.ENOMEM,
            "not enough memory (or the memory cgroup's limit) for a map of {max_entries} entries;"
            " BPF_F_NO_PREALLOC lets a hash map grow as needed",
        ),
        _on(_e.ENOMEM, "not enough memory (or the memory cgroup's limit) for the map"),
        _on(_UNSUPPORTED, "this kernel was built without maps of type {map_type}"),
    ),
    *_rows(
        "map update",
        _on(
            _e.EINVAL,
            "maps of type {map_type} carry records, and have no entries to update",
            _RINGS,
        ),
        _on(
            _e.E2BIG,
            "the index is past the end of the array (max_entries={max_entries}: 0 to {last_index})",
            _ARRAYS,
        ),
        _on(
            _e.E2BIG,
            "the {map_type} is full (max_entries={max_entries})",
            _is("map_type", "queue", "stack"),
        ),
        _on(_e.E2BIG, "the map is full (max_entries={max_entries})"),
        _on(_e.E2BIG, "the map is full"),
        _on(_e.ENOSPC, "the map is full (max_entries={max_entries})"),
        _on(_e.ENOSPC, "the map is full"),
        _on(
            _e.EEXIST,
            "the entries of an array always exist, so adding only new ones (BPF_NOEXIST) fails",
            _ARRAYS,
        ),
        _on(_e.EEXIST, "the key exists already, and only a new one was to be added (BPF_NOEXIST)"),
        _on(
            _e.ENOENT,
            "there is nothing in that place, and only something there was to change (BPF_EXIST)",
            _ARRAYS,
        ),
        _on(_e.ENOENT, "there is no such key, and only an existing one was to change (BPF_EXIST)"),
        _on(
            _e.EINVAL,
            "the inner map differs from the template in type, sizes or flags (before kernel 5.10"
            " in max_entries, too)",
            _is("map_type", "array_of_maps", "hash_of_maps"),
        ),
        _on(
            _e.EINVAL,
            "the program's type (or its JIT or sleepable state) is not that of the programs"
            " that already share this map",
            _is("map_type", "prog_array"),
        ),
        _on(
            _e.EINVAL,
            "there is no network interface of that index in this network namespace, or the program"
            ' is not made for this (SEC("xdp/devmap"))',
            _is("map_type", "devmap", "devmap_hash"),
        ),
        _on(
            _e.EINVAL,
            'the program is not made for this (SEC("xdp/cpumap")), or its flags do not fit',
            _is("map_type", "cpumap"),
        ),
        _on(_e.EOVERFLOW, "a CPU's queue has room for 16384 packets at most"),
        _on(_e.ENODEV, "there is no such CPU", _is("map_type", "cpumap")),
        _on(
            _e.EINVAL,
            "the socket is not of a group (SO_REUSEPORT, set before it is bound or listens), or is"
            " in such a map already",
            _is("map_type", "reuseport_sockarray"),
        ),
        _on(
            _e.EINVAL,
            "the value has no spin lock (struct bpf_spin_lock), so BPF_F_LOCK cannot take it",
            _locks("update_flags"),
        ),
        _on(_e.EINVAL, "this type of map ({map_type}) does not take this key, value or flag"),
        _on(
            _e.EBADF,
            "the value must be the descriptor of a map, program or perf event",
            _is("map_type", "array_of_maps", "hash_of_maps", "prog_array", "perf_event_array"),
        ),
        _on(_e.EBADF, "the descriptor is not of a cgroup (v2)", _is("map_type", "cgroup_array")),
        _on(_e.EBADF, "the descriptor is closed, or not of a {storage_of}", _STORAGE),
        _on(_e.ENOTSOCK, "the descriptor is not of a socket"),
        _on(
            _e.EOPNOTSUPP,
            "the socket's protocol or state (not established) does not fit the map",
            _is("map_type", "sockmap", "sockhash"),
        ),
        _on(_e.EOPNOTSUPP, "the socket is not of the family AF_XDP", _is("map_type", "xskmap")),
        _on(
            _e.ENOBUFS,
            "the socket has no ring to receive by (XDP_RX_RING)",
            _is("map_type", "xskmap"),
        ),
        _on(
            _e.EBUSY,
            "the struct_ops is registered already, or its name is taken",
            _is("map_type", "struct_ops"),
        ),
        _on(_e.EBUSY, "a program is changing the same bucket at this moment: try again"),
        _on(_e.ENOMEM, "no memory for one more entry (or the memory cgroup's limit)"),
        _on(_UNSUPPORTED, "maps of type {map_type} cannot be written from user space"),
    ),
    *_rows(
        "map lookup batch",
        _on(_e.ENOSPC, "the buffer is smaller than one bucket of the hash: ask for more at once"),
    ),
    *_rows(
        "map delete",
        _on(_e.EINVAL, "entries of maps of type {map_type} have no keys: pop them", _KEYLESS),
        _on(_e.EINVAL, "the entries of an array cannot be deleted: write zeros instead", _ARRAYS),
        _on(_e.ENOENT, "there is no such key"),
        _on(_e.EBUSY, "a program is changing the same bucket at this moment: try again"),
        _on(_UNSUPPORTED, "nothing can be deleted from maps of type {map_type}"),
    ),
    *_rows(
        "map lookup",
        _on(_e.EINVAL, "entries of maps of type {map_type} have no keys", _KEYLESS),
        _on(_e.ENOENT, "there is no such key"),
        _on(
            _e.ENOSPC,
            "the value size must be 8 for the lookup of a socket's cookie",
            _is("map_type", "sockmap", "sockhash"),
        ),
        _on(
            _e.ENOSPC,
            "the value size must be 8 for the lookup of a socket's cookie",
            _is("map_type", "reuseport_sockarray"),
        ),
        _on(_UNSUPPORTED, "maps of type {map_type} cannot be read like this from user space"),
        _on(
            _e.EINVAL,
            "the value has no spin lock (struct bpf_spin_lock), so BPF_F_LOCK cannot take it",
            _locks("lookup_flags"),
        ),
        _on(_e.EBADF, "the descriptor is closed, or not of a {storage_of}", _STORAGE),
        _on(_e.ENOTSOCK, "the descriptor is not of a socket"),
        _on(_e.EINVAL, "this type of map ({map_type}) does not take this flag"),
    ),
    *_rows(
        "map pop",
        _on(_e.ENOENT, "the {map_type} is empty"),
    ),
    *_rows(
        "map iteration",
        _on(_e.EINVAL, "maps of type {map_type} have no keys to go through", _KEYLESS),
        _on(_e.EBUSY, "programs change the map faster than it can be read"),
        _on(_UNSUPPORTED, "maps of type {map_type} have no keys to go through"),
    ),
    *_rows(
        "map read",
        _on(_e.EFAULT, "no program has allocated the page at {offset} (BPF_F_SEGV_ON_FAULT)"),
        _on(_e.ENOSYS, "process_vm_readv(2) is not built into this kernel"),
    ),
    *_rows(
        "map write",
        _on(_e.EFAULT, "no program has allocated the page at {offset} (BPF_F_SEGV_ON_FAULT)"),
    ),
    *_rows(
        "map arena",
        _on(
            (_e.EEXIST, _e.EBUSY),
            "an arena lies at one address in all processes, and in this one something else is"
            " there: give it another (map_extra)",
        ),
    ),
    *_rows(
        "map freeze",
        _on(_e.EBUSY, "the map is frozen already, or mapped writable into some process"),
    ),
    *_rows(
        "map",
        _on(_UNSUPPORTED, "maps of type {map_type} do not offer this (or this kernel is too old)"),
        _on(_UNSUPPORTED, "this type of map does not offer this, or this kernel is too old"),
    ),
    *_rows(
        "load",
        _on(_e.EINVAL, _TOO_OLD),
        _on(
            _e.E2BIG,
            "the program has more instructions than the kernel takes (4096 without CAP_BPF, one"
            " million with it)",
        ),
        _on(_e.ENOSPC, "the verifier's log did not fit into its buffer"),
        _on(_e.ESRCH, 'the kernel\'s BTF has no function or type of the name in SEC("{section}")'),
        _on(_e.ESRCH, "a function or type that the object names is not in the kernel's BTF"),
        _on(_e.ENOENT, "a kernel symbol, type, field or file that the object needs does not exist"),
        _on(
            _e.EINVAL,
            "this kernel does not know programs of type {program_type}, or not with this"
            " attach type",
        ),
        _on(
            _e.EINVAL,
            "this kernel does not know something in the object (program or attach type,"
            " BTF kind, instruction)",
        ),
        _on(_e.ENOMEM, "not enough memory (or the memory cgroup's limit)"),
        _on(_UNSUPPORTED, "this kernel, or its JIT, does not support what the program uses"),
        _on(_e.EEXIST, "a map of the same pin path exists, but with another shape"),
    ),
    *_rows(
        "query cgroup",
        *_CGROUP_ROWS,
        _on(_e.EINVAL, "this kernel knows no programs of attach type {attach_type} at cgroups"),
    ),
    *_rows(
        "attach",
        _on(_e.EINVAL, _TOO_OLD),
        _on(
            _e.EINVAL,
            "maps of type {iterated} are not what iter/{target} goes through",
            _knows("iterated"),
        ),
        _on(_e.EBADF, "iter/{target} goes through a map: attach_iter(map=...)", _hook("iter")),
        _on(
            _e.ENOENT,
            "there is no cgroup {cgroup}",
            _ITER_CGROUP,
        ),
        _on(
            _e.EINVAL,
            "this kernel has no iterator over cgroups (6.1), or does not know the order",
            _ITER_CGROUP,
        ),
        _on(_e.EINVAL, "iter/{target} begins at a cgroup: attach_iter(cgroup=...)", _ITER_ALL),
        *_SOCKET_ROWS,
        *_CGROUP_ROWS,
        _on(
            _e.EINVAL,
            "this kernel has no order of programs at a cgroup (before, after and"
            " expected_revision need Linux 6.17; preorder too, or 6.15 without a link), or the"
            " program named there is of another type, or differs in preorder",
            _knows("cgroup", "ordered"),
        ),
        _on(
            _e.ENOENT,
            "the program that was named (before, after or replace) is not attached to this cgroup",
            _CGROUP,
        ),
        _on(
            _e.ESTALE,
            "programs were attached to the cgroup or detached since: its revision is another",
            _CGROUP,
        ),
        _on(
            _e.EINVAL,
            "this kernel knows no programs of attach type {attach_type} at cgroups, or the"
            " program is attached there already",
            _knows("cgroup", "mode"),
        ),
        _on(
            _e.EINVAL,
            "this kernel knows no programs of attach type {attach_type} at cgroups, or no links"
            " there (before Linux 5.7: link=False)",
            _CGROUP,
        ),
        _on(
            _e.ENOENT,
            "tracefs is mounted, but there are no events in it (a kernel that was booted with"
            " lockdown=confidentiality has none): raw_tp and tp_btf programs attach to the same"
            " tracepoints, without tracefs",
            _all_of(_lacks(_TRACEPOINT, *_TRACEFS), _mounted("tracefs")),
        ),
        _on(
            _e.ENOENT,
            "tracefs is not mounted: sudo mount -t tracefs tracefs /sys/kernel/tracing",
            _lacks(_TRACEPOINT, *_TRACEFS),
        ),
        _on(
            _e.ENOENT,
            "this kernel has no tracepoint {target} (they are in /sys/kernel/tracing/events)",
            _TRACEPOINT,
        ),
        _on(_e.ENOENT, "this kernel has no tracepoint {target}", _hook("raw_t")),
        _on(
            _e.ENOENT,
            "this kernel was built without kprobes (CONFIG_KPROBES). Instead, works here:"
            " {instead}",
            _lacks(_KPROBE, *_KPROBES),
        ),
        _on(
            _e.ENOENT,
            "this kernel was built without kprobes (CONFIG_KPROBES): use tracepoints, or fentry "
            "where it has that",
            _lacks(_KPROBE, *_KPROBES),
        ),
        _on(
            (_e.ENOENT, _e.ESRCH),
            "the kernel has no function {target} to probe (see /proc/kallsyms; the compiler may"
            " have inlined it or given it a suffix such as .isra.0)",
            _KPROBE,
        ),
        _on(_e.EINVAL, "the function {target} may not be probed (blacklisted or notrace)", _KPROBE),
        _on(
            (_e.ENOENT, _e.ESRCH),
            "the file, or the function or probe in it, was not found: {target}",
            _UPROBE,
        ),
        _on(
            _e.EINVAL,
            "the probe's offset is outside the file's code, or the kernel is too old for this hook",
            _UPROBE,
        ),
        _on(_e.ESRCH, "there is no such process or kernel function"),
        _on(
            _e.EINVAL,
            "a program must be loaded for the device that it is to be offloaded to",
            lambda facts: _hook("xdp")(facts) and facts.get("mode") == "offload",
        ),
        _on(
            _e.EINVAL,
            "tcx needs Linux 6.6, and this is {kernel}: use attach_tc()",
            _older("tcx", 6, 6),
        ),
        _on(_e.EINVAL, "netkit needs Linux 6.7, and this is {kernel}", _older("netkit", 6, 7)),
        _on(
            _e.EINVAL, "netfilter needs Linux 6.4, and this is {kernel}", _older("netfilter", 6, 4)
        ),
        _on(
            _e.EINVAL,
            "the kernel was built without netkit (CONFIG_NETKIT), or {interface} is no netkit"
            " device",
            _hook("netkit"),
        ),
        _on(_e.ENXIO, "{interface} is no netkit device", _hook("netkit")),
        _on(
            _e.EACCES,
            "{interface} is the peer of a netkit pair: name the primary device, with peer=True"
            " for programs at the peer",
            _hook("netkit"),
        ),
        _on(_e.EEXIST, "the program is in this list already", _LISTED),
        _on(_e.ENOENT, "the program or link to attach next to is not in this list", _LISTED),
        _on(
            _e.ESTALE,
            "the list has changed since it had that revision: ask for it again",
            _LISTED,
        ),
        _on(_e.ERANGE, "the list is full (64 programs)", _LISTED),
        _on(
            _e.ERANGE,
            "with defrag the priority must be above -400, where fragments are put together",
            lambda facts: _hook("netfilter")(facts) and bool(facts.get("defrag")),
        ),
        _on(
            _e.EBUSY,
            "another BPF program has this priority at that hook of netfilter: take another",
            _hook("netfilter"),
        ),
        _on(
            _UNSUPPORTED,
            "the network driver has no native XDP for this program: use generic (skb) mode",
            _hook("xdp"),
        ),
        _on(
            (_e.EBUSY, _e.EEXIST),
            "another XDP program is attached to the interface: detach it first, or replace it",
            _hook("xdp"),
        ),
        _on(_e.ERANGE, "the interface's MTU or frame size is too large for XDP", _hook("xdp")),
        _on(_e.EEXIST, "a program is attached there with the same handle and priority already"),
        _on(_e.ENODEV, "there is no such network interface, or no such CPU"),
        _on(_e.ENXIO, "there is no such network interface, or the CPU is offline"),
        _on(
            _e.E2BIG,
            "too many programs are attached to this function or cgroup (the limit is 38 for a"
            " function, 64 for a cgroup)",
        ),
        _on(_e.EBUSY, "something is attached there already, or the program itself is"),
        _on(ENOTSUPP, "this kernel does not offer this hook"),
        _on(
            _e.EOPNOTSUPP,
            "programs of type syscall are attached to nothing: test_run() runs them",
            _is("program_type", "syscall"),
        ),
        _on(
            _e.EOPNOTSUPP,
            'SEC("{section}") does not say where to attach: that is said by {method}',
            _knows("method"),
        ),
        _on(
            _e.EOPNOTSUPP,
            'SEC("{section}") does not say where to attach, or this kernel does not offer the'
            " hook (too old, or not built in)",
        ),
        _on(_e.EOPNOTSUPP, "this kernel or device does not offer the hook"),
        _on(
            _e.EINVAL,
            'this kernel does not offer the hook of SEC("{section}") (too old?), or the program'
            " does not fit it",
        ),
        _on(
            _e.EINVAL, "this kernel does not offer the hook (too old?), or the program does not fit"
        ),
        _on(_e.ENOSPC, "all hardware counters of the CPU are in use", _hook("perf_event")),
        _on(_e.ENOENT, 'what SEC("{section}") names does not exist in this kernel'),
        _on(_e.EILSEQ, "the probe's offset is in the middle of an instruction"),
    ),
    *_rows(
        "detach",
        _on(_e.ENOENT, "nothing (or something else) is attached there by now"),
        _on(_e.ENODEV, "the network interface is gone"),
    ),
    *_rows(
        "test run",
        _on(_UNSUPPORTED, "the kernel cannot run programs of type {program_type} for a test"),
        _on(_UNSUPPORTED, "the kernel cannot run programs of this type for a test"),
        _on(
            _e.EINVAL,
            "the data is too short (a network program needs at least an Ethernet header, 14 bytes),"
            " too long for one page, or the context has the wrong size for this program type",
        ),
        _on(_e.ENODEV, "there is no network interface of the number in ingress_ifindex"),
        _on(_e.ENXIO, "there is no such CPU, or it is offline"),
        _on(_e.ENOSPC, "the output does not fit into the buffer for it"),
        _on(_e.EINTR, "a signal interrupted the run"),
    ),
    *_rows(
        "read iterator",
        _on(
            _e.E2BIG,
            "the program wrote more at once than the kernel has room for (8 pages, for one object)",
        ),
        _on(_e.EINVAL, "the link is none of an iterator"),
    ),
    *_rows(
        "ring buffer",
        _on(_e.EINVAL, "the map is no ring buffer, or belongs to another kind of consumer"),
        _on(_e.ENOMEM, "no memory to map the ring buffer"),
    ),
    *_rows(
        "perf buffer",
        _on(
            _e.EINVAL,
            "the number of pages per CPU must be a power of two, not {pages}",
            lambda facts: _no_power_of_two(facts.get("pages")),
        ),
        _on(_e.EINVAL, "the map is no perf event array"),
        _on(_e.ENXIO, "there is no CPU {cpu}: the last one is {last_cpu}"),
        _on(_e.E2BIG, "the map has no entry for CPU {cpu} (max_entries={max_entries})"),
        _on(_e.ENOMEM, "no memory to map {pages} pages per CPU: use fewer"),
        _on(_e.ENODEV, "a CPU went offline meanwhile"),
    ),
    *_rows(
        "update link",
        _on(
            _e.EINVAL,
            "links of type {link_type} cannot be updated, or the program's type or attach type"
            " is not that of the one in place",
        ),
        _on(_e.EOPNOTSUPP, "links of type {link_type} cannot be updated"),
        _on(_e.ENOLINK, "it is detached: the cgroup, interface, namespace or other end is gone"),
        _on(_e.ENOENT, "it is detached: the cgroup, interface, namespace or other end is gone"),
    ),
    *_rows(
        "force detach link",
        _on(
            _UNSUPPORTED,
            "links of type {link_type} have no forced detach: they end when no descriptor and no"
            " pin of theirs is left",
        ),
    ),
    *_rows(
        "pin",
        _on(_e.EEXIST, "something is pinned at that path already: unpin it, or reuse it"),
        _on(_e.ENOENT, "the folder does not exist (make it below /sys/fs/bpf)"),
        _on(_e.EINVAL, "the path is not on a BPF file system: sudo mount -t bpf bpffs /sys/fs/bpf"),
    ),
    *_rows(
        "set",
        _on(_e.EBUSY, "it cannot be changed once the object is loaded"),
        _on(_e.EINVAL, "the kernel or libbpf does not take this value"),
    ),
    *_rows("open id", _on(_e.ENOENT, "there is none of that id (any more)")),
    *_rows(
        "open",
        _on(_e.ENOENT, "there is no such file"),
        _on(
            _e.EINVAL,
            "libbpf found something in the object that it does not know (a SEC() name or"
            " map attribute that is newer than this libbpf?)",
        ),
    ),
    *_rows(
        "",
        _on(
            _e.EMFILE,
            "too many open files: raise the limit (ulimit -n), every map, program and"
            " link holds a descriptor",
        ),
        _on(_e.ENFILE, "the whole system has too many open files (sysctl fs.file-max)"),
        _on(_e.ENOSYS, "this kernel was built without the system call bpf(2)"),
        _on(_e.ENOMEM, "not enough memory (or the memory cgroup's limit)"),
        _on(_e.EBADF, "the descriptor is closed, or is of another kind"),
        _on(_e.EINTR, "a signal interrupted the call"),
        _on(_e.EAGAIN, "the kernel is busy: try again"),
        _on(ENOTSUPP, "the kernel does not offer this here"),
    ),
)


def _no_ring_size(facts: _Facts) -> bool:
    size, page = facts.get("max_entries"), facts["page_size"]
    return size is not None and (_no_power_of_two(size) or size % page != 0)


def _no_power_of_two(number: object) -> bool:
    return isinstance(number, int) and (number <= 0 or number & (number - 1) != 0)
