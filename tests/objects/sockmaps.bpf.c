// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps of sockets. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} by_index SEC(".maps");

/* Values of 4 bytes: descriptors fit, cookies do not. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} narrow SEC(".maps");

struct flow {
	__u32 local;
	__u32 remote;
};

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 4);
	__type(key, struct flow);
	__type(value, __u64);
} by_flow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} queues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} sockets SEC(".maps");

/* Where XDP would hand a packet to an AF_XDP socket: 4, redirect; 2, pass: there is none. */
SEC("xdp")
int to_socket(void *ctx)
{
	return bpf_redirect_map(&queues, 1, 2);
}

/* The socket that gets a packet: the second of the group. */
SEC("sk_reuseport")
int choose(struct sk_reuseport_md *ctx)
{
	__u32 second = 1;

	bpf_sk_select_reuseport(ctx, &group, &second, 0);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
