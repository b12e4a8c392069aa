// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The tasks of this machine, one record for each thread. Kernel 5.8 or later. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

struct task {
	__u32 tgid; /* the process; its first thread has the same pid */
	__u32 pid;
	__u32 parent;
	__u32 uid;
	__u64 started; /* nanoseconds since boot */
	__u64 user;    /* nanoseconds of CPU time */
	__u64 system;
	bool kernel; /* a thread of the kernel's own */
	char comm[16];
};

/* Clang emits BTF only for types that something visible uses. */
const struct task *unused_task __attribute__((unused));

SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task record;

	if (!task)
		return 0;
	__builtin_memset(&record, 0, sizeof(record));
	record.tgid = task->tgid;
	record.pid = task->pid;
	record.parent = task->real_parent->tgid;
	record.uid = task->real_cred->uid.val;
	record.started = task->start_boottime;
	record.user = task->utime;
	record.system = task->stime;
	record.kernel = (task->flags & PF_KTHREAD) != 0;
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
