// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What the rows of tests/guest try, where no other object has it. All programs are optional. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

const volatile __u32 target_pid = 0; /* 0: every process */
const volatile __u64 address = 0; /* of 8 bytes in the process's memory */
const volatile bool libbpf_1_7 = false; /* or later: its places of USDT are larger */

__u64 hits;
__u64 cookie;
__u64 found; /* what was in them */

static bool wanted(void)
{
	return !target_pid || target_pid == bpf_get_current_pid_tgid() >> 32;
}

/* Only a program that may sleep may wait for a page of the process's memory. */
SEC("?lsm.s/inode_getattr")
int lsm_sleepable(__u64 *ctx)
{
	__u64 value = 0;

	if (!wanted())
		return 0;
	bpf_copy_from_user(&value, sizeof(value), (void *)address);
	found = value;
	pylibbpf_add(hits, 1);
	return 0;
}

/*
 * USDT without usdt.bpf.h. libbpf asks for two maps by their names: what it knows of each place,
 * in a layout of its own that 1.7 has larger, and numbers of places by address, for kernels without
 * cookies. The loader sets the value's size; this program reads the cookie, behind 12 arguments.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 208);
} __bpf_usdt_specs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(long));
	__uint(value_size, sizeof(__u32));
} __bpf_usdt_ip_to_spec_id SEC(".maps");

SEC("?usdt")
int usdt(void *ctx)
{
	__u32 place = bpf_get_attach_cookie(ctx);
	__u64 *spec = bpf_map_lookup_elem(&__bpf_usdt_specs, &place);

	if (!spec || !wanted())
		return 0;
	cookie = libbpf_1_7 ? spec[288 / 8] : spec[192 / 8];
	pylibbpf_add(hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
