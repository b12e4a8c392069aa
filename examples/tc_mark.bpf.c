// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Marks UDP over IPv4 to one port on its way out, and counts IPv4 packets by their mark. Kernel
 * 5.10 or later.
 *
 * A mark stays with the packet inside this host, where routing rules, queueing and firewalls can
 * go by it. Both programs leave it to the next one what becomes of the packet.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "packets.bpf.h"

/* What to mark, and how; set before load. */
const volatile __u16 port = 0;
const volatile __u32 mark_value = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} marks SEC(".maps");

SEC("tc")
int mark(struct __sk_buff *skb)
{
	struct udphdr *udp = udp_of((void *)(unsigned long)skb->data,
				    (void *)(unsigned long)skb->data_end);

	if (udp && from_network(udp->destination) == port)
		skb->mark = mark_value;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int count(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;
	__u64 one = 1, *packets;

	if (from_network(skb->protocol) != ETH_P_IP)
		return TC_ACT_UNSPEC;
	packets = bpf_map_lookup_elem(&marks, &mark);
	if (packets)
		++*packets;
	else
		bpf_map_update_elem(&marks, &mark, &one, BPF_NOEXIST);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
