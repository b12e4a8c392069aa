// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The third file: what is weak in the others, and another program of the same section. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct entry);
	__uint(max_entries, 4);
} entries SEC(".maps");

struct entry {
	__u64 count;
	struct owner *owner;
	int pids[2];
};

extern const volatile __u32 step __hidden;

static volatile __u32 calls = 9;
__u8 odd = 1; /* makes the next file's .data start off its alignment */

int weak_number = 13;

static __noinline int twice(int of)
{
	return of * 2 - (int)calls;
}

__hidden int choice(void)
{
	return twice((int)calls);
}

static long visit(void *map, __u32 *key, struct entry *value, void *ctx)
{
	value->count += calls;
	return 0;
}

SEC("raw_tp")
int third(void *ctx)
{
	calls += odd;
	bpf_for_each_map_elem(&entries, visit, NULL, 0);
	return choice() + step;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
