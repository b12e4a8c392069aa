/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TCP congestion control as struct_ops, as far as our programs use it: libbpf finds the members in
 * the kernel's struct by their names. Include kernel.bpf.h before it.
 */
#ifndef PYLIBBPF_TCP_BPF_H
#define PYLIBBPF_TCP_BPF_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock;

/* What programs are given as struct sock * is one (net/ipv4/bpf_tcp_ca.c). */
struct tcp_sock {
	__u32 snd_cwnd;     /* how many packets may be under way */
	__u32 snd_cwnd_cnt; /* packets acknowledged since it grew */
	__u32 snd_ssthresh; /* below it the window grows with each packet acknowledged */
};

#pragma clang attribute pop

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk); /* after a loss */
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk); /* the loss was none */
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
	char name[16];
};

#endif
