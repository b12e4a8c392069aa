// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A program of each kind that is checked against the kernel's BTF, or another program's, and
 * tracepoints. All are optional: a test loads those that it attaches.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

const volatile __u32 target_pid = 0; /* 0: every process */

__u64 hits;
__u64 cookie;
__u64 argument;

static bool wanted(void)
{
	return !target_pid || target_pid == bpf_get_current_pid_tgid() >> 32;
}

static int hit(void *ctx)
{
	if (!wanted())
		return 0;
	pylibbpf_add(hits, 1);
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("?tracepoint")
int tracepoint(struct trace_event_raw_sys_enter *ctx)
{
	if (wanted())
		argument = ctx->args[0];
	return hit(ctx);
}

/* bpf_get_attach_cookie() is not for raw tracepoints before 6.10. */
SEC("?raw_tp")
int raw_tp(void *ctx)
{
	if (wanted())
		pylibbpf_add(hits, 1);
	return 0;
}

SEC("?raw_tp")
int raw_tp_cookie(void *ctx)
{
	return hit(ctx);
}

SEC("?tp_btf/sys_enter")
int tp_btf(__u64 *ctx)
{
	if (wanted())
		pylibbpf_add(hits, 1);
	return 0;
}

SEC("?fentry/do_sys_openat2")
int fentry(__u64 *ctx)
{
	return hit(ctx);
}

SEC("?fexit/do_sys_openat2")
int fexit(__u64 *ctx)
{
	return hit(ctx);
}

/* Of functions that the kernel lets be changed: here one of its security hooks. */
SEC("?fmod_ret/security_inode_getattr")
int fmod_ret(__u64 *ctx)
{
	return hit(ctx);
}

SEC("?fsession/do_sys_openat2")
int fsession(__u64 *ctx)
{
	return hit(ctx);
}

SEC("?lsm/inode_getattr")
int lsm(__u64 *ctx)
{
	if (wanted())
		pylibbpf_add(hits, 1);
	return 0;
}

/* The program whose global function is replaced. Not a raw tracepoint: of those the verifier takes
 * no replacement but one that returns 0. */
struct xdp_md {
	__u32 data;
};

__attribute__((noinline)) int replaceable(struct xdp_md *ctx)
{
	volatile int verdict = 1;

	return ctx ? verdict : 0;
}

SEC("?xdp")
int target(struct xdp_md *ctx)
{
	return replaceable(ctx);
}

SEC("?freplace/replaceable")
int freplace(struct xdp_md *ctx)
{
	pylibbpf_add(hits, 1);
	return 2;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
