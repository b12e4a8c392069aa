// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A program of each kind that attaches to sockets, maps of sockets or network namespaces. All are
 * optional: a test loads those it is about.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"
#include "sockets.bpf.h"

__u64 calls;
/* What the programs answer that pass (1) or drop (0), and the socket that others choose. */
__u32 verdict = 1;
__u32 chosen;
/* The ports, in this machine's byte order, that `lookup` steers. */
__u32 first_port;
__u32 last_port;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

SEC("?sk_lookup")
int lookup(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *socket;
	__u32 key = chosen;
	long failed;

	pylibbpf_add(calls, 1);
	if (ctx->local_port < first_port || ctx->local_port > last_port)
		return SK_PASS;
	socket = bpf_map_lookup_elem(&sockets, &key);
	if (!socket)
		return SK_DROP;
	failed = bpf_sk_assign(ctx, socket, 0);
	bpf_sk_release(socket);
	return failed ? SK_DROP : SK_PASS;
}

/* BPF_DROP: the kernel then knows nothing of the packet. */
SEC("?flow_dissector")
int dissect(void *ctx)
{
	pylibbpf_add(calls, 1);
	return 2;
}

/* The number of bytes that the socket gets to see of a packet. */
SEC("?socket")
int filter(void *ctx)
{
	pylibbpf_add(calls, 1);
	return verdict ? 0xffff : 0;
}

SEC("?socket")
int other_filter(void *ctx)
{
	return 0;
}

SEC("?sk_reuseport")
int choose(void *ctx)
{
	__u32 key = chosen;

	pylibbpf_add(calls, 1);
	return bpf_sk_select_reuseport(ctx, &group, &key, 0) ? SK_DROP : SK_PASS;
}

__u64 parser_calls;

/* Every packet is a message of its own. */
SEC("?sk_skb/stream_parser")
int parse(struct __sk_buff *skb)
{
	pylibbpf_add(parser_calls, 1);
	return *(__u32 *)skb; /* len is the first field */
}

SEC("?sk_skb/stream_verdict")
int judge(void *skb)
{
	pylibbpf_add(calls, 1);
	return verdict;
}

SEC("?sk_skb")
int judge_any(void *skb)
{
	pylibbpf_add(calls, 1);
	return verdict;
}

SEC("?sk_msg")
int send(void *msg)
{
	pylibbpf_add(calls, 1);
	return verdict;
}

/* Attaches to nothing. */
SEC("?syscall")
int on_demand(void *ctx)
{
	pylibbpf_add(calls, 1);
	return 5;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
