// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Hooks: some are on every kernel, some on none. obj.attach() finds the second sort out only when
 * it gets there, after it has attached others. Events carry the argument of getpgid(2).
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

struct event {
	__u32 pid;
	__u32 tid;
	__u64 value;
};

const volatile __u32 target_pid = 0; /* 0: every process */

__u64 raw_calls;
__u64 calls;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
	pylibbpf_record(struct event);
} events SEC(".maps");

static bool wanted(void)
{
	return !target_pid || target_pid == bpf_get_current_pid_tgid() >> 32;
}

SEC("raw_tp/sys_enter")
int raw(struct bpf_raw_tracepoint_args *ctx)
{
	if (wanted())
		pylibbpf_add(raw_calls, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int getpgid(struct trace_event_raw_sys_enter *ctx)
{
	struct event *event;

	if (!wanted())
		return 0;
	pylibbpf_add(calls, 1);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->tid = bpf_get_current_pid_tgid();
	event->value = ctx->args[0];
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Has no hook of its own: attach() has nothing to do for it. */
SEC("raw_tp")
int unhooked(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
