// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Loads everywhere, but two of its hooks are nowhere; the first and the last are everywhere. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int first(void *ctx)
{
	return 0;
}

SEC("tracepoint/pylibbpf/no_such_event")
int missing_tracepoint(void *ctx)
{
	return 0;
}

SEC("raw_tp/pylibbpf_no_such_event")
int missing_raw(void *ctx)
{
	return 0;
}

SEC("?tracepoint/pylibbpf/no_such_optional_event")
int optional(void *ctx)
{
	return 0;
}

SEC("raw_tp/sys_exit")
int last(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
