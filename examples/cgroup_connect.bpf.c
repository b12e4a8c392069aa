// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Refuses connect(2) to some ports, for the processes of a cgroup. Kernel 5.8 or later.
 *
 * A program that returns 0 has the call fail with EPERM; UDP sockets that connect are asked for
 * as well as TCP ones.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"
#include "sockets.bpf.h"

struct event {
	__u32 pid;
	__u32 family;
	__u32 ip4; /* addresses as they are in packets */
	__u32 ip6[4];
	__u32 port;
	char comm[16];
};

/* The ports that are refused, and how often they were. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} refused SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
	pylibbpf_record(struct event);
} events SEC(".maps");

/* Counts, and gives a record to fill, if the port is one of those; the count is in `*count`. */
static struct event *refuse(struct bpf_sock_addr *ctx, __u64 **count)
{
	__u32 port = bpf_ntohs(ctx->user_port);
	struct event *event;

	*count = bpf_map_lookup_elem(&refused, &port);
	if (!*count)
		return NULL;
	pylibbpf_add(**count, 1);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return NULL;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->family = ctx->family;
	event->port = port;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	__u64 *count;
	struct event *event = refuse(ctx, &count);

	if (event) {
		event->ip4 = ctx->user_ip4;
		__builtin_memset(event->ip6, 0, sizeof(event->ip6));
		bpf_ringbuf_submit(event, 0);
	}
	return !count;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	__u64 *count;
	struct event *event = refuse(ctx, &count);

	if (event) {
		event->ip4 = 0;
		event->ip6[0] = ctx->user_ip6[0];
		event->ip6[1] = ctx->user_ip6[1];
		event->ip6[2] = ctx->user_ip6[2];
		event->ip6[3] = ctx->user_ip6[3];
		bpf_ringbuf_submit(event, 0);
	}
	return !count;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
