"""What stands in the way at a place: file systems, maps, cgroups, sockets."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.needs import Case
from pylibbpf.engine.kernel.privileges.finding import Finding, Verdict

__all__ = ["OPEN_TRACEFS", "bpffs", "cgroup_policy", "locked_filter", "map_permission", "tracefs"]

# The group alone may be given: fs/tracefs/inode.c, and event_inode.c since Linux 6.6. Tried on 6.1,
# 6.12 and 7.2: mode=755 opens the folder and none of its files.
OPEN_TRACEFS = "sudo mount -o remount,mode=750,gid=$(id -g) {place}"
_NO_TRACEFS = "raw_tp and tp_btf programs attach to the same tracepoints, without tracefs"
_SO_LOCK_FILTER = 44  # include/uapi/asm-generic/socket.h


def tracefs(case: Case) -> Finding | None:
    # libbpf reads /sys/kernel/debug/tracing where that exists, else /sys/kernel/tracing.
    # It looks up tracepoints there; probes only where the kernel has no perf events for them.
    legacy = case.by_tracefs and case.program == "kprobe"
    if not case.attaches or not (case.program == "tracepoint" or legacy):
        return None
    why = case.host.why_no_tracefs()
    if why is None:
        return Finding(Verdict.CLEARED, "tracefs (readable)")
    if why == errno.EACCES or why == errno.EPERM:
        return Finding(
            Verdict.CAUSE,
            "tracefs (/sys/kernel/tracing) may not be read by this user",
            "grant CAP_DAC_OVERRIDE (libbpf writes probes there)"
            if legacy
            else f"{OPEN_TRACEFS.format(place='/sys/kernel/tracing')} (libbpf looks up tracepoints"
            " there), or grant CAP_DAC_READ_SEARCH",
            'mode="perf" needs no tracefs' if legacy else _NO_TRACEFS,
        )
    if case.host.why_no_tracefs("sys/kernel/debug/tracing") is None:
        return Finding(Verdict.CLEARED, "tracefs (readable below debugfs)")
    return Finding(
        Verdict.POSSIBLE,
        "tracefs is not mounted at /sys/kernel/tracing",
        "sudo mount -t tracefs tracefs /sys/kernel/tracing",
        _NO_TRACEFS if case.program == "tracepoint" else "",
    )


def bpffs(case: Case) -> Finding | None:
    if not case.pins:
        return None
    where = case.host.mounted("bpf")
    if where is None and case.host.read("proc/self/mounts") is None:
        return Finding(Verdict.UNKNOWN, "whether a BPF file system is mounted")
    if where is None:
        return Finding(
            Verdict.CAUSE,
            "no BPF file system is mounted, and only there can something be pinned",
            "sudo mount -t bpf bpffs /sys/fs/bpf",
        )
    return Finding(
        Verdict.POSSIBLE,
        f"the path is not on a BPF file system (one is mounted at {where}), or its folder may"
        " not be written",
        f"pin below {where}",
    )


def map_permission(case: Case) -> Finding | None:
    """Reading and writing entries needs no capability, only a descriptor that allows it."""
    if "map" not in case.words or case.makes_map or case.pins:
        return None
    writes = not case.words & {"lookup", "iteration", "read"} or "delete" in case.words
    if writes and case.host.descriptor(case.fd, "frozen"):
        return Finding(
            Verdict.CAUSE,
            "the map is frozen: its content cannot be changed any more",
            "write before the object is loaded (a .rodata variable is constant afterwards; make"
            " it volatile without const, so that it lies in .data or .bss)",
        )
    flags = case.host.descriptor(case.fd, "flags", base=8)
    if flags is None:
        state = "frozen, or was opened read-only" if writes else "opened write-only"
        return Finding(Verdict.POSSIBLE, f"the map is {state}")
    if flags & os.O_ACCMODE == (os.O_RDONLY if writes else os.O_WRONLY):
        how = "read-only (BPF_F_RDONLY)" if writes else "write-only (BPF_F_WRONLY)"
        return Finding(Verdict.CAUSE, f"the map was made or opened {how}", "leave that flag out")
    return Finding(Verdict.CLEARED, "the map's own permissions")


def cgroup_policy(case: Case) -> Finding | None:
    # kernel/bpf/cgroup.c, hierarchy_allows_attach() and __cgroup_bpf_attach(): -EPERM
    if case.attaches and case.cgroup is not None:
        from pylibbpf.engine.kernel.cgroups import tenant

        found = tenant(*case.cgroup)
        if found is not None:
            return Finding(
                Verdict.CAUSE,
                f"{found}, which allows no such program beside it or below",
                "detach that one first, attach with its mode, or attach to another cgroup",
            )
    if not case.attaches or not (case.program or "").startswith(("cgroup_", "sock_ops")):
        return None
    return Finding(
        Verdict.POSSIBLE,
        "a program is attached to this cgroup, or to one above it, that does not allow others"
        " (other flags than BPF_F_ALLOW_MULTI or BPF_F_ALLOW_OVERRIDE)",
        "look for it with bpftool cgroup tree",
    )


def locked_filter(case: Case) -> Finding | None:
    # net/core/filter.c: -EPERM where SO_LOCK_FILTER is set.
    if case.socket is None:
        return None
    import socket

    with socket.socket(fileno=os.dup(case.socket)) as copy:
        if not copy.getsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER):
            return Finding(Verdict.CLEARED, "a lock on the socket's filter")
    return Finding(Verdict.CAUSE, "the socket's filter is locked for good (SO_LOCK_FILTER)")
