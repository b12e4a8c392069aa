// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Perf events: how often one struck, on which CPU, with which cookie and period. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

#define MOST_CPUS 256

const volatile __u32 target_pid = 0; /* 0: every process */

__u64 strikes;
__u64 cookie;
__u64 period;
__u64 by_cpu[MOST_CPUS];

SEC("perf_event")
int strike(struct bpf_perf_event_data *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();

	if (target_pid && target_pid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	pylibbpf_add(strikes, 1);
	cookie = bpf_get_attach_cookie(ctx);
	period = ctx->sample_period;
	if (cpu < MOST_CPUS)
		pylibbpf_add(by_cpu[cpu], 1);
	return 0;
}

/* To be attached to the same events: another program on one event is refused, or joins. */
SEC("perf_event")
int other(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
