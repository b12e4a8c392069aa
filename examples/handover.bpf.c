// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts the packets that a control group sends, by the version of the program that saw them.
 * The count is in a pinned map, so that each version goes on where the one before it was.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define VERSIONS 64

const volatile __u32 version = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VERSIONS);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/* For user space alone: the number of the version that comes next. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

SEC("cgroup_skb/egress")
int count(void *ctx)
{
	__u32 key = version;
	__u64 *packets = bpf_map_lookup_elem(&seen, &key);

	if (packets)
		__sync_fetch_and_add(packets, 1);
	return 1; /* let it pass */
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
