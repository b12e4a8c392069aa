// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Arrays of programs, perf events and cgroups; stack traces. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 32 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_STACK_BUILD_ID);
	__uint(key_size, 4);
	__uint(value_size, 16 * 32);
} files SEC(".maps");

SEC("raw_tp")
int seven(void *ctx)
{
	return 7;
}

SEC("raw_tp")
int eight(void *ctx)
{
	return 8;
}

/* Jumps to args[0]; -1: there is nothing to jump to. */
SEC("raw_tp")
int jump(struct bpf_raw_tracepoint_args *ctx)
{
	bpf_tail_call(ctx, &jumps, ctx->args[0]);
	return -1;
}

/* Another type than raw_tp. */
SEC("socket")
int other(void *ctx)
{
	return 0;
}

/* Whether the value of the perf event args[0] can be read: 0, or a negative errno. */
SEC("raw_tp")
int measure(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 value[3];

	return bpf_perf_event_read_value(&counters, ctx->args[0], (void *)value, sizeof(value));
}

/* Whether this task is below the cgroup args[0]: 1, 0, or a negative errno. */
SEC("raw_tp")
int below(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_current_task_under_cgroup(&groups, ctx->args[0]);
}

/* Gives the id of the kernel's stack, or a negative errno. */
SEC("raw_tp")
int stack(void *ctx)
{
	return bpf_get_stackid(ctx, &stacks, 0);
}

/* Gives the id of the process's stack, by file. */
SEC("raw_tp")
int user_stack(void *ctx)
{
	return bpf_get_stackid(ctx, &files, 1 << 8 /* BPF_F_USER_STACK */);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
