// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* As pinned.bpf.c, but for two members of the struct that change their places: sizes agree. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

enum color {
	RED = 1,
	GREEN = 2,
};

struct point {
	__s32 y;
	__s32 x;
};

struct value {
	__u64 total;
	struct point at;
	enum color color;
	__u32 low : 3, high : 29;
	char name[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct value);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} kept SEC(".maps");

__u64 counter;

SEC("raw_tp")
int touch(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = ctx->args[0];
	struct value *found = bpf_map_lookup_elem(&kept, &key);

	if (found)
		found->total++;
	counter++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
