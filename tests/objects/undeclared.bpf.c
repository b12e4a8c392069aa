// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A map of maps that does not say what is in it. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__uint(value_size, 4);
} outer SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
