// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A bloom filter: Linux 5.16. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 1000);
	__type(value, __u64);
	__uint(map_extra, 3);
} seen SEC(".maps");

/* Whether args[0] may be there: 0 or 1. */
SEC("raw_tp")
int test(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 value = ctx->args[0];

	return bpf_map_peek_elem(&seen, &value) == 0;
}

SEC("raw_tp")
int add(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 value = ctx->args[0];

	return bpf_map_push_elem(&seen, &value, BPF_ANY);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
