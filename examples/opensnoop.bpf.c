// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Files that processes open: open(2), openat(2), openat2(2). Kernel 5.8 or later.
 *
 * The name is read when the call returns: by then the kernel has brought the page in, where at
 * entry it may still be missing and the read would fail.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

struct event {
	__u64 ts; /* nanoseconds since boot */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__s32 ret; /* descriptor, or a negative errno */
	__u32 flags;
	char comm[16];
	char fname[256];
};

struct opening {
	__u64 fname;
	__u32 flags;
};

/* What to show; set before load. */
const volatile __u32 target_pid = 0; /* 0: every process */
const volatile __u32 target_uid = -1; /* -1: every user */
const volatile bool failed_only = false;

/* Events that found no room in the ring. */
__u64 dropped;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, struct opening);
} openings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
	pylibbpf_record(struct event);
} events SEC(".maps");

static int enter(unsigned long fname, __u32 flags)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct opening opening = { .fname = fname, .flags = flags };

	if (target_pid && target_pid != id >> 32)
		return 0;
	if (target_uid != (__u32)-1 && target_uid != (__u32)bpf_get_current_uid_gid())
		return 0;
	bpf_map_update_elem(&openings, &id, &opening, BPF_ANY);
	return 0;
}

static int leave(long ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct opening *opening = bpf_map_lookup_elem(&openings, &id);
	struct event *event;

	if (!opening)
		return 0;
	if (failed_only && ret >= 0)
		goto out;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		pylibbpf_add(dropped, 1);
		goto out;
	}
	event->ts = bpf_ktime_get_ns();
	event->pid = id >> 32;
	event->tid = id;
	event->uid = bpf_get_current_uid_gid();
	event->ret = ret;
	event->flags = opening->flags;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (bpf_probe_read_user_str(event->fname, sizeof(event->fname), (void *)opening->fname) < 0)
		event->fname[0] = 0;
	bpf_ringbuf_submit(event, 0);
out:
	bpf_map_delete_elem(&openings, &id);
	return 0;
}

/* arm64 has no open(2): optional. */
SEC("?tracepoint/syscalls/sys_enter_open")
int enter_open(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1]);
}

SEC("?tracepoint/syscalls/sys_exit_open")
int leave_open(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave_openat(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_openat2")
int enter_openat2(struct trace_event_raw_sys_enter *ctx)
{
	__u64 flags = 0;

	/* struct open_how begins with the flags. */
	bpf_probe_read_user(&flags, sizeof(flags), (void *)ctx->args[2]);
	return enter(ctx->args[1], flags);
}

SEC("tracepoint/syscalls/sys_exit_openat2")
int leave_openat2(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx->ret);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
