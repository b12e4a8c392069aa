// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps in the form that libbpf 1.0 gave up: still found in old objects, so inspect reads it. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct legacy_map {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 map_flags;
};

struct legacy_map SEC("maps") counts = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 128,
};

struct legacy_map SEC("maps") events = {
	.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u32),
};

SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	if (value)
		++*value;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
