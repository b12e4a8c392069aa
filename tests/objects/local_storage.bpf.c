// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Storage on what the kernel has: each map is counted in by an optional program, where that meets
 * the process `target_pid`.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

const volatile __u32 target_pid = 0;

#define STORAGE(name, kind)                           \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, int);                     \
		__type(value, __u64);                 \
	} name SEC(".maps")

STORAGE(sockets, BPF_MAP_TYPE_SK_STORAGE);
STORAGE(inodes, BPF_MAP_TYPE_INODE_STORAGE);
STORAGE(cgroups, BPF_MAP_TYPE_CGRP_STORAGE);

#define CREATE 1 /* BPF_LOCAL_STORAGE_GET_F_CREATE */

/* Of kernel types, what is used here. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode;
struct cgroup;

struct file {
	struct inode *f_inode;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct___cgroups {
	struct css_set *cgroups;
};

#pragma clang attribute pop

static bool wanted(void)
{
	return target_pid == bpf_get_current_pid_tgid() >> 32;
}

static void count(__u64 *value)
{
	if (value)
		__sync_fetch_and_add(value, 1);
}

/* A new socket (Linux 5.10). */
SEC("?cgroup/sock_create")
int sock_create(void *ctx)
{
	count(bpf_sk_storage_get(&sockets, ctx, 0, CREATE));
	return 1;
}

/* A file that is opened. */
SEC("?lsm/file_open")
int file_open(__u64 *ctx)
{
	struct file *file = (void *)ctx[0];

	if (wanted())
		count(bpf_inode_storage_get(&inodes, file->f_inode, 0, CREATE));
	return 0;
}

/* The cgroup of a process that calls the kernel. */
SEC("?tp_btf/sys_enter")
int sys_enter(void *ctx)
{
	struct task_struct___cgroups *task = (void *)bpf_get_current_task_btf();

	if (wanted())
		count(bpf_cgrp_storage_get(&cgroups, task->cgroups->dfl_cgrp, 0, CREATE));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
