// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Perf buffers, filled by test_run: args[0] records, at most 1024. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

#define MOST 1024

/* 20 bytes: the kernel pads records to a multiple of 8, less 4. */
struct event {
	__u32 number;
	char comm[16];
};

struct sample {
	__u64 number;
	__u64 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	pylibbpf_record(struct event);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} samples SEC(".maps");

__u32 next;
__u64 failed;

const struct sample *unused_sample __attribute__((unused));

SEC("raw_tp")
int produce(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 count = ctx->args[0], i;
	struct event event = {};

	bpf_get_current_comm(event.comm, sizeof(event.comm));
	for (i = 0; i < MOST && i < count; i++) {
		event.number = next++;
		if (bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event)))
			failed++;
	}
	return 0;
}

SEC("raw_tp")
int produce_samples(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 count = ctx->args[0], i;
	struct sample sample = { .cpu = bpf_get_smp_processor_id() };

	for (i = 0; i < MOST && i < count; i++) {
		sample.number = next++;
		if (bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &sample, sizeof(sample)))
			failed++;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
