// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Counts system calls by process, and by number. Kernel 4.17 or later.
 *
 * A raw tracepoint and per-CPU counters: the cheapest shape there is, because every system call
 * of the machine goes through here.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct process {
	__u32 pid;
	char comm[16];
};

/* What to count; set before load. */
const volatile __u32 target_pid = 0; /* 0: every process */
const volatile bool by_syscall = false; /* true: counts go to syscalls, not to processes */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 10240);
	__type(key, struct process);
	__type(value, __u64);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} syscalls SEC(".maps");

static void count(void *map, const void *key)
{
	__u64 *value = bpf_map_lookup_elem(map, key);
	__u64 one = 1;

	if (value)
		++*value;
	else
		/* Per-CPU: nobody else can have added it meanwhile. */
		bpf_map_update_elem(map, key, &one, BPF_ANY);
}

SEC("raw_tp/sys_enter")
int sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (target_pid && target_pid != pid)
		return 0;
	if (by_syscall) {
		__u32 number = ctx->args[1];

		count(&syscalls, &number);
	} else {
		struct process process = { .pid = pid };

		bpf_get_current_comm(process.comm, sizeof(process.comm));
		count(&processes, &process);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
