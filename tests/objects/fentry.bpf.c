// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Fentry: its target is looked up at load; some kernels' policy refuses it there. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

__u64 opens;

SEC("fentry/do_sys_openat2")
int real(void *ctx)
{
	opens++;
	return 0;
}

SEC("?fentry/pylibbpf_no_such_function")
int missing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
