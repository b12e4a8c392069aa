// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Programs that the verifier refuses, each for a reason of its own. null_value is loaded by
 * default; the others wait for autoload.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("raw_tp")
int null_value(void *ctx)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	*value += 1; /* may be NULL */
	return 0;
}

SEC("?raw_tp")
int out_of_bounds(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = 1, index = ctx->args[0];
	__u8 *value = bpf_map_lookup_elem(&counts, &key);

	if (!value)
		return 0;
	return value[index]; /* any index */
}

SEC("?raw_tp")
int endless(struct bpf_raw_tracepoint_args *ctx)
{
	volatile __u64 n = ctx->args[0];

	while (n != 1)
		n = n & 1 ? 3 * n + 1 : n >> 1;
	return 0;
}

SEC("?raw_tp")
int leaked_address(void *ctx)
{
	__u32 key = 1;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	/* A key read through a pointer that is none. */
	return bpf_map_delete_elem(&counts, (void *)(unsigned long)(value != NULL));
}

/* Its log is some megabytes long. */
SEC("?raw_tp")
int long_log(struct bpf_raw_tracepoint_args *ctx)
{
	volatile __u64 sum = 0;
	__u32 i, key;
	__u64 *value;

	for (i = 0; i < 8000; i++)
		sum += i;
	key = sum;
	value = bpf_map_lookup_elem(&counts, &key);
	*value = sum; /* may be NULL */
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
