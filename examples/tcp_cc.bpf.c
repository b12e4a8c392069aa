// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A TCP congestion control as in the textbook: additive increase, multiplicative decrease, and
 * counters of what it was asked.
 */
#include "kernel.bpf.h"
#include "tcp.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "pylibbpf.bpf.h"

__u64 connections; /* sockets that chose it */
__u64 acks;        /* acknowledgements that might make the window grow */
__u64 losses;      /* times it was asked what to do after a loss */
__u32 largest;     /* the largest window it allowed, in packets */

SEC("struct_ops/begin")
void BPF_PROG(begin, struct tcp_sock *tp)
{
	pylibbpf_add(connections, 1);
}

SEC("struct_ops/after_loss")
__u32 BPF_PROG(after_loss, struct tcp_sock *tp)
{
	__u32 half = tp->snd_cwnd / 2;

	pylibbpf_add(losses, 1);
	return half < 2 ? 2 : half;
}

SEC("struct_ops/no_loss_after_all")
__u32 BPF_PROG(no_loss_after_all, struct tcp_sock *tp)
{
	__u32 before = tp->snd_ssthresh * 2;

	return tp->snd_cwnd > before ? tp->snd_cwnd : before;
}

SEC("struct_ops/acknowledged")
void BPF_PROG(acknowledged, struct tcp_sock *tp, __u32 ack, __u32 acked)
{
	__u32 window = tp->snd_cwnd;

	pylibbpf_add(acks, 1);
	if (window < tp->snd_ssthresh) {
		window += acked; /* slow start: it doubles in a round trip */
	} else {
		__u32 count = tp->snd_cwnd_cnt + acked; /* one more in a round trip */

		if (count >= window) {
			count -= window;
			window++;
		}
		tp->snd_cwnd_cnt = count;
	}
	tp->snd_cwnd = window;
	if (window > largest)
		largest = window;
}

SEC(".struct_ops")
struct tcp_congestion_ops textbook = {
	.init = (void *)begin,
	.ssthresh = (void *)after_loss,
	.undo_cwnd = (void *)no_loss_after_all,
	.cong_avoid = (void *)acknowledged,
	.name = "plb_textbook",
};

char LICENSE[] SEC("license") = "Dual BSD/GPL";
