// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A function that jumps by a table, behind two programs. The compiler makes tables for -mcpu=v4
 * only, so tools/objects.py does not build this object:
 *
 *	python -m ziglang cc -target bpfel-freestanding -O2 -g -Xclang -target-cpu -Xclang v4 \
 *		-fno-unwind-tables -fno-asynchronous-unwind-tables -ffile-prefix-map=$PWD=. \
 *		-Iexamples/include -isystem LIBBPF-DEV/usr/include \
 *		-c tests/unit/loader/jumps.bpf.c -o tests/unit/loader/jumps.bpf.o
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

volatile __u64 total;

static __noinline __u64 choose(__u32 number)
{
	switch (number) {
	case 0: total += 3; break;
	case 1: total ^= 41; break;
	case 2: total *= 5; break;
	case 3: total -= 77; break;
	case 4: total |= 6; break;
	case 5: total /= 9; break;
	case 6: total <<= 2; break;
	case 7: total >>= 3; break;
	case 8: total += 1000; break;
	case 9: total ^= 4242; break;
	case 10: total *= 11; break;
	case 11: total -= 5; break;
	case 12: total |= 99; break;
	case 13: total /= 3; break;
	case 14: total += 12; break;
	case 15: total ^= 7; break;
	}
	return total;
}

static __noinline __u64 other(__u64 number)
{
	total += number;
	return total * 3;
}

SEC("socket")
int direct(struct __sk_buff *skb)
{
	return choose((__u64)skb);
}

SEC("socket")
int behind(struct __sk_buff *skb)
{
	return other((__u64)skb) + choose((__u64)skb);
}

char LICENSE[] SEC("license") = "GPL";
