// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Gives one listening socket the connections to a range of ports. Kernel 5.9 or later.
 *
 * The program is asked before the kernel looks for a listener of the packet's own port. A socket
 * that it names gets the connection, whatever port that socket is bound to.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"
#include "sockets.bpf.h"

/* The ports, set before load. */
const volatile __u32 first_port = 0;
const volatile __u32 last_port = 0;

/* Connections that were steered, and those for which there was no listener. */
__u64 steered;
__u64 dropped;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} listener SEC(".maps");

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *socket;
	__u32 key = 0;
	long failed;

	if (ctx->local_port < first_port || ctx->local_port > last_port)
		return SK_PASS;
	socket = bpf_map_lookup_elem(&listener, &key);
	if (!socket) {
		pylibbpf_add(dropped, 1);
		return SK_DROP;
	}
	/* EINVAL and the like: a packet of another protocol or family than the socket's. */
	failed = bpf_sk_assign(ctx, socket, 0);
	bpf_sk_release(socket);
	if (!failed)
		pylibbpf_add(steered, 1);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
