// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Programs for network devices. Each counts the UDP packets to `port` that it sees, and lets all
 * pass, or drops those.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "packets.bpf.h"
#include "pylibbpf.bpf.h"

volatile __u32 port = 4242;

__u64 passed;
__u64 dropped;
__u64 first;
__u64 second;
__u64 order; /* a digit for each of first and second that saw the last packet: 12 or 21 */
__u64 marked;

static bool ours(__u32 data, __u32 data_end)
{
	struct udphdr *udp = udp_of((void *)(unsigned long)data, (void *)(unsigned long)data_end);

	return udp && from_network(udp->destination) == port;
}

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	if (ours(ctx->data, ctx->data_end))
		pylibbpf_add(passed, 1);
	return XDP_PASS;
}

SEC("xdp")
int xdp_drop(struct xdp_md *ctx)
{
	if (!ours(ctx->data, ctx->data_end))
		return XDP_PASS;
	pylibbpf_add(dropped, 1);
	return XDP_DROP;
}

SEC("tc")
int tc_first(struct __sk_buff *skb)
{
	if (ours(skb->data, skb->data_end)) {
		pylibbpf_add(first, 1);
		order = order % 10 * 10 + 1;
		skb->mark = 7;
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_second(struct __sk_buff *skb)
{
	if (ours(skb->data, skb->data_end)) {
		pylibbpf_add(second, 1);
		order = order % 10 * 10 + 2;
		if (skb->mark == 7)
			pylibbpf_add(marked, 1);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int tc_drop(struct __sk_buff *skb)
{
	if (!ours(skb->data, skb->data_end))
		return TC_ACT_UNSPEC;
	pylibbpf_add(dropped, 1);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
