// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The least object that is of use: one map, one global, one program, no CO-RE. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

__u32 runs;

/* Has no hook of its own: driven by test_run. */
SEC("raw_tp")
int count(void *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	if (value)
		pylibbpf_add(*value, 1);
	pylibbpf_add(runs, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
