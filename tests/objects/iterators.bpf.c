// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Iterators: over tasks, the elements of a map, and (kernel 6.1) cgroups. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_map {
	__u32 id;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};

#pragma clang attribute pop

struct task_entry {
	__u64 number;
	__u32 pid;
	__u32 tgid;
	char comm[16];
};

struct element {
	__u32 key;
	__u32 seq;
	__u64 value;
	__u64 more;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u32);
} queue SEC(".maps");

const char filler[4096] = "filler";

const struct task_entry *unused_task_entry __attribute__((unused));
const struct element *unused_element __attribute__((unused));

/* Structs of one size: the type is found by it. */
SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_entry entry = {};

	if (!task)
		return 0;
	entry.number = ctx->meta->seq_num;
	entry.pid = task->pid;
	entry.tgid = task->tgid;
	bpf_probe_read_kernel_str(entry.comm, sizeof(entry.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &entry, sizeof(entry));
	return 0;
}

SEC("iter/task")
int text(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task) {
		BPF_SEQ_PRINTF(ctx->meta->seq, "end\n");
		return 0;
	}
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d %d\n", task->tgid, task->pid);
	return 0;
}

/* More at once than the kernel has room for. */
SEC("iter/task")
int too_much(struct bpf_iter__task *ctx)
{
	int i;

	for (i = 0; i < 16; i++)
		bpf_seq_write(ctx->meta->seq, filler, sizeof(filler));
	return 0;
}

SEC("iter/bpf_map_elem")
int elements(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key;
	__u64 *value = ctx->value;
	struct element element = {};

	if (!key || !value)
		return 0;
	element.key = *key;
	element.value = *value;
	element.seq = ctx->meta->seq_num;
	bpf_seq_write(ctx->meta->seq, &element, sizeof(element));
	return 0;
}

/* Kernel 6.1: the ids of cgroups. */
SEC("?iter/cgroup")
int cgroups(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	__u64 id;

	if (!cgroup)
		return 0;
	id = cgroup->kn->id;
	bpf_seq_write(ctx->meta->seq, &id, sizeof(id));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
