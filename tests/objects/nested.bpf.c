// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps of maps. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct key {
	__u32 host;
	__u16 port;
	__u16 family;
};

struct value {
	__u64 hits;
	char name[8];
};

struct inner_hash {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct key);
	__type(value, struct value);
};

/* clang 19 and older only declare, in BTF, structs that nothing but an inner map names. */
const struct key *unused_key __attribute__((unused));
const struct value *unused_value __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner_hash);
} tenants SEC(".maps");

struct inner_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
};

/* Filled by libbpf at load. */
struct inner_array first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner_array);
} windows SEC(".maps") = {
	.values = { &first, 0, &second },
};

/* Adds 1 to windows[args[0]][args[1]], and gives it; -1: there is no such window. */
SEC("raw_tp")
int bump(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 window = ctx->args[0], place = ctx->args[1];
	void *inner = bpf_map_lookup_elem(&windows, &window);
	__u64 *value;

	if (!inner)
		return -1;
	value = bpf_map_lookup_elem(inner, &place);
	if (!value)
		return -2;
	return ++*value;
}

/* Adds a hit to tenants[args[0]][{args[1], 80, 2}]. */
SEC("raw_tp")
int hit(struct bpf_raw_tracepoint_args *ctx)
{
	struct key key = { .host = ctx->args[1], .port = 80, .family = 2 };
	struct value fresh = { .hits = 1, .name = "fresh" };
	__u32 tenant = ctx->args[0];
	void *inner = bpf_map_lookup_elem(&tenants, &tenant);
	struct value *value;

	if (!inner)
		return -1;
	value = bpf_map_lookup_elem(inner, &key);
	if (value)
		return ++value->hits;
	return bpf_map_update_elem(inner, &key, &fresh, BPF_ANY);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
