// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Ways to the memory of the kernel and of users, which kernel lockdown forbids, and one that it
 * does not: a pointer of a known type is read without a helper. Some need CAP_PERFMON. All are
 * optional.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

const volatile __u32 target_pid = 0;
const volatile __u64 target_address = 0; /* of the process target_pid */

__u64 hits;
int pid;

static bool wanted(void)
{
	return target_pid == bpf_get_current_pid_tgid() >> 32;
}

SEC("?raw_tp/sys_enter")
int reads(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (wanted() && !bpf_probe_read_kernel(&pid, sizeof(pid), &task->tgid))
		pylibbpf_add(hits, 1);
	return 0;
}

SEC("?raw_tp/sys_enter")
int writes(void *ctx)
{
	__u32 value = 42;

	if (wanted() && !bpf_probe_write_user((void *)target_address, &value, sizeof(value)))
		pylibbpf_add(hits, 1);
	return 0;
}

SEC("?tp_btf/sys_enter")
int typed(__u64 *ctx)
{
	if (wanted()) {
		pid = bpf_get_current_task_btf()->tgid;
		pylibbpf_add(hits, 1);
	}
	return 0;
}

/* What is printed may be a secret, too. */
SEC("?xdp")
int prints(void *ctx)
{
	bpf_printk("pylibbpf");
	return 2; /* XDP_PASS */
}

char LICENSE[] SEC("license") = "GPL";
