// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A program in a section that no libbpf knows: the object opens, and does not load as it is. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

SEC("pylibbpf_no_such_section")
int stray(void *ctx)
{
	return 0;
}

SEC("raw_tp/sys_enter")
int known(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
