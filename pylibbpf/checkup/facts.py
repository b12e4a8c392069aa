"""Reads the facts of a report from /proc and /sys, and has the engine tell what works."""

from __future__ import annotations

import errno
import os
import resource

from pylibbpf.checkup.report import (
    Btf,
    Config,
    Jit,
    Kernel,
    Memlock,
    Mount,
    Process,
    Report,
    Security,
)
from pylibbpf.engine.kernel.config import read_config
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.privileges import (
    OPEN_TRACEFS,
    filtered_calls,
    in_initial_user_namespace,
    lockdown_mode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import Engine

__all__ = ["examine"]

# What BPF programs, maps and hooks depend on (bpf_types.h, net/sched, kernel/trace of Linux 6.18).
OPTIONS = (
    "CONFIG_BPF_SYSCALL",
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_JIT_ALWAYS_ON",
    "CONFIG_BPF_UNPRIV_DEFAULT_OFF",
    "CONFIG_BPF_EVENTS",
    "CONFIG_BPF_KPROBE_OVERRIDE",
    "CONFIG_BPF_LSM",
    "CONFIG_BPF_STREAM_PARSER",
    "CONFIG_BPF_LIRC_MODE2",
    "CONFIG_CGROUPS",
    "CONFIG_CGROUP_BPF",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_DEBUG_INFO_BTF_MODULES",
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "CONFIG_FPROBE",
    "CONFIG_FTRACE_SYSCALLS",
    "CONFIG_FUNCTION_TRACER",
    "CONFIG_HZ",
    "CONFIG_KALLSYMS_ALL",
    "CONFIG_KPROBES",
    "CONFIG_KPROBE_EVENTS",
    "CONFIG_LWTUNNEL_BPF",
    "CONFIG_NETFILTER_BPF_LINK",
    "CONFIG_NETKIT",
    "CONFIG_NET_ACT_BPF",
    "CONFIG_NET_CLS_BPF",
    "CONFIG_NET_SCH_INGRESS",
    "CONFIG_NET_XGRESS",
    "CONFIG_PERF_EVENTS",
    "CONFIG_SCHED_CLASS_EXT",
    "CONFIG_SECURITY_LOCKDOWN_LSM",
    "CONFIG_UPROBES",
    "CONFIG_UPROBE_EVENTS",
    "CONFIG_XDP_SOCKETS",
)
_SECCOMP = {"0": "none", "1": "strict", "2": "filter"}  # PR_GET_SECCOMP(2)
# Type, where it belongs, what needs it.
_MOUNTS = (
    ("tracefs", "/sys/kernel/tracing", "tracepoints, and kprobes before Linux 4.17"),
    ("debugfs", "/sys/kernel/debug", "nothing that BPF must have (tracefs below it, of old)"),
    ("bpf", "/sys/fs/bpf", "pinning programs, maps and links"),
    ("cgroup2", "/sys/fs/cgroup", "programs that attach to cgroups"),
    ("securityfs", "/sys/kernel/security", "telling the lockdown mode and the security modules"),
)


def examine(engine: Engine, host: Host | None = None) -> Report:
    """The report about an engine on this machine. ``host`` stands in for it in tests."""
    host = host or Host()
    config = read_config(host)
    return Report(
        engine=engine.name,
        kernel=_kernel(host),
        config=Config(config.source, {name: config.options.get(name) for name in OPTIONS}),
        btf=_btf(host),
        jit=Jit(
            enable=host.number("proc/sys/net/core/bpf_jit_enable"),
            harden=host.number("proc/sys/net/core/bpf_jit_harden"),
            always_on=_is_set(config.source, config.options.get("CONFIG_BPF_JIT_ALWAYS_ON")),
        ),
        process=_process(host),
        security=_security(host),
        mounts=tuple(_mount(host, *each) for each in _MOUNTS),
        library=engine.library(),
        abilities=engine.abilities(),
    )


def _is_set(source: str | None, value: str | None) -> bool | None:
    return None if source is None else value == "y"


def _kernel(host: Host) -> Kernel:
    build = host.read("proc/version")
    return Kernel(
        release=host.release(),
        version=host.kernel(),
        machine=os.uname().machine,
        build=build.strip() if build else None,
    )


def _btf(host: Host) -> Btf:
    names = host.listing("sys/kernel/btf")
    return Btf(
        vmlinux=host.size("sys/kernel/btf/vmlinux"),
        modules=tuple(each for each in names if each != "vmlinux"),
    )


def _process(host: Host) -> Process:
    no_new = host.status("NoNewPrivs")
    return Process(
        uid=os.geteuid(),
        effective=host.capabilities("CapEff"),
        permitted=host.capabilities("CapPrm"),
        bounding=host.capabilities("CapBnd"),
        initial_user_namespace=in_initial_user_namespace(host),
        seccomp=_SECCOMP.get(host.status("Seccomp") or ""),
        filtered_calls=filtered_calls(host),
        no_new_privileges=no_new == "1" if no_new else None,
        memlock=_memlock(host),
    )


def _memlock(host: Host) -> Memlock:
    soft, hard = (
        None if each == resource.RLIM_INFINITY else each
        for each in resource.getrlimit(resource.RLIMIT_MEMLOCK)
    )
    kernel = host.kernel()
    # Since 5.11 BPF's memory is charged to the memory cgroup.
    return Memlock(soft, hard, matters=None if kernel is None else kernel < (5, 11))


def _security(host: Host) -> Security:
    modules = host.read("sys/kernel/security/lsm")
    return Security(
        lockdown=lockdown_mode(host),
        modules=tuple(modules.strip().split(",")) if modules else None,
        unprivileged_bpf_disabled=host.number("proc/sys/kernel/unprivileged_bpf_disabled"),
        perf_event_paranoid=host.number("proc/sys/kernel/perf_event_paranoid"),
        kptr_restrict=host.number("proc/sys/kernel/kptr_restrict"),
    )


def _mount(host: Host, kind: str, belongs: str, used_for: str) -> Mount:
    found = host.mounted(kind)
    known = found is not None or host.read("proc/self/mounts") is not None
    place = found or belongs
    mode = host.mode(place.lstrip("/")) if found else None
    why = host.why_no_tracefs if kind == "tracefs" else host.why_unreadable
    # A kernel that was booted with lockdown has a tracefs without events: that is not its mode.
    readable = bool(found) and why(place.lstrip("/")) in (None, errno.ENOENT)
    mend = ""
    if found is None and known:
        name = "bpffs" if kind == "bpf" else kind
        mend = f"sudo mount -t {kind} {name} {belongs}"
    elif found and not readable and kind == "tracefs":
        mend = OPEN_TRACEFS.format(place=place)
    return Mount(kind, place, bool(found) if known else None, mode, readable, used_for, mend)
