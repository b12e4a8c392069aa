// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * SEC() names that libbpf 1.1 does not know. The first is loaded as it is, since every kernel
 * takes the program whatever it says of where it will be attached.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

__u64 hits;

SEC("tcx/ingress")
int tcx_ingress(void *ctx)
{
	return -1; /* TCX_NEXT */
}

SEC("raw_tp/sys_enter")
int known(void *ctx)
{
	pylibbpf_add(hits, 1);
	return 0;
}

SEC("?kprobe.session/do_sys_open*")
int kprobe_session(void *ctx)
{
	return 0;
}

SEC("?uprobe.multi/libc.so.6:getpgid")
int uprobe_multi(void *ctx)
{
	return 0;
}

SEC("?uprobe.session.s/libc.so.6:getpgid")
int uprobe_session(void *ctx)
{
	return 0;
}

SEC("?usdt.s/libc.so.6:pylibbpf:no_such_probe")
int usdt_sleepable(void *ctx)
{
	return 0;
}

SEC("?netkit/peer")
int netkit_peer(void *ctx)
{
	return -1;
}

SEC("?netfilter")
int netfilter(void *ctx)
{
	return 1;
}

SEC("?cgroup/connect_unix")
int connect_unix(void *ctx)
{
	return 1;
}

SEC("?sk_skb/verdict")
int sk_skb_verdict(void *ctx)
{
	return 1;
}

SEC("?fsession/do_sys_openat2")
int fsession(void *ctx)
{
	return 0;
}

SEC("?fsession")
int fsession_of_nothing(void *ctx)
{
	return 0;
}

SEC("?fentry.multi/do_sys_open*")
int fentry_multi(void *ctx)
{
	return 0;
}

SEC("?tp_btf.s/sys_enter")
int tp_btf_sleepable(void *ctx)
{
	pylibbpf_add(hits, 1);
	return 0;
}

SEC("?tp.s/syscalls/sys_enter_getpgid")
int tp_sleepable(void *ctx)
{
	pylibbpf_add(hits, 1);
	return 0;
}

SEC("?raw_tp.s/sys_enter")
int raw_tp_sleepable(void *ctx)
{
	pylibbpf_add(hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
