// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Programs whose links are updated, pinned and detached: two that count packets each for itself. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

/* In one section, in this order: a test reads it as 8-byte words. */
__u64 first;
__u64 second;

SEC("raw_tp/sys_enter")
int raw(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}

SEC("cgroup_skb/egress")
int egress(void *ctx)
{
	pylibbpf_add(first, 1);
	return 1;
}

SEC("cgroup_skb/egress")
int egress_two(void *ctx)
{
	pylibbpf_add(second, 1);
	return 1;
}

SEC("?iter/task")
int tasks(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
