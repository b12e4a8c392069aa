// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What every peer of the benchmark loads: one program to attach, one that fills a ring. */
#include "kernel.bpf.h"
#include "pylibbpf.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define RECORDS 1024 /* a run of produce sends */

struct event {
	__u64 sequence;
	__u64 time_ns;
	__u32 pid;
	__u32 parent;
	char comm[16];
	__u64 rest[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
	pylibbpf_record(struct event);
} events SEC(".maps");

static void fill(struct event *event)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	event->time_ns = bpf_ktime_get_ns();
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->parent = BPF_CORE_READ(task, real_parent, tgid);
	bpf_get_current_comm(event->comm, sizeof(event->comm));
}

/* Attached by "load": what an execsnoop does. */
SEC("raw_tp/sched_process_exec")
int executed(void *context)
{
	struct event event = {};

	fill(&event);
	bpf_ringbuf_output(&events, &event, sizeof(event), 0);
	return 0;
}

/* Never attached; run by BPF_PROG_TEST_RUN. */
SEC("?raw_tp/sched_process_exit")
int produce(void *context)
{
	struct event event = {};

	fill(&event);
	for (int i = 0; i < RECORDS; i++) {
		event.sequence = i;
		bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
