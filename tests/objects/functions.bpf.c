// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Functions of all kinds behind programs: each program needs others of them, in another order, and
 * one goes back to a function that is already there. Two are only pointed at: a callback, and what
 * is called for an exception, which no instruction names.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym __weak;

static volatile __u64 hidden_total SEC(".data.counters");
volatile __u64 total;

static __noinline __u64 last(__u64 value)
{
	hidden_total += value;
	return hidden_total ^ 5;
}

__noinline __u64 shared(__u64 value)
{
	total += value;
	return last(value) + 1;
}

static __noinline __u64 first(__u64 value)
{
	return shared(value * 3) + last(value);
}

__weak __noinline __u64 replaceable(__u64 value)
{
	total -= value;
	return first(value);
}

__hidden __noinline __u64 quiet(__u64 value)
{
	return total > value ? total : value;
}

static long count(__u32 index, void *context)
{
	total += shared(index);
	return total > 1000;
}

__noinline int caught(__u64 cookie)
{
	return last(cookie) & 1;
}

SEC("raw_tp/one")
int direct(void *ctx)
{
	return replaceable(1) + quiet(2);
}

SEC("raw_tp/two")
int reverse(void *ctx)
{
	return quiet(2) + last(7) + shared(3);
}

SEC("raw_tp/three")
int repeated(void *ctx)
{
	return bpf_loop(100, count, NULL, 0);
}

SEC("?raw_tp/four")
__attribute__((btf_decl_tag("exception_callback:caught")))
int throwing(void *ctx)
{
	if (shared(4) > 100 && bpf_throw)
		bpf_throw(1);
	return 0;
}

SEC("raw_tp/five")
int alone(void *ctx)
{
	return total;
}

char LICENSE[] SEC("license") = "GPL";
