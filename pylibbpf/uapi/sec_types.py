"""The program type that a SEC() name stands for.

Source: the table ``section_defs`` in libbpf's libbpf.c, version 1.7. Names of old libbpf ("xdp_x",
"classifier1") and of other loaders have no entry: there the user or the loader knows the type.
"""

from __future__ import annotations

from pylibbpf.uapi.enums import ProgType

_NAMES = {
    ProgType.SOCKET_FILTER: "socket",
    ProgType.SK_REUSEPORT: "sk_reuseport",
    ProgType.KPROBE: "kprobe kretprobe kprobe.multi kretprobe.multi kprobe.session uprobe uprobe.s "
    "uretprobe uretprobe.s uprobe.multi uprobe.multi.s uretprobe.multi uretprobe.multi.s "
    "uprobe.session uprobe.session.s ksyscall kretsyscall usdt usdt.s",
    ProgType.SCHED_CLS: "tc tcx/ingress tcx/egress classifier netkit/primary netkit/peer",
    ProgType.SCHED_ACT: "action",
    ProgType.TRACEPOINT: "tracepoint tp",
    ProgType.RAW_TRACEPOINT: "raw_tracepoint raw_tp",
    ProgType.RAW_TRACEPOINT_WRITABLE: "raw_tracepoint.w raw_tp.w",
    ProgType.TRACING: "tp_btf fentry fentry.s fmod_ret fmod_ret.s fexit fexit.s fsession "
    "fsession.s iter iter.s",
    ProgType.EXT: "freplace",
    ProgType.LSM: "lsm lsm.s lsm_cgroup",
    ProgType.SYSCALL: "syscall",
    ProgType.XDP: "xdp xdp.frags",
    ProgType.PERF_EVENT: "perf_event",
    ProgType.LWT_IN: "lwt_in",
    ProgType.LWT_OUT: "lwt_out",
    ProgType.LWT_XMIT: "lwt_xmit",
    ProgType.LWT_SEG6LOCAL: "lwt_seg6local",
    ProgType.SOCK_OPS: "sockops",
    ProgType.SK_SKB: "sk_skb",
    ProgType.SK_MSG: "sk_msg",
    ProgType.LIRC_MODE2: "lirc_mode2",
    ProgType.FLOW_DISSECTOR: "flow_dissector",
    ProgType.CGROUP_SKB: "cgroup_skb cgroup/skb",
    ProgType.CGROUP_SOCK: "cgroup/sock cgroup/sock_create cgroup/sock_release cgroup/post_bind4 "
    "cgroup/post_bind6",
    ProgType.CGROUP_SOCK_ADDR: "cgroup/bind4 cgroup/bind6 cgroup/connect4 cgroup/connect6 "
    "cgroup/connect_unix cgroup/sendmsg4 cgroup/sendmsg6 cgroup/sendmsg_unix cgroup/recvmsg4 "
    "cgroup/recvmsg6 cgroup/recvmsg_unix cgroup/getpeername4 cgroup/getpeername6 "
    "cgroup/getpeername_unix cgroup/getsockname4 cgroup/getsockname6 cgroup/getsockname_unix",
    ProgType.CGROUP_SYSCTL: "cgroup/sysctl",
    ProgType.CGROUP_SOCKOPT: "cgroup/getsockopt cgroup/setsockopt",
    ProgType.CGROUP_DEVICE: "cgroup/dev",
    ProgType.STRUCT_OPS: "struct_ops struct_ops.s",
    ProgType.SK_LOOKUP: "sk_lookup",
    ProgType.NETFILTER: "netfilter",
}
_TYPES = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def program_type(section: str) -> ProgType | None:
    """Give the type of a program by its section: ``"tp/syscalls/sys_enter_openat"``."""
    name = section.removeprefix("?")
    while name:
        if name in _TYPES:
            return _TYPES[name]
        name = name.rpartition("/")[0]
    return None
