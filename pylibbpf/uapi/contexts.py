"""Contexts of programs that BPF_PROG_TEST_RUN takes and gives back, as user space lays them out.

Facts of include/uapi/linux/bpf.h, Linux 7.2: each field's name, size in bytes, and number of
elements (0: no array), at its natural alignment. A pointer is shown as an integer of 8 bytes.
Kernels before know fewer fields at the end, and take these structs as long as those are zero.
"""

from __future__ import annotations

from pylibbpf.uapi.enums import ProgType

__all__ = ["CONTEXTS", "FIELDS", "SK_BUFF_INPUT"]

FIELDS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "__sk_buff": (
        ("len", 4, 0),
        ("pkt_type", 4, 0),
        ("mark", 4, 0),
        ("queue_mapping", 4, 0),
        ("protocol", 4, 0),
        ("vlan_present", 4, 0),
        ("vlan_tci", 4, 0),
        ("vlan_proto", 4, 0),
        ("priority", 4, 0),
        ("ingress_ifindex", 4, 0),
        ("ifindex", 4, 0),
        ("tc_index", 4, 0),
        ("cb", 4, 5),
        ("hash", 4, 0),
        ("tc_classid", 4, 0),
        ("data", 4, 0),
        ("data_end", 4, 0),
        ("napi_id", 4, 0),
        ("family", 4, 0),
        ("remote_ip4", 4, 0),
        ("local_ip4", 4, 0),
        ("remote_ip6", 4, 4),
        ("local_ip6", 4, 4),
        ("remote_port", 4, 0),
        ("local_port", 4, 0),
        ("data_meta", 4, 0),
        ("flow_keys", 8, 0),
        ("tstamp", 8, 0),
        ("wire_len", 4, 0),
        ("gso_segs", 4, 0),
        ("sk", 8, 0),
        ("gso_size", 4, 0),
        ("tstamp_type", 1, 0),  # 5.18; the three bytes behind it are padding
        ("hwtstamp", 8, 0),  # 5.16
    ),
    "xdp_md": (
        ("data", 4, 0),
        ("data_end", 4, 0),
        ("data_meta", 4, 0),
        ("ingress_ifindex", 4, 0),
        ("rx_queue_index", 4, 0),
        ("egress_ifindex", 4, 0),
    ),
    "bpf_flow_keys": (
        ("nhoff", 2, 0),
        ("thoff", 2, 0),
        ("addr_proto", 2, 0),
        ("is_frag", 1, 0),
        ("is_first_frag", 1, 0),
        ("is_encap", 1, 0),
        ("ip_proto", 1, 0),
        ("n_proto", 2, 0),
        ("sport", 2, 0),
        ("dport", 2, 0),
        ("ipv6_src", 4, 4),  # an IPv4 address is its first element
        ("ipv6_dst", 4, 4),
        ("flags", 4, 0),
        ("flow_label", 4, 0),
    ),
    "bpf_sk_lookup": (
        ("cookie", 8, 0),  # non-zero if a socket was selected
        ("family", 4, 0),
        ("protocol", 4, 0),
        ("remote_ip4", 4, 0),
        ("remote_ip6", 4, 4),
        ("remote_port", 2, 0),  # network byte order; two bytes behind it are padding
        ("local_ip4", 4, 0),
        ("local_ip6", 4, 4),
        ("local_port", 4, 0),  # host byte order
        ("ingress_ifindex", 4, 0),  # 5.17
    ),
}

_SK_BUFF = (
    ProgType.SOCKET_FILTER,
    ProgType.SCHED_CLS,
    ProgType.SCHED_ACT,
    ProgType.CGROUP_SKB,
    ProgType.LWT_IN,
    ProgType.LWT_OUT,
    ProgType.LWT_XMIT,
    ProgType.LWT_SEG6LOCAL,
)
# By type of program, what its test run takes as context (net/bpf/test_run.c).
CONTEXTS: dict[int, str] = {
    **dict.fromkeys(_SK_BUFF, "__sk_buff"),
    ProgType.XDP: "xdp_md",
    ProgType.FLOW_DISSECTOR: "bpf_flow_keys",
    ProgType.SK_LOOKUP: "bpf_sk_lookup",
}

# The fields of a struct __sk_buff that may be set for a test run; the rest must be zero
# (net/bpf/test_run.c, convert___skb_to_skb).
SK_BUFF_INPUT = frozenset(
    (
        "mark",
        "priority",
        "ingress_ifindex",
        "ifindex",
        "cb",
        "data_end",  # 5.19
        "tstamp",
        "wire_len",
        "gso_segs",
        "gso_size",
        "hwtstamp",
    )
)
