/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Packets, and the contexts of programs that see them. Contexts are ABI (include/uapi/linux/bpf.h):
 * unlike the kernel's own types they have fixed places, so each is whole up to what is used.
 */
#ifndef PYLIBBPF_PACKETS_BPF_H
#define PYLIBBPF_PACKETS_BPF_H

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex; /* 5.8 */
};

/* Up to the last field that our programs use. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
};

enum xdp_action {
	XDP_ABORTED = 0,
	XDP_DROP = 1,
	XDP_PASS = 2,
};

/* What a classifier returns: to tcx (6.6), and to tc in direct-action mode. */
enum {
	TC_ACT_UNSPEC = -1, /* the next one decides */
	TC_ACT_OK = 0,
	TC_ACT_SHOT = 2,
};

enum {
	ETH_P_IP = 0x0800,
	IPPROTO_UDP = 17,
};

struct ethhdr {
	__u8 destination[6];
	__u8 source[6];
	__be16 protocol;
} __attribute__((packed));

struct iphdr {
	__u8 version_and_length; /* 4 bits each; the length is in words of 4 bytes */
	__u8 tos;
	__be16 total_length;
	__be16 id;
	__be16 fragment; /* flags in the upper 3 bits, offset below */
	__u8 ttl;
	__u8 protocol;
	__sum16 check;
	__be32 source;
	__be32 destination;
};

struct udphdr {
	__be16 source;
	__be16 destination;
	__be16 length;
	__sum16 check;
};

static __attribute__((always_inline)) __u16 from_network(__be16 value)
{
	return __builtin_bswap16(value); /* the machines that we build for are little-endian */
}

/*
 * The UDP header of an IPv4 packet that has one and is no later fragment, or NULL. A header of IPv4
 * has 5 to 15 words; the verifier is shown both bounds.
 */
static __attribute__((always_inline)) struct udphdr *udp_of(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp;
	__u32 length;

	if ((void *)(ip + 1) > end || from_network(eth->protocol) != ETH_P_IP)
		return NULL;
	length = (ip->version_and_length & 0xf) * 4;
	if (length < sizeof(*ip) || ip->protocol != IPPROTO_UDP ||
	    (from_network(ip->fragment) & 0x1fff))
		return NULL;
	udp = (void *)ip + length;
	return (void *)(udp + 1) > end ? NULL : udp;
}

#endif
