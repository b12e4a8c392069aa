// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A scheduler that leaves everything to the kernel's defaults (a task that it does not enqueue
 * itself waits in the global queue) and counts. It schedules only tasks that ask for it, by
 * SCHED_EXT: if the kernel throws it out, they are the fair scheduler's again. Linux 6.12.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

#define SCX_OPS_SWITCH_PARTIAL (1 << 3) /* kernel/sched/ext.c; none of the others is like it */

/* libbpf finds the members in the kernel's struct by their names. */
struct sched_ext_ops {
	void (*running)(struct task_struct *task);
	void (*stopping)(struct task_struct *task, bool runnable);
	__u64 flags;
	char name[128];
};

__u64 runs;
__u64 stops;

SEC("struct_ops/running")
void running(void *ctx)
{
	pylibbpf_add(runs, 1);
}

SEC("struct_ops/stopping")
void stopping(void *ctx)
{
	pylibbpf_add(stops, 1);
}

SEC(".struct_ops")
struct sched_ext_ops counted = {
	.running = (void *)running,
	.stopping = (void *)stopping,
	.flags = SCX_OPS_SWITCH_PARTIAL,
	.name = "pylibbpf_rows",
};

char LICENSE[] SEC("license") = "Dual BSD/GPL";
