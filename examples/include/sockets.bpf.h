/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The contexts of programs at cgroups and sockets, and no more of them than our programs use.
 * Unlike the kernel's own types these are ABI (include/uapi/linux/bpf.h): a field's place here is
 * its place, so what stands before one that is used is here, too. Include it after kernel.bpf.h.
 */
#ifndef PYLIBBPF_SOCKETS_BPF_H
#define PYLIBBPF_SOCKETS_BPF_H

enum {
	AF_INET = 2,
};

enum {
	SK_DROP = 0,
	SK_PASS = 1,
};

struct bpf_sock;

/* bind, connect, sendmsg, recvmsg, getpeername, getsockname: addresses in network byte order. */
struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
};

/* The ports: the remote one in network byte order, the local one in the machine's. */
struct bpf_sk_lookup {
	__u64 cookie;
	__u32 family;
	__u32 protocol;
	__u32 remote_ip4;
	__u32 remote_ip6[4];
	__be16 remote_port;
	__u16 : 16;
	__u32 local_ip4;
	__u32 local_ip6[4];
	__u32 local_port;
	__u32 ingress_ifindex; /* 5.17 */
};

struct bpf_cgroup_dev_ctx {
	__u32 access_type; /* the access in the upper 16 bits, the kind of device in the lower */
	__u32 major;
	__u32 minor;
};

/* getsockopt, setsockopt */
struct bpf_sockopt {
	struct bpf_sock *sk;
	void *optval;
	void *optval_end;
	__s32 level;
	__s32 optname;
	__s32 optlen;
	__s32 retval;
};

#endif
