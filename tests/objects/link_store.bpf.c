// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The second file: the definitions of what link_main declares. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct owner {
	char name[16];
	struct entry *entries;
};

struct entry {
	__u64 count;
	struct owner *owner;
	int pids[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct entry);
	__uint(max_entries, 4);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, int);
	__type(value, struct owner);
	__uint(max_entries, 16);
} owners SEC(".maps");

extern int LINUX_KERNEL_VERSION __kconfig;

const volatile __u32 step = 3;
__u64 total;
struct entry latest[2];
struct owner nobody = { .name = "nobody" };
static volatile __u32 calls = 7;
__u32 seen SEC(".data.seen") = 1;

static __noinline int twice(int of)
{
	return of * 2 + (int)calls;
}

int add(__u32 key, __u64 by)
{
	struct entry *entry = bpf_map_lookup_elem(&entries, &key);

	if (!entry)
		return -1;
	entry->count += by;
	return twice((int)entry->count);
}

/* link_more has a strong one. */
__weak int weak_number = 12;

SEC("raw_tp")
int second(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct owner *owner;
	int pid = BPF_CORE_READ(task, tgid);

	calls++;
	owner = bpf_map_lookup_elem(&owners, &pid);
	if (!owner)
		bpf_map_update_elem(&owners, &pid, &nobody, BPF_ANY);
	seen += LINUX_KERNEL_VERSION > 0;
	return add(1, weak_number);
}

char license_of_store[] SEC("license") = "Dual BSD/GPL";
