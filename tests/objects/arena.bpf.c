// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* An arena: Linux 6.9. Programs hold pointers into it, which user space can follow. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16); /* pages */
} arena SEC(".maps");

struct node {
	struct node __arena *next;
	__u64 value;
};

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
				    __u64 flags) __ksym;

struct node __arena *head;
__u32 used;

/* Puts args[0] before the list, whose nodes lie in one page. */
SEC("syscall")
int push(__u64 *number)
{
	static struct node __arena *page;
	struct node __arena *node;

	if (!page)
		page = bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0);
	if (!page || used >= 4096 / sizeof(*node))
		return -1;
	node = page + used++;
	node->value = *number;
	node->next = head;
	head = node;
	return 0;
}

/* Gives the sum of the list. */
SEC("syscall")
int sum(void *ctx)
{
	struct node __arena *node;
	__u64 total = 0;
	int i;

	/* Without a word of the map the program would have no arena. */
	asm volatile("" ::"r"(&arena));
	node = head;
	for (i = 0; i < 256 && node; i++, node = node->next)
		total += node->value;
	return total;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
