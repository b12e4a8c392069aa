// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A program of each kind that attaches to cgroups. All are optional: a test loads those it is
 * about. Each counts its calls; those that may refuse do so unless `verdict` is 1.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"
#include "sockets.bpf.h"

__u32 verdict = 1;
__u32 device_major;
__u32 device_minor;
/* What getsockopt() gives for this option in the place of the kernel's answer. */
__s32 option_level;
__s32 option_name;
__s32 option_value;

/* Of the programs `first`, `second` and `third`: who was called, as decimal digits. */
__u64 order;

#define COUNTED(program, section, result)     \
	__u64 program##_calls;                \
	SEC(section)                          \
	int program(void *ctx)                \
	{                                     \
		pylibbpf_add(program##_calls, 1); \
		return result;                \
	}

#define ALLOWED (verdict & 1)

COUNTED(ingress, "?cgroup_skb/ingress", ALLOWED)
COUNTED(egress, "?cgroup_skb/egress", ALLOWED)
COUNTED(skb, "?cgroup/skb", ALLOWED)
COUNTED(sock_create, "?cgroup/sock_create", ALLOWED)
COUNTED(sock_release, "?cgroup/sock_release", 1)
COUNTED(post_bind4, "?cgroup/post_bind4", ALLOWED)
COUNTED(post_bind6, "?cgroup/post_bind6", ALLOWED)
COUNTED(bind4, "?cgroup/bind4", ALLOWED)
COUNTED(bind6, "?cgroup/bind6", ALLOWED)
COUNTED(connect4, "?cgroup/connect4", ALLOWED)
COUNTED(connect6, "?cgroup/connect6", ALLOWED)
COUNTED(sendmsg4, "?cgroup/sendmsg4", ALLOWED)
COUNTED(sendmsg6, "?cgroup/sendmsg6", ALLOWED)
COUNTED(recvmsg4, "?cgroup/recvmsg4", 1)
COUNTED(recvmsg6, "?cgroup/recvmsg6", 1)
COUNTED(getpeername4, "?cgroup/getpeername4", 1)
COUNTED(getpeername6, "?cgroup/getpeername6", 1)
COUNTED(getsockname4, "?cgroup/getsockname4", 1)
COUNTED(getsockname6, "?cgroup/getsockname6", 1)
/* Linux 6.7; libbpf knows these sections from 1.3 on. */
COUNTED(connect_unix, "?cgroup/connect_unix", ALLOWED)
COUNTED(sendmsg_unix, "?cgroup/sendmsg_unix", ALLOWED)
COUNTED(recvmsg_unix, "?cgroup/recvmsg_unix", 1)
COUNTED(getpeername_unix, "?cgroup/getpeername_unix", 1)
COUNTED(getsockname_unix, "?cgroup/getsockname_unix", 1)
COUNTED(sock_ops, "?sockops", 1)
COUNTED(sysctl, "?cgroup/sysctl", ALLOWED)
COUNTED(setsockopt, "?cgroup/setsockopt", ALLOWED)
/* Linux 6.0 */
COUNTED(lsm_socket_bind, "?lsm_cgroup/socket_bind", ALLOWED)

__u64 device_calls;

SEC("?cgroup/dev")
int device(struct bpf_cgroup_dev_ctx *ctx)
{
	pylibbpf_add(device_calls, 1);
	if (ctx->major == device_major && ctx->minor == device_minor)
		return ALLOWED;
	return 1;
}

__u64 getsockopt_calls;

SEC("?cgroup/getsockopt")
int getsockopt(struct bpf_sockopt *ctx)
{
	volatile __s32 *value = ctx->optval;
	/* The verifier takes one field at a time, where the compiler would write two at once. */
	volatile __s32 *length = &ctx->optlen, *retval = &ctx->retval;

	pylibbpf_add(getsockopt_calls, 1);
	if (ctx->level != option_level || ctx->optname != option_name)
		return 1;
	if ((void *)(value + 1) > ctx->optval_end)
		return 0;
	*value = option_value;
	*length = sizeof(*value);
	*retval = 0;
	return ALLOWED;
}

static int ordered(int digit)
{
	order = order * 10 + digit;
	return 1;
}

SEC("?cgroup/connect4")
int first(struct bpf_sock_addr *ctx)
{
	return ordered(1);
}

SEC("?cgroup/connect4")
int second(struct bpf_sock_addr *ctx)
{
	return ordered(2);
}

SEC("?cgroup/connect4")
int third(struct bpf_sock_addr *ctx)
{
	return ordered(3);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
