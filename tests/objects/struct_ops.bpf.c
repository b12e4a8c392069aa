// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Two TCP congestion controls of one name, which can take each other's place, and a third. A test
 * puts a name of its own in place of theirs: names are the whole machine's.
 */
#include "kernel.bpf.h"
#include "tcp.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "pylibbpf.bpf.h"

__u64 first_acks;
__u64 second_acks;

SEC("struct_ops/ssthresh")
__u32 BPF_PROG(ssthresh, struct tcp_sock *tp)
{
	__u32 half = tp->snd_cwnd / 2;

	return half < 2 ? 2 : half;
}

SEC("struct_ops/undo_cwnd")
__u32 BPF_PROG(undo_cwnd, struct tcp_sock *tp)
{
	return tp->snd_cwnd;
}

SEC("struct_ops/first_avoid")
void BPF_PROG(first_avoid, struct tcp_sock *tp, __u32 ack, __u32 acked)
{
	pylibbpf_add(first_acks, 1);
	tp->snd_cwnd += 1;
}

SEC("struct_ops/second_avoid")
void BPF_PROG(second_avoid, struct tcp_sock *tp, __u32 ack, __u32 acked)
{
	pylibbpf_add(second_acks, 1);
	tp->snd_cwnd += 1;
}

SEC(".struct_ops")
struct tcp_congestion_ops first = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)first_avoid,
	.name = "plb_test_name00",
};

SEC(".struct_ops")
struct tcp_congestion_ops second = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)second_avoid,
	.name = "plb_test_name00",
};

SEC(".struct_ops")
struct tcp_congestion_ops third = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)second_avoid,
	.name = "plb_test_other0",
};

char LICENSE[] SEC("license") = "Dual BSD/GPL";
