// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A struct_ops program in a section that libbpf 1.1 does not know: it does not open the object. */
#include "kernel.bpf.h"
#include "tcp.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

SEC("struct_ops.s/undo_cwnd")
__u32 BPF_PROG(undo_cwnd, struct tcp_sock *tp)
{
	return tp->snd_cwnd;
}

SEC(".struct_ops")
struct tcp_congestion_ops control = {
	.undo_cwnd = (void *)undo_cwnd,
	.name = "plb_test_name00",
};

char LICENSE[] SEC("license") = "Dual BSD/GPL";
