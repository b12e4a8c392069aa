// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Variables that lie in an arena: their section becomes a part of it. Linux 6.9. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32); /* pages */
	enum { where = 1ULL << 44 } map_extra; /* where user space sees it */
} arena SEC(".maps");

__u64 __arena first SEC(".addr_space.1") = 5;
__u64 __arena many[700] SEC(".addr_space.1") = { 1, 2, 3 };

SEC("syscall")
int add(void *ctx)
{
	int i;

	for (i = 0; i < 700; i++)
		first += many[i];
	asm volatile("" ::"r"(&arena));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
