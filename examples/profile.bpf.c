// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What the CPUs do, sampled: counts of stacks. Kernel 4.9 or later. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

#define STACKS 16384
#define FRAMES 127 /* PERF_MAX_STACK_DEPTH */
#define BPF_F_USER_STACK (1 << 8)

struct sample {
	__u32 pid;
	__s32 kernel; /* id of a stack; negative: there is none */
	__s32 user;
	char comm[16];
};

const volatile __u32 target_pid = 0; /* 0: every process */

/* Samples that found no room. */
__u64 dropped;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STACKS);
	__type(key, struct sample);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, STACKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, FRAMES * sizeof(__u64));
} stacks SEC(".maps");

SEC("perf_event")
int sample(void *ctx)
{
	struct sample sample = { .pid = bpf_get_current_pid_tgid() >> 32 };
	__u64 one = 1, *count;

	/* The idle task is no process. */
	if (!sample.pid || (target_pid && target_pid != sample.pid))
		return 0;
	bpf_get_current_comm(sample.comm, sizeof(sample.comm));
	sample.kernel = bpf_get_stackid(ctx, &stacks, 0);
	sample.user = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	count = bpf_map_lookup_elem(&counts, &sample);
	if (count)
		pylibbpf_add(*count, 1);
	else if (bpf_map_update_elem(&counts, &sample, &one, BPF_NOEXIST))
		pylibbpf_add(dropped, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
