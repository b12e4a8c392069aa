// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps whose values are plain: bloom filters, tries of addresses, locks, sums over CPUs. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct address6 {
	__u32 prefixlen;
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address6);
	__type(value, __u32);
} routes6 SEC(".maps");

/* The address as one number, in the network's byte order; and as bytes only. */
struct address4 {
	__u32 prefixlen;
	__be32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address4);
	__type(value, __u32);
} routes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__uint(value_size, 4);
} routes_untyped SEC(".maps");

/* Data that is no address. */
struct word {
	__u32 prefixlen;
	char text[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct word);
	__type(value, __u32);
} words SEC(".maps");

struct bpf_spin_lock {
	__u32 val;
};

struct guarded {
	struct bpf_spin_lock lock;
	__u32 low;
	__u64 high;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct guarded);
} guarded SEC(".maps");

enum unit {
	PACKETS = 1,
	BYTES = 2,
};

struct tally {
	__u64 count;
	__s32 least;
	enum unit unit;
	__u16 parts[3];
	char name[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __s16);
} small_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} freezable SEC(".maps");

/* Adds args[1] to this CPU's tally of args[0]. */
SEC("raw_tp")
int count(struct bpf_raw_tracepoint_args *ctx)
{
	struct tally fresh = { .unit = BYTES, .name = "tally" };
	struct tally *tally;
	__u32 key = ctx->args[0];

	bpf_map_update_elem(&tallies, &key, &fresh, BPF_NOEXIST);
	tally = bpf_map_lookup_elem(&tallies, &key);
	if (!tally)
		return 0;
	tally->count += ctx->args[1];
	tally->unit = BYTES;
	tally->parts[1]++;
	__builtin_memcpy(tally->name, "tally", 6);
	return 1;
}

/* Gives the value of the address args[0] (its bytes as in memory) in routes4, 0 for none. */
SEC("raw_tp")
int route(struct bpf_raw_tracepoint_args *ctx)
{
	struct address4 key = { .prefixlen = 32, .address = ctx->args[0] };
	__u32 *value = bpf_map_lookup_elem(&routes4, &key);

	return value ? *value : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
