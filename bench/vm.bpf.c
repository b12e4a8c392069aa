// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What bench/vm_speed.py runs in Python: seven small programs of the kinds that people write. The eighth
 * is examples/xdp_filter. All get a struct input.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

struct input {
	void *data;
	void *end;
	__u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

/* Nothing but arithmetic. */
SEC("syscall")
__u64 alu(struct input *in)
{
	__u64 sum = 1, mix = 0x1234567, n = in->number;

	for (__u64 i = 0; i < n; i++) {
		sum += i;
		sum ^= mix;
		sum = (sum << 3) >> 1;
		mix += 7;
	}
	return sum;
}

/* The sum of RFC 1071 over what a packet has. */
SEC("syscall")
__u64 checksum(struct input *in)
{
	__u64 sum = 0;

	for (__u16 *at = in->data; (void *)(at + 1) <= in->end; at++)
		sum += *at;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

struct ethhdr {
	__u8 addresses[12];
	__be16 protocol;
} __attribute__((packed));

struct iphdr {
	__u8 version_and_length;
	__u8 tos;
	__be16 total_length;
	__u8 rest[5];
	__u8 protocol;
	__u8 more[10];
};

struct tcphdr {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledged;
	__u8 offset;
	__u8 flags;
	__be16 window;
};

/* From Ethernet to TCP: the port, the flags, and how much data there is. */
SEC("syscall")
__u64 parse(struct input *in)
{
	void *at = in->data, *end = in->end;
	struct ethhdr *eth = at;
	struct iphdr *ip;
	struct tcphdr *tcp;
	__u32 size, total;

	if ((void *)(eth + 1) > end)
		return 0;
	if (__builtin_bswap16(eth->protocol) != 0x0800)
		return 0;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end)
		return 0;
	if (ip->protocol != 6 /* TCP */)
		return 0;
	size = (ip->version_and_length & 15) * 4;
	if (size < sizeof(*ip))
		return 0;
	tcp = (void *)ip + size;
	if ((void *)(tcp + 1) > end)
		return 0;
	total = __builtin_bswap16(ip->total_length);
	size += (tcp->offset >> 4) * 4;
	if (total < size)
		return 0;
	return (__u64)__builtin_bswap16(tcp->destination) << 32 | (__u64)tcp->flags << 16 |
	       (total - size);
}

/* One more for a key; the first time, one. */
SEC("syscall")
__u64 counter(struct input *in)
{
	__u32 key = in->number;
	__u64 *count = bpf_map_lookup_elem(&counts, &key), one = 1;

	if (count)
		return ++*count;
	bpf_map_update_elem(&counts, &key, &one, BPF_ANY);
	return 1;
}

/* Where a string has its last slash, and how long it is. */
SEC("syscall")
__u64 scan(struct input *in)
{
	const char *text = in->data;
	__u64 slash = 0, i;

	for (i = 0; i < 256; i++) {
		char c = text[i];

		if (!c)
			break;
		if (c == '/')
			slash = i;
	}
	return slash << 32 | i;
}

struct tuple {
	__u32 from;
	__u32 to;
	__u16 sport;
	__u16 dport;
	__u32 protocol;
};

static inline __u32 turn(__u32 word, int by)
{
	return word << by | word >> (32 - by);
}

/* A hash of a connection, by additions, shifts and exclusive ors. */
SEC("syscall")
__u64 hash(struct input *in)
{
	struct tuple *t = in->data;
	__u32 a, b, c;

	a = b = c = 0xdeadbeef + sizeof(*t);
	a += t->from;
	b += t->to;
	c += (__u32)t->sport << 16 | t->dport;
	a -= c, a ^= turn(c, 4), c += b;
	b -= a, b ^= turn(a, 6), a += c;
	c -= b, c ^= turn(b, 8), b += a;
	a -= c, a ^= turn(c, 16), c += b;
	b -= a, b ^= turn(a, 19), a += c;
	c -= b, c ^= turn(b, 4), b += a;
	a += t->protocol;
	c ^= b, c -= turn(b, 14);
	a ^= c, a -= turn(c, 11);
	b ^= a, b -= turn(a, 25);
	c ^= b, c -= turn(b, 16);
	a ^= c, a -= turn(c, 4);
	b ^= a, b -= turn(a, 14);
	c ^= b, c -= turn(b, 24);
	return c;
}

/* A histogram by powers of two: the slot of a number gets one more. */
SEC("syscall")
__u64 histogram(struct input *in)
{
	__u64 number = in->number, *slot;
	__u32 log = 0, more;

	more = (number > 0xffffffff) << 5;
	number >>= more, log |= more;
	more = (number > 0xffff) << 4;
	number >>= more, log |= more;
	more = (number > 0xff) << 3;
	number >>= more, log |= more;
	more = (number > 0xf) << 2;
	number >>= more, log |= more;
	more = (number > 0x3) << 1;
	number >>= more, log |= more;
	log |= number >> 1;
	slot = bpf_map_lookup_elem(&slots, &log);
	if (slot)
		__sync_fetch_and_add(slot, 1);
	return log;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
