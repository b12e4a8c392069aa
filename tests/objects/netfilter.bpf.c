// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A program for netfilter (Linux 6.4). Its section is not known to libbpf before 1.3. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

enum {
	NF_DROP = 0,
	NF_ACCEPT = 1,
};

__u64 seen;
volatile __u32 drop = 0;

SEC("?netfilter")
int filter(void *ctx)
{
	pylibbpf_add(seen, 1);
	if (drop)
		return NF_DROP;
	return NF_ACCEPT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
