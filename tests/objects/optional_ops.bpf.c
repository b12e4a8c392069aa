// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Tables of functions that are created only if asked for, and one that always is: with members that
 * no kernel has, in a struct of another flavour. One program is in both, one only in the first.
 */
#include "kernel.bpf.h"
#include "tcp.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* As an older or newer kernel might have it. */
struct tcp_congestion_ops___other {
	__u32 (*ssthresh)(struct sock *sk);
	void (*no_such_function)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u64 no_such_number;
	__u32 (*undo_cwnd)(struct sock *sk);
	__u32 flags;
	char name[16];
};

SEC("struct_ops")
__u32 BPF_PROG(threshold, struct tcp_sock *tp)
{
	return tp->snd_cwnd < 4 ? 2 : tp->snd_cwnd / 2;
}

SEC("struct_ops")
__u32 BPF_PROG(undo, struct tcp_sock *tp)
{
	return tp->snd_cwnd;
}

SEC("struct_ops")
void BPF_PROG(avoid, struct tcp_sock *tp, __u32 ack, __u32 acked)
{
	tp->snd_cwnd += 1;
}

SEC("struct_ops")
void BPF_PROG(other_avoid, struct tcp_sock *tp, __u32 ack, __u32 acked)
{
	tp->snd_cwnd += 2;
}

SEC("?.struct_ops.link")
struct tcp_congestion_ops later = {
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.cong_avoid = (void *)other_avoid,
	.name = "plb_later",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops___other always = {
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.cong_avoid = (void *)avoid,
	.flags = 0,
	.name = "plb_always",
};

char LICENSE[] SEC("license") = "GPL";
