// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Drops UDP over IPv4 to one port, and counts what it did with every frame. Kernel 5.10 or later.
 *
 * Each CPU counts for itself: nothing is lost, and nobody waits.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "packets.bpf.h"

enum verdict {
	DROPPED,
	PASSED_UDP,
	PASSED_OTHER,
	VERDICTS,
};

struct count {
	__u64 frames;
	__u64 bytes;
};

const volatile __u16 port = 0; /* what to drop; set before load */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICTS);
	__type(key, __u32); /* an enum verdict; the kernel wants an int here */
	__type(value, struct count);
} verdicts SEC(".maps");

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	void *data = (void *)(unsigned long)ctx->data;
	void *end = (void *)(unsigned long)ctx->data_end;
	struct udphdr *udp = udp_of(data, end);
	__u32 verdict = PASSED_OTHER;
	struct count *count;

	if (udp)
		verdict = from_network(udp->destination) == port ? DROPPED : PASSED_UDP;
	count = bpf_map_lookup_elem(&verdicts, &verdict);
	if (count) {
		count->frames++;
		count->bytes += end - data;
	}
	return verdict == DROPPED ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
