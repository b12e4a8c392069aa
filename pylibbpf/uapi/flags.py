"""Flags of bpf(2).

Facts of include/uapi/linux/bpf.h, Linux 7.2. The least kernel is 5.10 where nothing is said.
"""

from __future__ import annotations

# BPF_MAP_UPDATE_ELEM and its like, BPF_MAP_LOOKUP_ELEM.
BPF_ANY = 0
BPF_NOEXIST = 1
BPF_EXIST = 2
BPF_F_LOCK = 4
BPF_F_CPU = 8  # 7.0; the CPU's number is in the upper 32 bits
BPF_F_ALL_CPUS = 16  # 7.0

# BPF_MAP_CREATE, and the flags of descriptors (BPF_F_RDONLY, BPF_F_WRONLY) and pins.
BPF_F_NO_PREALLOC = 1 << 0
BPF_F_NO_COMMON_LRU = 1 << 1
BPF_F_NUMA_NODE = 1 << 2
BPF_F_RDONLY = 1 << 3
BPF_F_WRONLY = 1 << 4
BPF_F_STACK_BUILD_ID = 1 << 5
BPF_F_ZERO_SEED = 1 << 6
BPF_F_RDONLY_PROG = 1 << 7
BPF_F_WRONLY_PROG = 1 << 8
BPF_F_CLONE = 1 << 9
BPF_F_MMAPABLE = 1 << 10
BPF_F_PRESERVE_ELEMS = 1 << 11
BPF_F_INNER_MAP = 1 << 12
BPF_F_LINK = 1 << 13  # 6.4
BPF_F_PATH_FD = 1 << 14  # 6.5
BPF_F_VTYPE_BTF_OBJ_FD = 1 << 15  # 6.9
BPF_F_TOKEN_FD = 1 << 16  # 6.9
BPF_F_SEGV_ON_FAULT = 1 << 17  # 6.9
BPF_F_NO_USER_CONV = 1 << 18  # 6.9
BPF_F_RB_OVERWRITE = 1 << 19  # 6.19

# BPF_PROG_LOAD.
BPF_F_SLEEPABLE = 1 << 4
BPF_F_XDP_HAS_FRAGS = 1 << 5  # 5.18

# BPF_PROG_TEST_RUN.
BPF_F_TEST_RUN_ON_CPU = 1 << 0
BPF_F_TEST_XDP_LIVE_FRAMES = 1 << 1  # 5.18
BPF_F_TEST_SKB_CHECKSUM_COMPLETE = 1 << 2  # 6.14

# BPF_PROG_ATTACH and BPF_LINK_CREATE: several programs at one hook.
BPF_F_ALLOW_OVERRIDE = 1 << 0
BPF_F_ALLOW_MULTI = 1 << 1
BPF_F_REPLACE = 1 << 2
BPF_F_BEFORE = 1 << 3  # 6.6
BPF_F_AFTER = 1 << 4  # 6.6
BPF_F_ID = 1 << 5  # 6.6; with BPF_F_LINK (above), what is meant is a link
BPF_F_PREORDER = 1 << 6  # 6.15

# BPF_PROG_QUERY.
BPF_F_QUERY_EFFECTIVE = 1 << 0
