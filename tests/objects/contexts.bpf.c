// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Programs for test runs that read and write their contexts. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

/* The beginnings of the kernel's own. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
};

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
};

struct bpf_sk_lookup {
	__u64 cookie;
	__u32 family;
	__u32 protocol;
	__u32 remote_ip4;
	__u32 remote_ip6[4];
	__be16 remote_port;
	__u16 padding;
	__u32 local_ip4;
	__u32 local_ip6[4];
	__u32 local_port;
};

struct request {
	__u32 number;
	char name[12];
	__s64 answer;
};

__u64 frames; /* that passed */

/* Gives the mark, and doubles it. */
SEC("tc")
int mark(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;

	skb->mark = mark * 2;
	skb->cb[0] = skb->cb[1];
	return mark;
}

/* The number of the receiving interface and the length of the metadata. */
SEC("xdp")
int meta(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex << 16 | (ctx->data - ctx->data_meta);
}

/* Passes (2). */
SEC("xdp")
int count(struct xdp_md *ctx)
{
	pylibbpf_add(frames, 1);
	return 2;
}

/* Passes (1) what is for port 80, drops (0) the rest. */
SEC("sk_lookup")
int port(struct bpf_sk_lookup *ctx)
{
	return ctx->local_port == 80;
}

/* Squares; refuses what has no name. */
SEC("syscall")
int square(struct request *ctx)
{
	if (!ctx->name[0])
		return 22;
	ctx->answer = (__s64)ctx->number * ctx->number;
	ctx->name[0] = 'S';
	return 0;
}

/* An argument that says nothing of its type. */
SEC("syscall")
int untyped(void *ctx)
{
	((struct request *)ctx)->answer = 1;
	return 0;
}

/* Gives its third argument. */
SEC("raw_tp")
int third(struct bpf_raw_tracepoint_args *ctx)
{
	return ctx->args[2];
}

SEC("raw_tp")
int on_cpu(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_get_smp_processor_id();
}

/* Of a type that cannot be run for a test. */
SEC("?cgroup/connect4")
int connect(void *ctx)
{
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
