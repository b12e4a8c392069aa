"""Hooks: whether the kernel offers them, asked with targets that do not exist.

Each hook is asked by what attaching to it would call, so far that the kernel has to look for the
target: EBADF, ENOENT, ENODEV or ESRCH is then the good answer, and EINVAL or EOPNOTSUPP says that
there is no such hook. Where attaching has no such call, loading the program for it tells.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from pylibbpf.ability import Ability
from pylibbpf.btf.types import Kind
from pylibbpf.engine.kernel.probe.programs import PROGRAMS, Load, loaded
from pylibbpf.engine.kernel.probe.questions import (
    NO_DESCRIPTOR,
    NO_DEVICE,
    Ask,
    ask_attach,
    ask_hardware_event,
    ask_kprobe_multi,
    ask_link,
    ask_perf_probe,
    ask_raw_tracepoint,
    ask_software_event,
    ask_uprobe_multi,
    need_active_lsm,
    need_no_lockdown,
    need_pmu,
    need_tc,
    need_tracefs,
)
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.uapi.enums import AttachType, ProgType
from pylibbpf.uapi.sections import section

__all__ = ["HOOKS", "HookProbe", "hook", "instead"]


@dataclass(frozen=True, slots=True)
class HookProbe:
    """How one hook is asked."""

    name: str
    since: str
    load: Load
    ask: Ask | None = None
    found: tuple[int, ...] = ()  # the errnos that say: the hook is there, its target is not
    option: str = ""  # what the kernel must be built with
    needs: tuple[Callable[[Asker, Ability], Ability | None], ...] = ()  # asked before
    instead: tuple[str, ...] = ()  # hooks that do the like, best first
    means: tuple[int, str] = (0, "")  # an errno that says more here than elsewhere

    @property
    def section(self) -> str:
        """A SEC() name of the hook, which the table of :mod:`pylibbpf.uapi.sections` has."""
        both = {"tcx": "tcx/ingress", "netkit": "netkit/primary"}
        return both.get(self.name, self.name.partition(" ")[0])


def hook(asker: Asker, each: HookProbe) -> Ability:
    """Whether programs can be attached to this hook."""
    about = _about(each)
    found = _ask(asker, each, about)
    if found.works:
        return found
    return replace(found, instead=instead(asker, each) or found.instead)


def instead(asker: Asker, each: HookProbe) -> str:
    """The hooks that would do instead, of those that work here."""
    good = [name for name in each.instead if _works(asker, name)]
    return " or ".join(good[:2])


def _about(each: HookProbe) -> Ability:
    known = section(each.section)
    libbpf = ".".join(map(str, known.libbpf)) if known is not None else ""
    return Ability("hook", each.name, None, since=each.since, libbpf=libbpf)


def row_of(name: str) -> HookProbe | None:
    """The hook of a SEC() name, as far as it is in the table."""
    name = name.removeprefix("?")
    for each in (name, name.partition("/")[0]):
        short = each.removesuffix(".s")
        wanted = _SAME.get(short, short)
        for row in HOOKS:
            if row.name == wanted:
                return row
    return None


# SEC() names of one hook, under which the table has it.
_SAME = {
    "perf_event": "perf_event (software)",
    "kretprobe": "kprobe",
    "ksyscall": "kprobe",
    "kretsyscall": "kprobe",
    "kretprobe.multi": "kprobe.multi",
    "uretprobe": "uprobe",
    "usdt": "uprobe",
    "uretprobe.multi": "uprobe.multi",
    "tp": "tracepoint",
    "raw_tracepoint": "raw_tp",
    "raw_tracepoint.w": "raw_tp.w",
    "xdp.frags": "xdp",
    "classifier": "tc",
    "tcx/ingress": "tcx",
    "tcx/egress": "tcx",
    "netkit/primary": "netkit",
    "netkit/peer": "netkit",
}


def _works(asker: Asker, name: str) -> bool:
    if f"hook {name}" not in asker.known:
        row = next(row for row in HOOKS if row.name == name)
        _ask(asker, row, _about(row))
    return asker.known[f"hook {name}"].works is True


def _ask(asker: Asker, each: HookProbe, about: Ability) -> Ability:
    for need in each.needs:
        refusal = need(asker, about)
        if refusal is not None:
            return refusal
    with loaded(asker, each.load, about) as (answer, verdict):
        if answer.errno:
            return verdict
        if each.ask is None:
            return asker.yes(verdict)
        probe = each.ask(asker, answer.value)
        if probe.errno in (0, *each.found):
            return asker.yes(verdict, probe)
        return asker.no(
            verdict,
            probe,
            "attach",
            option=each.option,
            reason=each.means[1] if probe.errno == each.means[0] else "",
            program_type=each.load.type,
            section=each.name,
        )


# --------------------------------------------------------------------------------------------
# The table

_BY_TYPE = {load.type: load for load in PROGRAMS}
_KPROBE = _BY_TYPE[ProgType.KPROBE]
_CLS = _BY_TYPE[ProgType.SCHED_CLS]
_EBADF = (errno.EBADF,)
_KPROBES, _UPROBES = "CONFIG_KPROBE_EVENTS", "CONFIG_UPROBE_EVENTS"


def _tracing(attach_type: AttachType, target: str, since: str, option: str = "") -> Load:
    kind = Kind.TYPEDEF if attach_type is AttachType.TRACE_RAW_TP else Kind.FUNC
    return Load(ProgType.TRACING, since, attach_type, targets=(target,), kind=kind, option=option)


def _cgroup(name: str, since: str, *attach_types: AttachType) -> tuple[HookProbe, ...]:
    """Hooks of a cgroup, one for each attach type; SEC() names end like the attach types."""
    kinds = {
        "cgroup_skb": ProgType.CGROUP_SKB,
        "cgroup/sock": ProgType.CGROUP_SOCK,
        "sockops": ProgType.SOCK_OPS,
        "cgroup/dev": ProgType.CGROUP_DEVICE,
        "cgroup/sysctl": ProgType.CGROUP_SYSCTL,
        "cgroup/sockopt": ProgType.CGROUP_SOCKOPT,
        "cgroup/addr": ProgType.CGROUP_SOCK_ADDR,
    }
    load = replace(_BY_TYPE[kinds[name]], retval=1, since=since)
    return tuple(
        HookProbe(
            _SECTIONS[each],
            since,
            replace(load, attach_type=each),
            ask_link(each, NO_DESCRIPTOR),
            _EBADF,
            "CONFIG_CGROUP_BPF",
        )
        for each in attach_types
    )


# The SEC() name for each hook of a cgroup (section_defs in libbpf.c, 1.7).
_SECTIONS = {
    AttachType.CGROUP_INET_INGRESS: "cgroup_skb/ingress",
    AttachType.CGROUP_INET_EGRESS: "cgroup_skb/egress",
    AttachType.CGROUP_INET_SOCK_CREATE: "cgroup/sock_create",
    AttachType.CGROUP_INET_SOCK_RELEASE: "cgroup/sock_release",
    AttachType.CGROUP_INET4_POST_BIND: "cgroup/post_bind4",
    AttachType.CGROUP_INET6_POST_BIND: "cgroup/post_bind6",
    AttachType.CGROUP_SOCK_OPS: "sockops",
    AttachType.CGROUP_DEVICE: "cgroup/dev",
    AttachType.CGROUP_SYSCTL: "cgroup/sysctl",
    AttachType.CGROUP_GETSOCKOPT: "cgroup/getsockopt",
    AttachType.CGROUP_SETSOCKOPT: "cgroup/setsockopt",
    AttachType.CGROUP_INET4_BIND: "cgroup/bind4",
    AttachType.CGROUP_INET6_BIND: "cgroup/bind6",
    AttachType.CGROUP_INET4_CONNECT: "cgroup/connect4",
    AttachType.CGROUP_INET6_CONNECT: "cgroup/connect6",
    AttachType.CGROUP_UNIX_CONNECT: "cgroup/connect_unix",
    AttachType.CGROUP_UDP4_SENDMSG: "cgroup/sendmsg4",
    AttachType.CGROUP_UDP6_SENDMSG: "cgroup/sendmsg6",
    AttachType.CGROUP_UNIX_SENDMSG: "cgroup/sendmsg_unix",
    AttachType.CGROUP_UDP4_RECVMSG: "cgroup/recvmsg4",
    AttachType.CGROUP_UDP6_RECVMSG: "cgroup/recvmsg6",
    AttachType.CGROUP_UNIX_RECVMSG: "cgroup/recvmsg_unix",
    AttachType.CGROUP_INET4_GETPEERNAME: "cgroup/getpeername4",
    AttachType.CGROUP_INET6_GETPEERNAME: "cgroup/getpeername6",
    AttachType.CGROUP_UNIX_GETPEERNAME: "cgroup/getpeername_unix",
    AttachType.CGROUP_INET4_GETSOCKNAME: "cgroup/getsockname4",
    AttachType.CGROUP_INET6_GETSOCKNAME: "cgroup/getsockname6",
    AttachType.CGROUP_UNIX_GETSOCKNAME: "cgroup/getsockname_unix",
}
_A = AttachType

# The order is that of docs: tracing, devices, cgroups, sockets, the rest. The versions are those of
# the commits that added the attach types (include/uapi/linux/bpf.h).
HOOKS: tuple[HookProbe, ...] = (
    HookProbe(
        "kprobe",
        "4.1",
        _KPROBE,
        ask_perf_probe("kprobe"),
        (errno.ENOENT,),
        _KPROBES,
        needs=(need_pmu("kprobe", _KPROBES), need_no_lockdown),
        instead=("fentry", "tp_btf", "raw_tp"),
    ),
    HookProbe(
        "kprobe.multi",
        "5.18",
        replace(_KPROBE, attach_type=_A.TRACE_KPROBE_MULTI),
        ask_kprobe_multi(_A.TRACE_KPROBE_MULTI),
        (errno.ESRCH,),
        "CONFIG_FPROBE",
        instead=("kprobe", "fentry", "tp_btf", "raw_tp"),
    ),
    HookProbe(
        "kprobe.session",
        "6.10",
        replace(_KPROBE, attach_type=_A.TRACE_KPROBE_SESSION),
        ask_kprobe_multi(_A.TRACE_KPROBE_SESSION),
        (errno.ESRCH,),
        "CONFIG_FPROBE",
        instead=("kprobe.multi", "kprobe", "fexit", "tp_btf"),
    ),
    HookProbe(
        "uprobe",
        "4.3",
        _KPROBE,
        ask_perf_probe("uprobe"),
        (errno.ENOENT,),
        _UPROBES,
        needs=(need_pmu("uprobe", _UPROBES),),
        instead=("uprobe.multi",),
    ),
    HookProbe(
        "uprobe.multi",
        "6.6",
        replace(_KPROBE, attach_type=_A.TRACE_UPROBE_MULTI),
        ask_uprobe_multi(_A.TRACE_UPROBE_MULTI),
        (errno.ENOENT,),
        _UPROBES,
        instead=("uprobe",),
    ),
    HookProbe(
        "uprobe.session",
        "6.13",
        replace(_KPROBE, attach_type=_A.TRACE_UPROBE_SESSION),
        ask_uprobe_multi(_A.TRACE_UPROBE_SESSION),
        (errno.ENOENT,),
        _UPROBES,
        instead=("uprobe.multi", "uprobe"),
    ),
    HookProbe(
        "tracepoint",
        "4.7",
        _BY_TYPE[ProgType.TRACEPOINT],
        ask_software_event,
        needs=(need_tracefs,),
        instead=("tp_btf", "raw_tp"),
    ),
    HookProbe(
        "raw_tp",
        "4.17",
        _BY_TYPE[ProgType.RAW_TRACEPOINT],
        ask_raw_tracepoint,
        (errno.ENOENT,),
        instead=("tp_btf", "tracepoint"),
    ),
    HookProbe(
        "raw_tp.w",
        "5.2",
        _BY_TYPE[ProgType.RAW_TRACEPOINT_WRITABLE],
        ask_raw_tracepoint,
        (errno.ENOENT,),
        instead=("raw_tp",),
    ),
    HookProbe(
        "tp_btf",
        "5.5",
        _BY_TYPE[ProgType.TRACING],
        instead=("raw_tp", "tracepoint"),
    ),
    HookProbe(
        "fentry",
        "5.5",
        _tracing(
            _A.TRACE_FENTRY, "bpf_fentry_test1", "5.5", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
        ),
        instead=("kprobe", "tp_btf", "raw_tp"),
    ),
    HookProbe(
        "fexit",
        "5.5",
        _tracing(
            _A.TRACE_FEXIT, "bpf_fentry_test1", "5.5", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
        ),
        instead=("kprobe", "tp_btf", "raw_tp"),
    ),
    HookProbe(
        "fsession",
        "7.0",
        _tracing(
            _A.TRACE_FSESSION, "bpf_fentry_test1", "7.0", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
        ),
        instead=("fexit", "kprobe.session", "kprobe", "tp_btf"),
    ),
    HookProbe(
        "fmod_ret",
        "5.7",
        # Functions of either kind may be changed; a kernel can be built without the first.
        Load(
            ProgType.TRACING,
            "5.7",
            _A.MODIFY_RETURN,
            targets=("security_file_open", "bpf_modify_return_test"),
        ),
        instead=("lsm",),
    ),
    HookProbe("freplace", "5.6", _BY_TYPE[ProgType.EXT]),
    HookProbe(
        "lsm",
        "5.7",
        _BY_TYPE[ProgType.LSM],
        needs=(need_active_lsm,),
        instead=("fmod_ret",),
    ),
    HookProbe("iter", "5.8", _tracing(_A.TRACE_ITER, "bpf_iter_task", "5.8")),
    HookProbe(
        "perf_event (software)",
        "4.9",
        _BY_TYPE[ProgType.PERF_EVENT],
        ask_software_event,
        option="CONFIG_PERF_EVENTS",
    ),
    HookProbe(
        "perf_event (hardware)",
        "4.9",
        _BY_TYPE[ProgType.PERF_EVENT],
        ask_hardware_event,
        option="CONFIG_PERF_EVENTS",
        means=(
            errno.ENOENT,
            "the kernel knows no hardware counters here (virtual machines often have none)",
        ),
        instead=("perf_event (software)",),
    ),
    HookProbe("xdp", "4.8", _BY_TYPE[ProgType.XDP], instead=("tcx", "tc")),
    HookProbe("tc", "4.1", _CLS, needs=(need_tc,), instead=("tcx",)),
    HookProbe(
        "tcx",
        "6.6",
        replace(_CLS, attach_type=_A.TCX_INGRESS),
        ask_link(_A.TCX_INGRESS, NO_DEVICE, what="no device"),
        (errno.ENODEV,),
        "CONFIG_NET_XGRESS",
        instead=("tc",),
    ),
    HookProbe(
        "netkit",
        "6.7",
        replace(_CLS, attach_type=_A.NETKIT_PRIMARY),
        ask_link(_A.NETKIT_PRIMARY, NO_DEVICE, what="no device"),
        (errno.ENODEV,),
        "CONFIG_NETKIT",
        instead=("tcx", "tc"),
    ),
    HookProbe(
        "netfilter",
        "6.4",
        _BY_TYPE[ProgType.NETFILTER],
        ask_link(_A.NETFILTER, 0, struct.pack("=IIiI", 0, 0, 0, 0), "no protocol family"),
        (errno.EAFNOSUPPORT,),
        "CONFIG_NETFILTER_BPF_LINK",
        instead=("tcx", "tc", "cgroup_skb/egress"),
    ),
    *_cgroup("cgroup_skb", "4.10", _A.CGROUP_INET_INGRESS, _A.CGROUP_INET_EGRESS),
    *_cgroup("cgroup/sock", "4.10", _A.CGROUP_INET_SOCK_CREATE),
    *_cgroup("cgroup/sock", "5.9", _A.CGROUP_INET_SOCK_RELEASE),
    *_cgroup("cgroup/sock", "4.17", _A.CGROUP_INET4_POST_BIND, _A.CGROUP_INET6_POST_BIND),
    *_cgroup("sockops", "4.13", _A.CGROUP_SOCK_OPS),
    *_cgroup("cgroup/dev", "4.15", _A.CGROUP_DEVICE),
    *_cgroup("cgroup/sysctl", "5.2", _A.CGROUP_SYSCTL),
    *_cgroup("cgroup/sockopt", "5.3", _A.CGROUP_GETSOCKOPT, _A.CGROUP_SETSOCKOPT),
    *_cgroup("cgroup/addr", "4.17", _A.CGROUP_INET4_BIND, _A.CGROUP_INET6_BIND),
    *_cgroup("cgroup/addr", "4.17", _A.CGROUP_INET4_CONNECT, _A.CGROUP_INET6_CONNECT),
    *_cgroup("cgroup/addr", "4.18", _A.CGROUP_UDP4_SENDMSG, _A.CGROUP_UDP6_SENDMSG),
    *_cgroup("cgroup/addr", "5.2", _A.CGROUP_UDP4_RECVMSG, _A.CGROUP_UDP6_RECVMSG),
    *_cgroup("cgroup/addr", "5.8", _A.CGROUP_INET4_GETPEERNAME, _A.CGROUP_INET6_GETPEERNAME),
    *_cgroup("cgroup/addr", "5.8", _A.CGROUP_INET4_GETSOCKNAME, _A.CGROUP_INET6_GETSOCKNAME),
    *_cgroup(
        "cgroup/addr",
        "6.7",
        _A.CGROUP_UNIX_CONNECT,
        _A.CGROUP_UNIX_SENDMSG,
        _A.CGROUP_UNIX_RECVMSG,
        _A.CGROUP_UNIX_GETPEERNAME,
        _A.CGROUP_UNIX_GETSOCKNAME,
    ),
    HookProbe(
        "lsm_cgroup",
        "6.0",
        Load(
            ProgType.LSM,
            "6.0",
            _A.LSM_CGROUP,
            1,
            targets=("bpf_lsm_socket_create",),
            option="CONFIG_BPF_LSM",
        ),
        ask_link(_A.LSM_CGROUP, NO_DESCRIPTOR),
        _EBADF,
        needs=(need_active_lsm,),
        instead=("lsm", "cgroup/sock_create"),
    ),
    HookProbe(
        "sk_lookup",
        "5.9",
        _BY_TYPE[ProgType.SK_LOOKUP],
        ask_link(_A.SK_LOOKUP, NO_DESCRIPTOR),
        _EBADF,
        "CONFIG_INET",
    ),
    HookProbe(
        "flow_dissector",
        "5.8",
        _BY_TYPE[ProgType.FLOW_DISSECTOR],
        ask_link(_A.FLOW_DISSECTOR, NO_DESCRIPTOR),
        _EBADF,
        "CONFIG_NET",
    ),
    HookProbe("sk_reuseport", "4.19", _BY_TYPE[ProgType.SK_REUSEPORT]),
    HookProbe("socket", "3.19", _BY_TYPE[ProgType.SOCKET_FILTER]),
    HookProbe(
        "sk_skb/stream_verdict",
        "4.14",
        replace(_BY_TYPE[ProgType.SK_SKB], attach_type=_A.SK_SKB_STREAM_VERDICT),
        ask_attach(_A.SK_SKB_STREAM_VERDICT),
        _EBADF,
    ),
    HookProbe(
        "sk_skb/stream_parser",
        "4.14",
        replace(_BY_TYPE[ProgType.SK_SKB], attach_type=_A.SK_SKB_STREAM_PARSER),
        ask_attach(_A.SK_SKB_STREAM_PARSER),
        _EBADF,
        "CONFIG_BPF_STREAM_PARSER",
    ),
    HookProbe(
        "sk_skb/verdict",
        "5.13",
        replace(_BY_TYPE[ProgType.SK_SKB], attach_type=_A.SK_SKB_VERDICT),
        ask_attach(_A.SK_SKB_VERDICT),
        _EBADF,
        instead=("sk_skb/stream_verdict",),
    ),
    HookProbe(
        "sk_msg",
        "4.17",
        _BY_TYPE[ProgType.SK_MSG],
        ask_attach(_A.SK_MSG_VERDICT),
        _EBADF,
    ),
    HookProbe("struct_ops", "5.6", _BY_TYPE[ProgType.STRUCT_OPS]),
    HookProbe("syscall", "5.14", _BY_TYPE[ProgType.SYSCALL]),
    HookProbe(
        "lirc_mode2",
        "4.18",
        _BY_TYPE[ProgType.LIRC_MODE2],
        ask_attach(_A.LIRC_MODE2),
        (*_EBADF, errno.ENODEV),
        "CONFIG_BPF_LIRC_MODE2",
    ),
)
