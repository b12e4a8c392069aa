// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Storage on cgroups, for all programs: Linux 6.2. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} cgroups SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
