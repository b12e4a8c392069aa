"""Numbers of networking hooks.

Facts of include/uapi/linux/ (if_link.h, netfilter.h, bpf.h) of Linux 7.2.
"""

from __future__ import annotations

# XDP_FLAGS_*
XDP_UPDATE_IF_NOEXIST = 1 << 0
XDP_MODES = {"generic": 1 << 1, "native": 1 << 2, "offload": 1 << 3}
# XDP_ATTACHED_*
XDP_ATTACHED = {1: "native", 2: "generic", 3: "offload"}

# NFPROTO_*, and the hooks of each (NF_INET_*)
NETFILTER_FAMILIES = {"ipv4": 2, "ipv6": 10}
NETFILTER_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
BPF_F_NETFILTER_IP_DEFRAG = 1 << 0
