// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What an object can hold beside the common: maps in maps, tables of programs, pinning, functions
 * of the object and of the kernel, callbacks, operations. Built as records.bpf.c says, with -g
 * alone, and stripped of DWARF (llvm-strip -g): shapes.bpf.o.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct value {
	__u64 sum;
	__u32 count;
};

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct value);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, 12); /* BPF_MAP_TYPE_ARRAY_OF_MAPS */
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &first, [3] = &second },
};

int target(void *ctx);

struct {
	__uint(type, 3); /* BPF_MAP_TYPE_PROG_ARRAY */
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [1] = (void *)&target },
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, 2);
	enum { EXTRA = 0x123456789 } map_extra; /* __ulong() of libbpf 1.5 */
	__uint(numa_node, 1);
} pinned SEC(".maps");

extern int bpf_pylibbpf_no_such_kfunc(struct value *value) __ksym __weak;
extern const int pylibbpf_no_such_variable __ksym __weak;

struct pylibbpf_ops {
	int (*start)(struct value *value);
	int (*stop)(struct value *value);
	__u32 flags;
	char name[16];
};

__u64 total;
static __u32 hidden = 3;
__u32 table[4] SEC(".data.table") = { 1, 2, 3, 4 };

static __noinline int helper(struct value *value)
{
	if (value)
		value->sum += hidden++;
	return bpf_get_prandom_u32();
}

static long each(__u32 index, void *context)
{
	total += index;
	return 0;
}

__noinline int shared(__u64 number)
{
	return number & 1 ? helper(NULL) : 0;
}

SEC("raw_tp/sys_enter")
int target(void *ctx)
{
	struct value value = {};
	__u32 key = 3;
	void *map = bpf_map_lookup_elem(&outer, &key);

	helper(&value);
	bpf_loop(4, each, NULL, 0);
	if (map)
		bpf_map_update_elem(map, &key, &value, BPF_ANY);
	if (bpf_pylibbpf_no_such_kfunc)
		bpf_pylibbpf_no_such_kfunc(&value);
	return shared(total) + table[key & 3];
}

SEC("raw_tp/sys_enter")
int jump(void *ctx)
{
	if (&pylibbpf_no_such_variable)
		total++;
	bpf_tail_call(ctx, &jumps, 1);
	return 0;
}

SEC("struct_ops/start")
int start(struct value *value)
{
	return 0;
}

SEC("struct_ops/stop")
int stop(struct value *value)
{
	return 1;
}

SEC(".struct_ops.link")
struct pylibbpf_ops operations = {
	.start = (void *)start,
	.stop = (void *)stop,
	.flags = 5,
	.name = "pylibbpf",
};

char LICENSE[] SEC("license") = "GPL";
