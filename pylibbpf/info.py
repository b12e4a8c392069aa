"""What the kernel tells of a program, a map or a link, as frozen values.

``program.info()``, ``map.info()`` and ``link.info()`` give one of these. A kernel that is older
than a fact leaves it at zero, ``""`` or ``()``; the version is said where that can happen on
Linux 5.10 or later. Links have a class for each type, so that a ``match`` statement tells them
apart::

    match link.info():
        case XdpLinkInfo(ifindex=index): ...
        case CgroupLinkInfo(cgroup_id=cgroup): ...
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CgroupLinkInfo",
    "IterLinkInfo",
    "KprobeMultiLinkInfo",
    "LinkInfo",
    "MapInfo",
    "NetfilterLinkInfo",
    "NetkitLinkInfo",
    "NetnsLinkInfo",
    "PerfEventLinkInfo",
    "ProgramInfo",
    "RawTracepointLinkInfo",
    "SockmapLinkInfo",
    "StructOpsLinkInfo",
    "TcxLinkInfo",
    "TracingLinkInfo",
    "UprobeMultiLinkInfo",
    "XdpLinkInfo",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramInfo:
    """A loaded program (struct bpf_prog_info)."""

    id: int
    type: int
    """A :class:`~pylibbpf.ProgType`."""
    name: str
    """The kernel keeps 15 bytes of it."""
    tag: str
    """SHA of the instructions, 16 hexadecimal digits: the same for the same program."""
    load_time_ns: int
    """When it was loaded, in nanoseconds since boot (CLOCK_BOOTTIME)."""
    uid: int
    """The user who loaded it."""
    gpl_compatible: bool
    map_ids: tuple[int, ...]
    """Ids of the maps that it uses."""
    btf_id: int
    ifindex: int
    """Interface of a program that is offloaded to hardware; 0: it runs on the CPUs."""
    attach_btf_id: int
    """Type id of the function that a tracing or LSM program is for. Linux 5.17."""
    attach_btf_obj_id: int
    """Id of the BTF that ``attach_btf_id`` belongs to. Linux 5.17."""
    verified_insns: int
    """Instructions that the verifier walked through. Linux 5.16."""
    xlated_len: int
    """Bytes of its instructions, as the verifier left them."""
    jited_len: int
    """Bytes of machine code; 0: it is interpreted."""
    memory: int
    """Bytes of kernel memory that it takes."""
    run_time_ns: int
    """Time spent in it while :func:`pylibbpf.run_stats` was on, in nanoseconds."""
    run_count: int
    """How often it ran while :func:`pylibbpf.run_stats` was on."""
    recursion_misses: int
    """How often it was not run because it was running already. Linux 5.12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapInfo:
    """A map in the kernel (struct bpf_map_info)."""

    id: int
    type: int
    """A :class:`~pylibbpf.MapType`."""
    name: str
    """The kernel keeps 15 bytes of it."""
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    extra: int
    """What ``map_extra`` of the definition says. Linux 5.16."""
    ifindex: int
    """Interface of a map that is offloaded to hardware."""
    btf_id: int
    key_type_id: int
    """Type id of the key in the BTF ``btf_id``; 0: it is bytes."""
    value_type_id: int
    vmlinux_value_type_id: int
    """Type id of a struct_ops map's value in the kernel's own BTF."""
    frozen: bool
    """True where user space may not write it any more."""
    memory: int
    """Bytes of kernel memory that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """A link (struct bpf_link_info): what is common to all types, or all that is known."""

    id: int
    type: int
    """A :class:`~pylibbpf.LinkType`."""
    prog_id: int
    """Id of the attached program; 0 for struct_ops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTracepointLinkInfo(LinkInfo):
    """A raw tracepoint."""

    tp_name: str
    cookie: int
    """Linux 6.19."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingLinkInfo(LinkInfo):
    """fentry, fexit, fmod_ret, LSM, tp_btf, freplace."""

    attach_type: int
    target_obj_id: int
    """Id of the BTF that the target belongs to; for freplace, of the program. Linux 5.13."""
    target_btf_id: int
    """Type id of the function, or of the tracepoint's typedef. Linux 5.13."""
    cookie: int
    """Linux 6.19."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLinkInfo(LinkInfo):
    """A cgroup. ``cgroup_id`` is the inode number of its folder, or 0 after its end."""

    cgroup_id: int
    attach_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IterLinkInfo(LinkInfo):
    """An iterator, and what it is limited to (0: nothing)."""

    target_name: str
    """What it goes through: ``task``, ``bpf_map_elem``, ``cgroup``."""
    map_id: int
    cgroup_id: int
    """Linux 6.1."""
    cgroup_order: int
    """Linux 6.1."""
    tid: int
    """Linux 6.1."""
    pid: int
    """Linux 6.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetnsLinkInfo(LinkInfo):
    """sk_lookup or flow_dissector in a network namespace; 0 after the namespace's end."""

    netns_ino: int
    attach_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class XdpLinkInfo(LinkInfo):
    """XDP on an interface; ``ifindex`` is 0 once it is detached or the interface is gone."""

    ifindex: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfEventLinkInfo(LinkInfo):
    """A perf event: kprobe, uprobe, tracepoint, or an event that counts.

    ``kind`` is ``"kprobe"``, ``"kretprobe"``, ``"uprobe"``, ``"uretprobe"``, ``"tracepoint"``,
    ``"event"``, or ``""`` before Linux 6.6, which tells none of this. The other fields are zero
    where they do not belong to the kind.
    """

    kind: str
    name: str
    """Function of a kprobe, file of a uprobe, name of a tracepoint."""
    offset: int
    """Of the probe, in the function or file."""
    address: int
    """Of a kprobe; 0 for whoever may not know it (CAP_SYSLOG, kernel.kptr_restrict)."""
    missed: int
    """How often a kprobe did not run the program. Linux 6.7."""
    cookie: int
    """Linux 6.9."""
    ref_ctr_offset: int
    """Of a uprobe's reference counter. Linux 6.19."""
    event_type: int
    """Of an event: PERF_TYPE_*."""
    event_config: int
    """Of an event: what is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeMultiLinkInfo(LinkInfo):
    """kprobe.multi or kprobe.session; all but id and program since Linux 6.6."""

    count: int
    flags: int
    """1 (BPF_F_KPROBE_MULTI_RETURN): it is at the functions' return."""
    missed: int
    """How often the program was not run. Linux 6.7."""
    addresses: tuple[int, ...]
    """Of the functions; zeros for whoever may not know them (CAP_SYSLOG)."""
    cookies: tuple[int, ...]
    """As the addresses. Linux 6.9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructOpsLinkInfo(LinkInfo):
    """A struct_ops map in use; ``map_id`` is 0 once it is not any more."""

    map_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetfilterLinkInfo(LinkInfo):
    """A netfilter hook: NFPROTO_*, NF_INET_*, the lowest priority first."""

    pf: int
    hooknum: int
    priority: int
    flags: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TcxLinkInfo(LinkInfo):
    """tcx on an interface; ``ifindex`` is 0 once it is detached or the interface is gone."""

    ifindex: int
    attach_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetkitLinkInfo(LinkInfo):
    """A netkit device; ``ifindex`` is 0 once it is detached or the device is gone."""

    ifindex: int
    attach_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeMultiLinkInfo(LinkInfo):
    """uprobe.multi or uprobe.session; all but id and program since Linux 6.8."""

    path: str
    pid: int
    """The process that it is limited to; 0: all."""
    flags: int
    """1 (BPF_F_UPROBE_MULTI_RETURN): it is at the functions' return."""
    offsets: tuple[int, ...]
    ref_ctr_offsets: tuple[int, ...]
    cookies: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SockmapLinkInfo(LinkInfo):
    """A sockmap or sockhash; ``map_id`` is 0 once the map is gone."""

    map_id: int
    attach_type: int
