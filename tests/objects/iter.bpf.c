// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A map that its own program fills while user space walks through it. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define MOST 4096

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} recent SEC(".maps");

/* Keys args[0] to args[0] + args[1] - 1 (at most 4096 of them), each with its own value. */
SEC("raw_tp")
int fill(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 first = ctx->args[0], count = ctx->args[1], i;

	for (i = 0; i < MOST && i < count; i++) {
		__u32 key = first + i;
		__u64 value = key;

		bpf_map_update_elem(&entries, &key, &value, BPF_ANY);
		bpf_map_update_elem(&recent, &key, &value, BPF_ANY);
	}
	return 0;
}

SEC("raw_tp")
int drain(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 first = ctx->args[0], count = ctx->args[1], i;

	for (i = 0; i < MOST && i < count; i++) {
		__u32 key = first + i;

		bpf_map_delete_elem(&entries, &key);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
