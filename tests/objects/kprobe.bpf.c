// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Kprobes: of a function that every kernel has, and of one that none has. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

__u64 opens;

SEC("kprobe/do_sys_openat2")
int real(void *ctx)
{
	opens++;
	return 0;
}

SEC("kprobe/pylibbpf_no_such_function")
int missing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
