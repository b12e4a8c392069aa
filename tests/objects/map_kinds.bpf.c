// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A map of each kind that stands alone, and an optional program that uses it: a test creates one
 * map, and loads its program. What the programs are given is in args[].
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

enum {
	RHASH = 35, /* BPF_MAP_TYPE_RHASH, 7.2 */
};

#define ENTRIES(name, kind, flags)          \
	struct {                            \
		__uint(type, kind);         \
		__uint(max_entries, 4);     \
		__uint(map_flags, flags);   \
		__type(key, __u32);         \
		__type(value, __u64);       \
	} name SEC(".maps")

/* Counts at the key args[0]; gives the count before. */
#define COUNTED(name, kind, flags)                                      \
	ENTRIES(name, kind, flags);                                     \
	SEC("?raw_tp")                                                  \
	int use_##name(struct bpf_raw_tracepoint_args *ctx)             \
	{                                                               \
		__u32 key = ctx->args[0];                               \
		__u64 one = 1;                                          \
		__u64 *value = bpf_map_lookup_elem(&name, &key);        \
                                                                        \
		if (value)                                              \
			return (*value)++;                              \
		return bpf_map_update_elem(&name, &key, &one, BPF_ANY); \
	}

COUNTED(hash, BPF_MAP_TYPE_HASH, 0)
COUNTED(array, BPF_MAP_TYPE_ARRAY, 0)
COUNTED(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 0)
COUNTED(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 0)
COUNTED(lru_hash, BPF_MAP_TYPE_LRU_HASH, 0)
COUNTED(lru_percpu_hash, BPF_MAP_TYPE_LRU_PERCPU_HASH, 0)
COUNTED(rhash, RHASH, BPF_F_NO_PREALLOC)

struct prefix {
	__u32 prefixlen;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} lpm_trie SEC(".maps");

/* Gives the value of 10.0.0.args[0], 0 for none. */
SEC("?raw_tp")
int use_lpm_trie(struct bpf_raw_tracepoint_args *ctx)
{
	struct prefix key = { .prefixlen = 32, .address = { 10, 0, 0, ctx->args[0] } };
	__u32 *value = bpf_map_lookup_elem(&lpm_trie, &key);

	return value ? *value : 0;
}

/* Takes one value, adds 1 and puts it back; gives it, or 0 where there is none. */
#define TURNED(name, kind)                                      \
	struct {                                                \
		__uint(type, kind);                             \
		__uint(max_entries, 4);                         \
		__type(value, __u32);                           \
	} name SEC(".maps");                                    \
	SEC("?raw_tp")                                          \
	int use_##name(void *ctx)                               \
	{                                                       \
		__u32 value;                                    \
                                                                \
		if (bpf_map_pop_elem(&name, &value))            \
			return 0;                               \
		value++;                                        \
		bpf_map_push_elem(&name, &value, BPF_ANY);      \
		return value;                                   \
	}

TURNED(queue, BPF_MAP_TYPE_QUEUE)
TURNED(stack, BPF_MAP_TYPE_STACK)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
