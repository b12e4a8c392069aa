// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One map of each shape, and a program that changes some of them. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

enum state {
	IDLE = 0,
	RUNNING = 1,
	DONE = 7,
};

struct key {
	__u32 pid;
	char name[12];
};

struct value {
	__u64 total;
	__s32 last;
	enum state state;
	bool seen;
	__u8 mac[6];
	__u16 ports[2];
};

struct prefix {
	__u32 prefixlen;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} hash SEC(".maps");

/* Two entries: soon full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct value);
} records SEC(".maps");

/* Known to BTF by size only: keys and values are bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(key_size, 3);
	__uint(value_size, 5);
} untyped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __s64);
	__type(value, __s16);
} signed_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, enum state);
	__type(value, bool);
} states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct value);
} array_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} array_mmap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} percpu_hash SEC(".maps");

/* Values of 12 bytes: the kernel pads each CPU's to 16. */
struct triple {
	__u32 a, b, c;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, struct key);
	__type(value, struct triple);
} percpu_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} percpu_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, __u64);
} lru_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, __u64);
} lru_percpu_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u32);
} stack SEC(".maps");

/* Adds args[1] to hash, percpu_hash and percpu_array at args[0]. */
SEC("raw_tp")
int add(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = ctx->args[0];
	__u64 n = ctx->args[1];
	__u64 *value;
	__u32 *small_value;

	value = bpf_map_lookup_elem(&hash, &key);
	if (value)
		*value += n;
	else
		bpf_map_update_elem(&hash, &key, &n, BPF_ANY);
	value = bpf_map_lookup_elem(&percpu_hash, &key);
	if (value)
		*value += n;
	else
		bpf_map_update_elem(&percpu_hash, &key, &n, BPF_ANY);
	small_value = bpf_map_lookup_elem(&percpu_array, &key);
	if (small_value)
		*small_value += n;
	return 0;
}

/* Writes one record: {args[0], "record"} -> {args[1], -5, DONE, true, 02:00:00:00:00:01, 80/443}. */
SEC("raw_tp")
int put(struct bpf_raw_tracepoint_args *ctx)
{
	struct key key = { .pid = ctx->args[0], .name = "record" };
	struct value value = {
		.total = ctx->args[1],
		.last = -5,
		.state = DONE,
		.seen = true,
		.mac = { 2, 0, 0, 0, 0, 1 },
		.ports = { 80, 443 },
	};

	bpf_map_update_elem(&records, &key, &value, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
