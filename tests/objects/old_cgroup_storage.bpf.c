// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Storage of programs that are attached to a cgroup, the old way. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct bpf_cgroup_storage_key {
	__u64 cgroup_inode_id;
	__u32 attach_type;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u64);
} sent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, struct bpf_cgroup_storage_key);
	__type(value, __u32);
} sent_by_cpu SEC(".maps");

SEC("cgroup/sock_create")
int made(void *ctx)
{
	__u64 *total = bpf_get_local_storage(&sent, 0);
	__u32 *mine = bpf_get_local_storage(&sent_by_cpu, 0);

	__sync_fetch_and_add(total, 1);
	*mine += 1;
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
