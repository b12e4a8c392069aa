// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Storage on tasks and inodes: Linux 5.11. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct visits {
	__u64 count;
	char who[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct visits);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} inodes SEC(".maps");

/* Counts a visit of the task that runs; gives how many there were. */
SEC("raw_tp")
int visit(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct visits *visits;

	visits = bpf_task_storage_get(&tasks, task, 0, 1 /* BPF_LOCAL_STORAGE_GET_F_CREATE */);
	if (!visits)
		return -1;
	__builtin_memcpy(visits->who, "visitor", 8);
	return ++visits->count;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
