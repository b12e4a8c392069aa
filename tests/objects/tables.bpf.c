// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Maps whose definitions say all that they can: values from the start (maps and programs, with gaps
 * between them), maps in maps with types of their own, sizes that libbpf rounds or fills in, and
 * sections of data of every kind.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct key {
	__u32 a, b;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 7);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, __u64);
} inside SEC(".maps"), beside SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 9);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 7);
		__uint(map_flags, BPF_F_NO_PREALLOC);
		__type(key, struct key);
		__type(value, __u64);
	});
} outer SEC(".maps") = {
	.values = { [2] = (void *)&inside, [8] = (void *)&beside },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_RINGBUF);
		__uint(max_entries, 5000);
	});
} rings SEC(".maps");

int later(void *ctx);
int unused(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&later, [3] = (void *)&unused },
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 12345);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 100);
	__uint(map_extra, 3);
	__type(value, __u32);
} bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(numa_node, 0);
	__type(key, __u32);
	__type(value, __u64[3]);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

const volatile __u32 limit = 5;
static volatile const __u16 steps[3] = { 1, 2, 3 };
volatile __u64 seen;
static volatile __u64 counted[4];
volatile __u8 byte SEC(".data.bytes") = 7;
__hidden volatile __u64 hidden_only SEC(".data.hidden") = 9;
static volatile __u32 static_only SEC(".bss.quiet");
const volatile __u64 named SEC(".rodata.named") = 11;

SEC("socket")
int later(void *ctx)
{
	counted[seen & 3] += named;
	return byte + static_only;
}

SEC("socket")
int unused(void *ctx)
{
	return hidden_only;
}

SEC("socket")
int start(void *ctx)
{
	static const char text[] = "a text %u\n";
	__u32 index = 2;
	struct key key = {};
	void *map;

	bpf_trace_printk(text, sizeof(text), limit);
	map = bpf_map_lookup_elem(&outer, &index);
	if (map)
		bpf_map_delete_elem(map, &key);
	seen += steps[index & 1];
	bpf_map_lookup_elem(&array, &index);
	bpf_tail_call(ctx, &jumps, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
__u32 KERNEL_VERSION SEC("version") = 0x060102;
