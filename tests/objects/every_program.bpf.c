// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One program of each type, which does nothing; none is loaded unless it is asked for. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define PROGRAM(name, section, result) \
	SEC("?" section)               \
	int name(void *ctx)            \
	{                              \
		return result;         \
	}

PROGRAM(socket_filter, "socket", 0)
PROGRAM(kprobe, "kprobe", 0)
PROGRAM(sched_cls, "tc", 0)
PROGRAM(sched_act, "action", 0)
PROGRAM(tracepoint, "tp", 0)
PROGRAM(xdp, "xdp", 0)
PROGRAM(perf_event, "perf_event", 0)
PROGRAM(cgroup_skb, "cgroup/skb", 0)
PROGRAM(cgroup_sock, "cgroup/sock_create", 1)
PROGRAM(lwt_in, "lwt_in", 0)
PROGRAM(lwt_out, "lwt_out", 0)
PROGRAM(lwt_xmit, "lwt_xmit", 0)
PROGRAM(sock_ops, "sockops", 0)
PROGRAM(sk_skb, "sk_skb", 0)
PROGRAM(cgroup_device, "cgroup/dev", 1)
PROGRAM(sk_msg, "sk_msg", 0)
PROGRAM(raw_tracepoint, "raw_tp", 0)
PROGRAM(cgroup_sock_addr, "cgroup/connect4", 1)
PROGRAM(lwt_seg6local, "lwt_seg6local", 0)
PROGRAM(lirc_mode2, "lirc_mode2", 0)
PROGRAM(sk_reuseport, "sk_reuseport", 0)
PROGRAM(flow_dissector, "flow_dissector", 0)
PROGRAM(cgroup_sysctl, "cgroup/sysctl", 1)
PROGRAM(raw_tracepoint_writable, "raw_tp.w", 0)
PROGRAM(cgroup_sockopt, "cgroup/getsockopt", 1)
PROGRAM(tracing, "tp_btf/sched_switch", 0)
PROGRAM(lsm, "lsm/file_open", 0)
PROGRAM(sk_lookup, "sk_lookup", 1)
PROGRAM(syscall, "syscall", 0)
PROGRAM(netfilter, "netfilter", 1)

/* Hooks of the tracing programs. */
PROGRAM(fentry, "fentry/bpf_fentry_test1", 0)
PROGRAM(fexit, "fexit/bpf_fentry_test1", 0)
PROGRAM(fmod_ret, "fmod_ret/security_file_open", 0)
PROGRAM(iter, "iter/task", 0)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
