// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Sizes that a process asks malloc(3) for, by powers of two. Kernel 5.10 or later.
 *
 * The script attaches it to the C library of one process: which file that is, only it can tell.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "pylibbpf.bpf.h"
#include "registers.bpf.h"

#define SLOTS 64

struct slot {
	__u64 calls;
	__u64 bytes;
};

/* Slot n is of sizes from 2^n to 2^(n+1)-1; 0 is counted with 1. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
} sizes SEC(".maps");

/* The place of the highest bit, by halves: no loop for the verifier to follow. */
static __u32 log2(__u64 value)
{
	__u32 bit = 0;

	if (value >> 32) {
		value >>= 32;
		bit += 32;
	}
	if (value >> 16) {
		value >>= 16;
		bit += 16;
	}
	if (value >> 8) {
		value >>= 8;
		bit += 8;
	}
	if (value >> 4) {
		value >>= 4;
		bit += 4;
	}
	if (value >> 2) {
		value >>= 2;
		bit += 2;
	}
	return bit + (value >> 1);
}

SEC("uprobe")
int on_malloc(struct pt_regs *ctx)
{
	__u64 size = plb_argument1(ctx);
	__u32 key = log2(size);
	struct slot *slot = bpf_map_lookup_elem(&sizes, &key);

	if (!slot)
		return 0;
	/* Per CPU, but a probe may be preempted by one of another thread. */
	pylibbpf_add(slot->calls, 1);
	pylibbpf_add(slot->bytes, size);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
