// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The first of three files that are one object: link_store has what is extern here, and
 * link_more what is weak. All have static functions and variables of the same names.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct entry {
	__u64 count;
	struct owner *owner; /* only declared here: link_store says what it is */
	int pids[2];
};

struct owner;

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct entry);
	__uint(max_entries, 4);
} entries SEC(".maps");

extern int LINUX_KERNEL_VERSION __kconfig;
extern unsigned long CONFIG_HZ __kconfig __weak;
extern int bpf_pylibbpf_no_such_kfunc(void) __ksym __weak;

extern const volatile __u32 step;
extern __u64 total;
extern struct entry latest[];
extern int add(__u32 key, __u64 by);

static volatile __u32 calls = 5;
const volatile bool enabled = true;
int version;
__u64 runs;
int more;

/* Called by its place in .text, and not by name, in each of the files. */
static __noinline int twice(int of)
{
	return of * 2 + (int)calls;
}

__weak int choice(void)
{
	return 1;
}

__weak int weak_number = 11;

SEC("raw_tp")
int first(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 key = 0;
	struct entry *entry = bpf_map_lookup_elem(&entries, &key);

	if (!enabled || !entry)
		return 0;
	version = LINUX_KERNEL_VERSION;
	calls++;
	runs += step;
	total += CONFIG_HZ;
	latest[0].pids[1] = BPF_CORE_READ(task, real_parent, tgid);
	more = choice() + weak_number + twice(version);
	if (bpf_pylibbpf_no_such_kfunc)
		bpf_pylibbpf_no_such_kfunc();
	return add(key, step);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
