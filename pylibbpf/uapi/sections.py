"""SEC() names: what libbpf makes of them, and what brought them.

Source: the table ``section_defs`` of libbpf's libbpf.c. The rows were read out of the libraries
1.1, 1.4 and 1.7 (tests/differential/test_sections.py does it again), those of 1.8 out of its
source; releases in between and kernels by their change logs.
"""

from __future__ import annotations

from pylibbpf.uapi.attaching import ATTACH_THEMSELVES
from pylibbpf.uapi.enums import AttachType, ProgType
from pylibbpf.uapi.flags import BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS

__all__ = ["SECTIONS", "Section", "program_type", "section"]


class Section:
    """One SEC() name; a row of a table, which nobody changes.

    With ``extends``, what to attach to may follow behind a slash. ``attach_type`` is what the
    kernel checks the program for at load (0 where it does not). ``attach_btf``: a function or
    type of that name is looked up in the kernel's BTF at load. ``attaches`` says that
    ``attach()`` can do the rest. ``libbpf`` is the first version that knows the name, ``kernel``
    the first kernel that offers the hook; (5, 10) stands for that one and those before it.
    """

    # No dataclass: whoever attaches comes here, and importing dataclasses takes as long as half of
    # the rest (10 ms, with inspect).
    __slots__ = (
        "attach_btf",
        "attach_type",
        "attaches",
        "extends",
        "frags",
        "kernel",
        "libbpf",
        "name",
        "sleepable",
        "type",
    )

    def __init__(
        self,
        name: str,
        type: ProgType,
        attach_type: int = 0,
        *,
        extends: bool = False,
        attaches: bool = False,
        sleepable: bool = False,
        attach_btf: bool = False,
        frags: bool = False,
        libbpf: tuple[int, int] = (1, 0),
        kernel: tuple[int, int] = (5, 10),
    ) -> None:
        self.name = name
        self.type = type
        self.attach_type = attach_type
        self.extends = extends
        self.attaches = attaches
        self.sleepable = sleepable
        self.attach_btf = attach_btf
        self.frags = frags
        self.libbpf = libbpf
        self.kernel = kernel

    @property
    def flags(self) -> int:
        """Flags of BPF_PROG_LOAD that the name stands for."""
        return (self.sleepable and BPF_F_SLEEPABLE) | (self.frags and BPF_F_XDP_HAS_FRAGS)


def section(name: str) -> Section | None:
    """The row of a SEC() name as it is written in the object, or None where there is none."""
    name = name.removeprefix("?")
    exact = SECTIONS.get(name)
    if exact is not None:
        return exact
    found = SECTIONS.get(name.partition("/")[0])
    return found if found is not None and found.extends else None


def program_type(name: str) -> ProgType | None:
    """Give the type of a program by its section: ``"tp/syscalls/sys_enter_openat"``.

    Also for names that libbpf before 1.0 took, with more behind a slash than they may have. Others
    of its names ("xdp_x", "classifier1") have none: there the user or the loader knows the type.
    """
    name = name.removeprefix("?")
    while name:
        if name in SECTIONS:
            return SECTIONS[name].type
        name = name.rpartition("/")[0]
    return None


def _rows() -> list[Section]:
    p, a = ProgType, AttachType
    found: list[Section] = []

    def add(names: str, kind: ProgType, attach_type: int = 0, **facts: object) -> None:
        for name in names.split():
            last = name.rpartition("/")[2].rpartition(".")[2]
            found.append(
                Section(
                    name.removesuffix("+"),
                    kind,
                    attach_type,
                    extends=name.endswith("+"),
                    attaches=name.removesuffix("+") in ATTACH_THEMSELVES,
                    **{"sleepable": last in ("s", "s+"), **facts},  # type: ignore[arg-type]
                )
            )

    # Probes.
    add("kprobe+ kretprobe+ ksyscall+ kretsyscall+ uprobe+ uretprobe+ usdt+", p.KPROBE)
    add("uprobe.s+ uretprobe.s+", p.KPROBE, kernel=(6, 0))
    add("usdt.s+", p.KPROBE, libbpf=(1, 3), kernel=(6, 0))
    add("kprobe.multi+ kretprobe.multi+", p.KPROBE, a.TRACE_KPROBE_MULTI, kernel=(5, 18))
    add("kprobe.session+", p.KPROBE, a.TRACE_KPROBE_SESSION, libbpf=(1, 5), kernel=(6, 10))
    add(
        "uprobe.multi+ uretprobe.multi+ uprobe.multi.s+ uretprobe.multi.s+",
        p.KPROBE,
        a.TRACE_UPROBE_MULTI,
        libbpf=(1, 3),
        kernel=(6, 6),
    )
    add(
        "uprobe.session+ uprobe.session.s+",
        p.KPROBE,
        a.TRACE_UPROBE_SESSION,
        libbpf=(1, 6),
        kernel=(6, 13),
    )
    add("perf_event", p.PERF_EVENT)

    # The kernel's own trace points and functions.
    add("tracepoint+ tp+", p.TRACEPOINT)
    add("tracepoint.s+ tp.s+", p.TRACEPOINT, libbpf=(1, 8), kernel=(7, 2))
    add("raw_tracepoint+ raw_tp+", p.RAW_TRACEPOINT)
    add("raw_tracepoint.s+ raw_tp.s+", p.RAW_TRACEPOINT, libbpf=(1, 8), kernel=(7, 2))
    add("raw_tracepoint.w+ raw_tp.w+", p.RAW_TRACEPOINT_WRITABLE)
    add("tp_btf+", p.TRACING, a.TRACE_RAW_TP, attach_btf=True)
    add("tp_btf.s+", p.TRACING, a.TRACE_RAW_TP, attach_btf=True, libbpf=(1, 8), kernel=(7, 2))
    add("fentry+ fentry.s+", p.TRACING, a.TRACE_FENTRY, attach_btf=True)
    add("fexit+ fexit.s+", p.TRACING, a.TRACE_FEXIT, attach_btf=True)
    add("fmod_ret+ fmod_ret.s+", p.TRACING, a.MODIFY_RETURN, attach_btf=True)
    add(
        "fsession+ fsession.s+",
        p.TRACING,
        a.TRACE_FSESSION,
        attach_btf=True,
        libbpf=(1, 7),
        kernel=(7, 0),
    )
    for kind in ("fentry", "fexit", "fsession"):
        attach_type = a[f"TRACE_{kind.upper()}_MULTI"]
        names = f"{kind}.multi+ {kind}.multi.s+"
        add(names, p.TRACING, attach_type, libbpf=(1, 8), kernel=(7, 2))
    add("freplace+", p.EXT, attach_btf=True)
    add("lsm+ lsm.s+", p.LSM, a.LSM_MAC, attach_btf=True)
    add("lsm_cgroup+", p.LSM, a.LSM_CGROUP, attach_btf=True, kernel=(6, 0))
    add("iter+", p.TRACING, a.TRACE_ITER, attach_btf=True)
    add("iter.s+", p.TRACING, a.TRACE_ITER, attach_btf=True, kernel=(5, 18))
    add("syscall", p.SYSCALL, sleepable=True, kernel=(5, 14))
    add("struct_ops+", p.STRUCT_OPS)
    add("struct_ops.s+", p.STRUCT_OPS, libbpf=(1, 2), kernel=(6, 3))

    # Network devices.
    add("xdp", p.XDP, a.XDP)
    add("xdp/devmap", p.XDP, a.XDP_DEVMAP)
    add("xdp/cpumap", p.XDP, a.XDP_CPUMAP)
    add("xdp.frags", p.XDP, a.XDP, frags=True, kernel=(5, 18))
    add("xdp.frags/devmap", p.XDP, a.XDP_DEVMAP, frags=True, kernel=(5, 18))
    add("xdp.frags/cpumap", p.XDP, a.XDP_CPUMAP, frags=True, kernel=(5, 18))
    add("tc classifier", p.SCHED_CLS)
    add("action", p.SCHED_ACT)
    for end, attach_type in (("ingress", a.TCX_INGRESS), ("egress", a.TCX_EGRESS)):
        names = f"tcx/{end} tc/{end}"
        add(names, p.SCHED_CLS, attach_type, libbpf=(1, 3), kernel=(6, 6))
    for end, attach_type in (("primary", a.NETKIT_PRIMARY), ("peer", a.NETKIT_PEER)):
        add(f"netkit/{end}", p.SCHED_CLS, attach_type, libbpf=(1, 3), kernel=(6, 7))
    add("netfilter", p.NETFILTER, a.NETFILTER, libbpf=(1, 3), kernel=(6, 4))
    add("lwt_in", p.LWT_IN)
    add("lwt_out", p.LWT_OUT)
    add("lwt_xmit", p.LWT_XMIT)
    add("lwt_seg6local", p.LWT_SEG6LOCAL)
    add("flow_dissector", p.FLOW_DISSECTOR, a.FLOW_DISSECTOR)
    add("lirc_mode2", p.LIRC_MODE2, a.LIRC_MODE2)

    # Sockets.
    add("socket", p.SOCKET_FILTER)
    add("sk_reuseport", p.SK_REUSEPORT, a.SK_REUSEPORT_SELECT)
    add("sk_reuseport/migrate", p.SK_REUSEPORT, a.SK_REUSEPORT_SELECT_OR_MIGRATE, kernel=(5, 14))
    add("sk_lookup", p.SK_LOOKUP, a.SK_LOOKUP)
    add("sk_msg", p.SK_MSG, a.SK_MSG_VERDICT)
    add("sk_skb", p.SK_SKB)
    add("sk_skb/stream_parser", p.SK_SKB, a.SK_SKB_STREAM_PARSER)
    add("sk_skb/stream_verdict", p.SK_SKB, a.SK_SKB_STREAM_VERDICT)
    add("sk_skb/verdict", p.SK_SKB, a.SK_SKB_VERDICT, libbpf=(1, 4), kernel=(5, 13))
    add("sockops", p.SOCK_OPS, a.CGROUP_SOCK_OPS)

    # Control groups.
    add("cgroup/skb", p.CGROUP_SKB)
    add("cgroup_skb/ingress", p.CGROUP_SKB, a.CGROUP_INET_INGRESS)
    add("cgroup_skb/egress", p.CGROUP_SKB, a.CGROUP_INET_EGRESS)
    add("cgroup/sock cgroup/sock_create", p.CGROUP_SOCK, a.CGROUP_INET_SOCK_CREATE)
    add("cgroup/sock_release", p.CGROUP_SOCK, a.CGROUP_INET_SOCK_RELEASE)
    add("cgroup/post_bind4", p.CGROUP_SOCK, a.CGROUP_INET4_POST_BIND)
    add("cgroup/post_bind6", p.CGROUP_SOCK, a.CGROUP_INET6_POST_BIND)
    for name in ("bind", "connect", "getpeername", "getsockname"):
        for version in "46":
            attach_type = a[f"CGROUP_INET{version}_{name.upper()}"]
            add(f"cgroup/{name}{version}", p.CGROUP_SOCK_ADDR, attach_type)
    for name in ("sendmsg", "recvmsg"):
        for version in "46":
            attach_type = a[f"CGROUP_UDP{version}_{name.upper()}"]
            add(f"cgroup/{name}{version}", p.CGROUP_SOCK_ADDR, attach_type)
    for name in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname"):
        attach_type = a[f"CGROUP_UNIX_{name.upper()}"]
        names = f"cgroup/{name}_unix"
        add(names, p.CGROUP_SOCK_ADDR, attach_type, libbpf=(1, 3), kernel=(6, 7))
    add("cgroup/sysctl", p.CGROUP_SYSCTL, a.CGROUP_SYSCTL)
    add("cgroup/getsockopt", p.CGROUP_SOCKOPT, a.CGROUP_GETSOCKOPT)
    add("cgroup/setsockopt", p.CGROUP_SOCKOPT, a.CGROUP_SETSOCKOPT)
    add("cgroup/dev", p.CGROUP_DEVICE, a.CGROUP_DEVICE)
    return found


SECTIONS = {each.name: each for each in _rows()}
