"""What the kernel tells of a descriptor (BPF_OBJ_GET_INFO_BY_FD, fdinfo), as typed values."""

from __future__ import annotations

import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load
from pylibbpf.info import (
    CgroupLinkInfo,
    IterLinkInfo,
    KprobeMultiLinkInfo,
    LinkInfo,
    NetfilterLinkInfo,
    NetkitLinkInfo,
    NetnsLinkInfo,
    PerfEventLinkInfo,
    ProgramInfo,
    RawTracepointLinkInfo,
    SockmapLinkInfo,
    StructOpsLinkInfo,
    TcxLinkInfo,
    TracingLinkInfo,
    UprobeMultiLinkInfo,
    XdpLinkInfo,
)
from pylibbpf.uapi.enums import AttachType, LinkType, ProgType, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    _Facts = dict[str, Any]

__all__ = ["fdinfo", "link_info", "program_info", "struct_ops_link", "type_and_id"]

_NAME = 256  # more than any name of a function or tracepoint (KSYM_NAME_LEN is 512 since 6.1)
_SYMBOL = 512
_PATH = 4096
# enum bpf_perf_event_type
_PERF = ("", "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint", "event")


def _ask(fd: int, filled: Any, name: str | None) -> Any:
    """Have the kernel fill a struct. What the struct asks for (buffers) it asks for again."""
    ffi, lib = load()
    size = ffi.new("uint32_t *", ffi.sizeof(filled[0]))
    check(lib.bpf_obj_get_info_by_fd(fd, filled, size), "info", name)
    return filled


def _address(buffer: Any) -> int:
    ffi, _ = load()
    return int(ffi.cast("uintptr_t", buffer))


def _text(array: Any) -> str:
    ffi, _ = load()
    return os.fsdecode(ffi.string(array))


def fdinfo(fd: int) -> dict[str, str]:
    """The lines of /proc/self/fdinfo/FD; empty where /proc is not to be read."""
    found = {}
    try:
        with open(f"/proc/self/fdinfo/{fd}", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                found[key.strip()] = value.strip()
    except OSError:
        return {}
    return found


def program_info(fd: int, name: str | None = None) -> ProgramInfo:
    """What the kernel tells of a program."""
    ffi, _ = load()
    info = _ask(fd, ffi.new("struct bpf_prog_info *"), name)
    maps: Any = ()
    # Maps come to a program while it lives (BPF_PROG_BIND_MAP): until there was room for all.
    while info.nr_map_ids > len(maps):
        maps = ffi.new("uint32_t[]", info.nr_map_ids)
        again = {"nr_map_ids": len(maps), "map_ids": _address(maps)}
        info = _ask(fd, ffi.new("struct bpf_prog_info *", again), name)
    return ProgramInfo(
        id=info.id,
        type=named(ProgType, info.type),
        name=_text(info.name),
        tag=bytes(ffi.buffer(info.tag)).hex(),
        load_time_ns=info.load_time,
        uid=info.created_by_uid,
        gpl_compatible=bool(info.bits & 1),
        map_ids=tuple(maps)[: info.nr_map_ids],
        btf_id=info.btf_id,
        ifindex=info.ifindex,
        attach_btf_id=info.attach_btf_id,
        attach_btf_obj_id=info.attach_btf_obj_id,
        verified_insns=info.verified_insns,
        xlated_len=info.xlated_prog_len,
        jited_len=info.jited_prog_len,
        memory=int(fdinfo(fd).get("memlock", 0)),
        run_time_ns=info.run_time_ns,
        run_count=info.run_cnt,
        recursion_misses=info.recursion_misses,
    )


# ---- links


def type_and_id(fd: int, name: str | None = None) -> tuple[int, int]:
    """The type and the id of a link."""
    ffi, _ = load()
    info = _ask(fd, ffi.new("struct bpf_link_info *"), name)
    return info.type, info.id


def struct_ops_link(fd: int) -> tuple[int, int]:
    """The type of a link, and the id of its map if that is STRUCT_OPS."""
    ffi, _ = load()
    info = _ask(fd, ffi.new("struct bpf_link_info *"), None)
    return info.type, info.struct_ops.map_id


def link_info(fd: int, name: str | None = None) -> LinkInfo:
    """What the kernel tells of a link, by its type."""
    ffi, _ = load()
    info = _ask(fd, ffi.new("struct bpf_link_info *"), name)
    common: _Facts = {"id": info.id, "type": named(LinkType, info.type), "prog_id": info.prog_id}
    decode = _DECODERS.get(info.type)
    if decode is None:
        return LinkInfo(**common)

    def again(part: str, inner: str | None = None, **fields: Any) -> Any:
        """Ask once more, with buffers in that member of the union."""
        given: dict[str, Any] = {"by_type": {inner: fields}} if inner else fields
        filled = _ask(fd, ffi.new("struct bpf_link_info *", {part: given}), name)
        return getattr(filled, part)

    kind, facts = decode(info, again)
    return kind(**common, **facts)


def _raw_tracepoint(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    ffi, _ = load()
    name = ffi.new("char[]", _NAME)
    found = again("raw_tracepoint", tp_name=_address(name), tp_name_len=_NAME)
    return RawTracepointLinkInfo, {"tp_name": _text(name), "cookie": found.cookie}


def _tracing(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    found = info.tracing
    return TracingLinkInfo, {
        "attach_type": named(AttachType, found.attach_type),
        "target_obj_id": found.target_obj_id,
        "target_btf_id": found.target_btf_id,
        "cookie": found.cookie,
    }


def _cgroup(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return CgroupLinkInfo, {
        "cgroup_id": info.cgroup.cgroup_id,
        "attach_type": named(AttachType, info.cgroup.attach_type),
    }


def _iter(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    ffi, _ = load()
    buffer = ffi.new("char[]", _NAME)
    found = again("iter", target_name=_address(buffer), target_name_len=_NAME)
    # Members of a union, of which we declare one: which is meant, the target's name tells
    # (kernel: the fill_link_info of each bpf_iter_reg). tid and pid lie where cgroup_id does.
    target = _text(buffer)
    by_map = target in ("bpf_map_elem", "bpf_sk_storage_map", "sockmap")
    by_task = target in ("task", "task_file", "task_vma")
    by_cgroup = target == "cgroup"
    return IterLinkInfo, {
        "target_name": target,
        "map_id": found.map_id if by_map else 0,
        "cgroup_id": found.cgroup.cgroup_id if by_cgroup else 0,
        "cgroup_order": found.cgroup.order if by_cgroup else 0,
        "tid": found.cgroup.cgroup_id & 0xFFFFFFFF if by_task else 0,
        "pid": found.cgroup.cgroup_id >> 32 if by_task else 0,
    }


def _netns(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return NetnsLinkInfo, {
        "netns_ino": info.netns.netns_ino,
        "attach_type": named(AttachType, info.netns.attach_type),
    }


def _xdp(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return XdpLinkInfo, {"ifindex": info.xdp.ifindex}


def _perf_event(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    ffi, _ = load()
    number = info.perf_event.type
    kind = _PERF[number] if number < len(_PERF) else ""
    facts: _Facts = {
        "kind": kind,
        **dict.fromkeys(("offset", "address", "missed", "cookie", "ref_ctr_offset"), 0),
        **dict.fromkeys(("event_type", "event_config"), 0),
        "name": "",
    }
    if kind in ("uprobe", "uretprobe"):
        name = ffi.new("char[]", _PATH)
        fields = {"file_name": _address(name), "name_len": _PATH}
        found = again("perf_event", "uprobe", **fields).by_type.uprobe
        facts |= {
            "name": _text(name),
            "offset": found.offset,
            "cookie": found.cookie,
            "ref_ctr_offset": found.ref_ctr_offset,
        }
    elif kind in ("kprobe", "kretprobe"):
        name = ffi.new("char[]", _SYMBOL)
        fields = {"func_name": _address(name), "name_len": _SYMBOL}
        found = again("perf_event", "kprobe", **fields).by_type.kprobe
        facts |= {
            "name": _text(name),
            "offset": found.offset,
            "address": found.addr,
            "missed": found.missed,
            "cookie": found.cookie,
        }
    elif kind == "tracepoint":
        name = ffi.new("char[]", _NAME)
        fields = {"tp_name": _address(name), "name_len": _NAME}
        found = again("perf_event", "tracepoint", **fields).by_type.tracepoint
        facts |= {"name": _text(name), "cookie": found.cookie}
    elif kind == "event":
        found = info.perf_event.by_type.event
        facts |= {
            "event_type": found.type,
            "event_config": found.config,
            "cookie": found.cookie,
        }
    return PerfEventLinkInfo, facts


def _kprobe_multi(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    ffi, _ = load()
    count = info.kprobe_multi.count
    addresses, cookies = ffi.new("uint64_t[]", count), ffi.new("uint64_t[]", count)
    found = info.kprobe_multi
    if count:
        fields = {"addrs": _address(addresses), "cookies": _address(cookies), "count": count}
        found = again("kprobe_multi", **fields)
    return KprobeMultiLinkInfo, {
        "count": count,
        "flags": found.flags,
        "missed": found.missed,
        "addresses": tuple(addresses),
        "cookies": tuple(cookies),
    }


def _uprobe_multi(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    ffi, _ = load()
    count = info.uprobe_multi.count
    found = info.uprobe_multi
    path = ffi.new("char[]", _PATH)
    names = ("offsets", "ref_ctr_offsets", "cookies")
    arrays = {name: ffi.new("uint64_t[]", count) for name in names}
    if count:
        fields = {name: _address(array) for name, array in arrays.items()}
        fields |= {"path": _address(path), "path_size": _PATH, "count": count}
        found = again("uprobe_multi", **fields)
    return UprobeMultiLinkInfo, {
        "path": _text(path),
        "pid": found.pid,
        "flags": found.flags,
        **{name: tuple(array) for name, array in arrays.items()},
    }


def _struct_ops(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return StructOpsLinkInfo, {"map_id": info.struct_ops.map_id}


def _netfilter(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    found = info.netfilter
    return NetfilterLinkInfo, {
        "pf": found.pf,
        "hooknum": found.hooknum,
        "priority": found.priority,
        "flags": found.flags,
    }


def _tcx(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return TcxLinkInfo, {
        "ifindex": info.tcx.ifindex,
        "attach_type": named(AttachType, info.tcx.attach_type),
    }


def _netkit(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return NetkitLinkInfo, {
        "ifindex": info.netkit.ifindex,
        "attach_type": named(AttachType, info.netkit.attach_type),
    }


def _sockmap(info: Any, again: Callable[..., Any]) -> tuple[type[LinkInfo], _Facts]:
    return SockmapLinkInfo, {
        "map_id": info.sockmap.map_id,
        "attach_type": named(AttachType, info.sockmap.attach_type),
    }


_DECODERS: dict[int, Callable[[Any, Callable[..., Any]], tuple[type[LinkInfo], _Facts]]] = {
    LinkType.RAW_TRACEPOINT: _raw_tracepoint,
    LinkType.TRACING: _tracing,
    LinkType.CGROUP: _cgroup,
    LinkType.ITER: _iter,
    LinkType.NETNS: _netns,
    LinkType.XDP: _xdp,
    LinkType.PERF_EVENT: _perf_event,
    LinkType.KPROBE_MULTI: _kprobe_multi,
    LinkType.STRUCT_OPS: _struct_ops,
    LinkType.NETFILTER: _netfilter,
    LinkType.TCX: _tcx,
    LinkType.UPROBE_MULTI: _uprobe_multi,
    LinkType.NETKIT: _netkit,
    LinkType.SOCKMAP: _sockmap,
}
