// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A program of each kind of probe, for tests that attach them with options of their own. All are
 * optional: a test loads those that it attaches. Each counts, and keeps the last cookie.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "pylibbpf.bpf.h"
#include "registers.bpf.h"
/* usdt.bpf.h asks where it is, of kernels without cookies; libbpf's macro is for one machine. */
#undef PT_REGS_IP
#define PT_REGS_IP(ctx) plb_place(ctx)
#include <bpf/usdt.bpf.h>

const volatile __u32 target_pid = 0; /* 0: every process */

__u64 hits;
__u64 cookie;
__u64 argument;
__u64 result;

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

SEC("?kprobe")
int kprobe(struct pt_regs *ctx)
{
	return hit(ctx);
}

SEC("?kretprobe")
int kretprobe(struct pt_regs *ctx)
{
	return hit(ctx);
}

SEC("?kprobe.multi")
int kprobe_multi(struct pt_regs *ctx)
{
	return hit(ctx);
}

/* Of a session both ends come here: each counts. */
SEC("?kprobe.session/do_sys_openat2")
int kprobe_session(struct pt_regs *ctx)
{
	return hit(ctx);
}

SEC("?ksyscall")
int ksyscall(struct pt_regs *ctx)
{
	return hit(ctx);
}

SEC("?uprobe")
int uprobe(struct pt_regs *ctx)
{
	if (wanted())
		argument = plb_argument1(ctx);
	return hit(ctx);
}

SEC("?uretprobe")
int uretprobe(struct pt_regs *ctx)
{
	if (wanted())
		result = plb_result(ctx);
	return hit(ctx);
}

SEC("?uprobe.multi")
int uprobe_multi(struct pt_regs *ctx)
{
	return hit(ctx);
}

SEC("?uprobe.session/libc.so.6:getpgid")
int uprobe_session(struct pt_regs *ctx)
{
	return hit(ctx);
}

SEC("?usdt")
int usdt(struct pt_regs *ctx)
{
	long value = 0;

	if (!wanted())
		return 0;
	pylibbpf_add(hits, 1);
	bpf_usdt_arg(ctx, 0, &value);
	argument = value;
	cookie = bpf_usdt_cookie(ctx);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
