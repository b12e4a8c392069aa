"""The kernel's structs whose functions programs can be: what brought them.

Source: the ``struct bpf_struct_ops`` that the kernel registers (net/ipv4/bpf_tcp_ca.c,
net/bpf/bpf_dummy_struct_ops.c, drivers/hid/bpf/hid_bpf_struct_ops.c, kernel/sched/ext.c,
net/sched/bpf_qdisc.c), Linux 7.2.
"""

from __future__ import annotations

__all__ = ["STRUCT_OPS"]

# The first kernel that has it, and what the kernel must be built with.
STRUCT_OPS: dict[str, tuple[tuple[int, int], str]] = {
    "tcp_congestion_ops": ((5, 6), "CONFIG_BPF_JIT"),
    "bpf_dummy_ops": ((5, 16), "CONFIG_BPF_JIT"),
    "hid_bpf_ops": ((6, 11), "CONFIG_HID_BPF"),
    "sched_ext_ops": ((6, 12), "CONFIG_SCHED_CLASS_EXT"),
    "Qdisc_ops": ((6, 16), "CONFIG_NET_SCH_BPF"),
}
