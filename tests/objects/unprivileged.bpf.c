// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Programs and a map that a user without capabilities may load where the system allows it. No
 * .rodata: older kernels freeze it for nobody else.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

static __always_inline int count(void)
{
	__u32 first = 0;
	__u64 *number = bpf_map_lookup_elem(&packets, &first);

	if (number)
		__sync_fetch_and_add(number, 1);
	return 0;
}

SEC("?socket")
int filter(void *ctx)
{
	return count();
}

SEC("?cgroup_skb/egress")
int egress(void *ctx)
{
	count();
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
