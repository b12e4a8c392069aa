// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * CO-RE against fields and types that the kernel has and that it has not. unguarded waits for
 * autoload: the verifier refuses it, because its relocation finds nothing.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct___wrong {
	int pylibbpf_no_such_field;
} __attribute__((preserve_access_index));

struct pylibbpf_no_such_struct {
	int field;
} __attribute__((preserve_access_index));

int pid;
int parent;
__u32 comm_size;
bool has_field = true;
bool has_type = true;
bool has_task;

SEC("raw_tp")
int guarded(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct___wrong *wrong = (void *)task;

	has_task = bpf_core_type_exists(struct task_struct);
	has_type = bpf_core_type_exists(struct pylibbpf_no_such_struct);
	has_field = bpf_core_field_exists(wrong->pylibbpf_no_such_field);
	if (has_field)
		pid = BPF_CORE_READ(wrong, pylibbpf_no_such_field);
	pid = BPF_CORE_READ(task, tgid);
	parent = BPF_CORE_READ(task, real_parent, tgid);
	comm_size = bpf_core_field_size(task->comm);
	return 0;
}

SEC("?raw_tp")
int unguarded(void *ctx)
{
	struct task_struct___wrong *wrong = (void *)bpf_get_current_task();

	return BPF_CORE_READ(wrong, pylibbpf_no_such_field);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
