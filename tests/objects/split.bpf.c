// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Static data of which one element is used: the compiler keeps that alone, under another name
 * (spread.0), and its BTF still gives it the type of the whole array, longer than the section.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

static int spread[50];

SEC("xdp")
int count(struct xdp_md *ctx)
{
	return ++spread[3];
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
