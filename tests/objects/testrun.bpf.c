// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Programs of the types that the kernel runs on demand, with context and packet. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

struct args {
	__u64 a;
	__u64 b;
	__u64 sum;
};

struct xdp_md {
	__u32 data;
	__u32 data_end;
};

struct __sk_buff {
	__u32 len;
};

__u64 cpu_runs[64];

/* Kernel 5.14: the context is the caller's, and comes back changed. */
SEC("syscall")
int add(struct args *ctx)
{
	ctx->sum = ctx->a + ctx->b;
	return 7;
}

/* Kernel 5.10: returns args[0] + args[1]. */
SEC("raw_tp")
int raw_add(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (cpu < 64)
		cpu_runs[cpu]++;
	return ctx->args[0] + ctx->args[1];
}

/* Passes (2) packets whose first byte is even, with that byte made 0xff; drops (1) the others. */
SEC("xdp")
int even(struct xdp_md *ctx)
{
	__u8 *data = (void *)(unsigned long)ctx->data;
	__u8 *end = (void *)(unsigned long)ctx->data_end;

	if (data + 1 > end || data[0] & 1)
		return 1;
	data[0] = 0xff;
	return 2;
}

/* Accepts as many bytes as the packet has. */
SEC("socket")
int length(struct __sk_buff *skb)
{
	return skb->len;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
