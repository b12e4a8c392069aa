"""Which capabilities an operation needs.

Read from kernel/bpf/syscall.c (``bpf_prog_load``, ``map_create``,
``bpf_prog_attach_check_attach_type``) and kernel/events/core.c of 5.8 and later; CAP_SYS_ADMIN
stands for each of CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pylibbpf.engine.kernel.host import Host
from pylibbpf.uapi.enums import ProgType
from pylibbpf.uapi.sections import program_type

__all__ = ["NETLINK", "Case", "kept_by_sysctl", "needs", "program_of", "type_name"]

# What a program type needs besides CAP_BPF (is_perfmon_prog_type, is_net_admin_prog_type).
_PROGRAM_NEEDS: dict[str, tuple[str, ...]] = {
    "kprobe": ("PERFMON",),
    "tracepoint": ("PERFMON",),
    "perf_event": ("PERFMON",),
    "raw_tracepoint": ("PERFMON",),
    "raw_tracepoint_writable": ("PERFMON",),
    "tracing": ("PERFMON",),
    "lsm": ("PERFMON",),
    "struct_ops": ("PERFMON",),
    "ext": ("PERFMON", "NET_ADMIN"),
    "sched_cls": ("NET_ADMIN",),
    "sched_act": ("NET_ADMIN",),
    "xdp": ("NET_ADMIN",),
    "lwt_in": ("NET_ADMIN",),
    "lwt_out": ("NET_ADMIN",),
    "lwt_xmit": ("NET_ADMIN",),
    "lwt_seg6local": ("NET_ADMIN",),
    "sk_skb": ("NET_ADMIN",),
    "sk_msg": ("NET_ADMIN",),
    "flow_dissector": ("NET_ADMIN",),
    "cgroup_device": ("NET_ADMIN",),
    "cgroup_sock": ("NET_ADMIN",),
    "cgroup_sock_addr": ("NET_ADMIN",),
    "cgroup_sockopt": ("NET_ADMIN",),
    "cgroup_sysctl": ("NET_ADMIN",),
    "sock_ops": ("NET_ADMIN",),
    "netfilter": ("NET_ADMIN",),
}
# An unprivileged process may load these, and make these maps, where the sysctl allows it.
_OPEN_PROGRAMS = frozenset(("socket_filter", "cgroup_skb"))
_OPEN_MAPS = frozenset(
    (
        *("hash", "percpu_hash", "hash_of_maps", "array", "percpu_array", "array_of_maps"),
        *("prog_array", "perf_event_array", "cgroup_array", "ringbuf", "user_ringbuf"),
        *("cgroup_storage", "percpu_cgroup_storage"),
    )
)
_NETWORK_MAPS = frozenset(("sockmap", "sockhash", "devmap", "devmap_hash", "xskmap"))
# Attached through perf_event_open(2); tracepoints and old-style probes also through tracefs.
_PERF = frozenset(("kprobe", "tracepoint", "perf_event"))
NETLINK = frozenset(("xdp", "sched_cls", "sched_act"))


@dataclass(frozen=True, slots=True)
class Case:
    """One operation, in the words of the tables above, and where it was tried."""

    words: frozenset[str]
    errno: int
    programs: tuple[str, ...]  # one, or for a whole object all that it loads; empty: unknown
    map: str | None
    fd: int | None
    host: Host
    cgroup: tuple[int, int, int] | None = None  # descriptor, attach type, flags
    system_wide: bool = False  # a perf event that watches a CPU, not one process
    more: tuple[str, ...] = ()  # capabilities that this case needs besides
    hook: str = ""  # the SEC() name, without what follows the slash
    before_verifier: bool = False  # a load that was refused before the verifier was called
    socket: int | None = None
    by_tracefs: bool = False  # a probe that is written there, as before Linux 4.17

    @property
    def program(self) -> str | None:
        return self.programs[0] if self.programs else None

    @property
    def makes_map(self) -> bool:
        return "map" in self.words and "create" in self.words

    @property
    def loads(self) -> bool:
        return "load" in self.words and "btf" not in self.words

    @property
    def attaches(self) -> bool:
        return "attach" in self.words

    @property
    def pins(self) -> bool:
        return bool(self.words & {"pin", "unpin", "pinned"})

    @property
    def by_perf(self) -> bool:
        by_link = self.hook.endswith((".multi", ".multi.s", ".session", ".session.s"))
        return self.attaches and self.program in _PERF and not by_link

    @property
    def opens_perf_buffer(self) -> bool:
        return {"perf", "buffer"} <= self.words


def type_name(kind: str | int | None, names: type[enum.IntEnum]) -> str | None:
    """``tracepoint`` for 5, TRACEPOINT and "BPF_PROG_TYPE_TRACEPOINT"; None where unknown."""
    if kind is None:
        return None
    if isinstance(kind, str):
        short = kind.lower().removeprefix("bpf_prog_type_").removeprefix("bpf_map_type_")
        return short or None
    try:
        return names(kind).name.lower() if kind else None
    except ValueError:
        return None


def program_of(section: str | None) -> str | None:
    """The type of the programs of a SEC(), None where it is not known."""
    return type_name(program_type(section or ""), ProgType)


def needs(case: Case) -> tuple[str, ...]:
    """The names of the capabilities, without CAP_; none where they make no difference."""
    found = list(case.more)
    if case.loads:
        if not (_is_for_all(case) and _unprivileged_allowed(case.host)):
            found.append("BPF")
        for program in case.programs:
            found += _PROGRAM_NEEDS.get(program, ())
    elif case.makes_map:
        needless = _OPEN_MAPS | _NETWORK_MAPS
        if not (case.map in needless and _unprivileged_allowed(case.host)):
            found.append("BPF")
        if case.map in _NETWORK_MAPS:
            found.append("NET_ADMIN")
    elif case.attaches:
        if case.by_perf and not _perf_is_open(case):
            found.append("PERFMON")
        if case.program in NETLINK or (case.program or "").startswith("cgroup_"):
            found.append("NET_ADMIN")
    elif case.opens_perf_buffer:
        if not _perf_is_open(case):
            found.append("PERFMON")
    elif "detach" in case.words and case.program in NETLINK:
        found.append("NET_ADMIN")
    elif {"query", "cgroup"} <= case.words:
        found.append("NET_ADMIN")  # bpf_prog_query() in kernel/bpf/syscall.c
    elif {"enter", "namespace"} <= case.words:
        found.append("SYS_ADMIN")  # setns(2)
    elif "id" in case.words or case.words & {"list", "enumerate", "stats"}:
        found.append("SYS_ADMIN")
    elif {"map", "freeze"} <= case.words:
        found.append("BPF")  # map_freeze() of older kernels, whatever the sysctl says
    elif {"btf", "load"} <= case.words:
        found.append("BPF")  # btf_load() in kernel/bpf/syscall.c, whatever the sysctl says
    return tuple(dict.fromkeys(found))


def kept_by_sysctl(case: Case) -> int | None:
    """kernel.unprivileged_bpf_disabled, where nothing else keeps this from all users."""
    if not _is_for_all(case):
        return None
    return case.host.number("proc/sys/kernel/unprivileged_bpf_disabled") or None


def _is_for_all(case: Case) -> bool:
    if case.makes_map:
        return case.map in _OPEN_MAPS
    return case.loads and bool(case.programs) and _OPEN_PROGRAMS.issuperset(case.programs)


def _unprivileged_allowed(host: Host) -> bool:
    return host.number("proc/sys/kernel/unprivileged_bpf_disabled") == 0


def _perf_is_open(case: Case) -> bool:
    # kernel/events/core.c: trace data needs paranoid <= -1, a CPU's events <= 0, kernel
    # profiling <= 1.
    paranoid = case.host.number("proc/sys/kernel/perf_event_paranoid")
    limit = 1 if case.program == "perf_event" or case.opens_perf_buffer else -1
    if case.system_wide:
        limit = min(limit, 0)
    return paranoid is not None and paranoid <= limit and case.program != "kprobe"
