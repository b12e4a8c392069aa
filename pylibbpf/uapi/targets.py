"""Which attach types a program of a kind can have, for those that attach to cgroups and sockets.

Source: ``bpf_prog_attach_check_attach_type()`` and ``attach_type_to_prog_type()`` in
kernel/bpf/syscall.c, Linux 7.2.
"""

from __future__ import annotations

from pylibbpf.uapi.enums import AttachType, ProgType

CGROUP: dict[int, tuple[AttachType, ...]] = {
    ProgType.CGROUP_SKB: (AttachType.CGROUP_INET_INGRESS, AttachType.CGROUP_INET_EGRESS),
    ProgType.CGROUP_SOCK: (
        AttachType.CGROUP_INET_SOCK_CREATE,
        AttachType.CGROUP_INET_SOCK_RELEASE,
        AttachType.CGROUP_INET4_POST_BIND,
        AttachType.CGROUP_INET6_POST_BIND,
    ),
    ProgType.CGROUP_SOCK_ADDR: (
        AttachType.CGROUP_INET4_BIND,
        AttachType.CGROUP_INET6_BIND,
        AttachType.CGROUP_INET4_CONNECT,
        AttachType.CGROUP_INET6_CONNECT,
        AttachType.CGROUP_UDP4_SENDMSG,
        AttachType.CGROUP_UDP6_SENDMSG,
        AttachType.CGROUP_UDP4_RECVMSG,
        AttachType.CGROUP_UDP6_RECVMSG,
        AttachType.CGROUP_INET4_GETPEERNAME,
        AttachType.CGROUP_INET6_GETPEERNAME,
        AttachType.CGROUP_INET4_GETSOCKNAME,
        AttachType.CGROUP_INET6_GETSOCKNAME,
        AttachType.CGROUP_UNIX_CONNECT,
        AttachType.CGROUP_UNIX_SENDMSG,
        AttachType.CGROUP_UNIX_RECVMSG,
        AttachType.CGROUP_UNIX_GETPEERNAME,
        AttachType.CGROUP_UNIX_GETSOCKNAME,
    ),
    ProgType.SOCK_OPS: (AttachType.CGROUP_SOCK_OPS,),
    ProgType.CGROUP_DEVICE: (AttachType.CGROUP_DEVICE,),
    ProgType.CGROUP_SYSCTL: (AttachType.CGROUP_SYSCTL,),
    ProgType.CGROUP_SOCKOPT: (AttachType.CGROUP_GETSOCKOPT, AttachType.CGROUP_SETSOCKOPT),
    ProgType.LSM: (AttachType.LSM_CGROUP,),
}
# Of these the kernel minds at load which attach type they are for, and takes no other later.
# A packet filter may be attached to either direction.
ANY_OF_ITS_KIND = frozenset((ProgType.CGROUP_SKB, ProgType.SK_SKB))

SOCKMAP: dict[int, tuple[AttachType, ...]] = {
    ProgType.SK_SKB: (
        AttachType.SK_SKB_STREAM_PARSER,
        AttachType.SK_SKB_STREAM_VERDICT,
        AttachType.SK_SKB_VERDICT,
    ),
    ProgType.SK_MSG: (AttachType.SK_MSG_VERDICT,),
}
