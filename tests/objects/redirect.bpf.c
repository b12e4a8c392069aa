// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps of devices and CPUs, and XDP programs that redirect by them. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

enum {
	ABORTED = 0,
	PASS = 2,
};

struct target {
	__u32 number;
	int program;
};

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct target);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} plain_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct target);
} by_number SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct target);
} cpus SEC(".maps");

SEC("xdp")
int to_port(void *ctx)
{
	return bpf_redirect_map(&ports, 1, PASS);
}

SEC("xdp")
int to_number(void *ctx)
{
	return bpf_redirect_map(&by_number, 1000, PASS);
}

SEC("xdp")
int to_cpu(void *ctx)
{
	return bpf_redirect_map(&cpus, 0, PASS);
}

SEC("xdp/devmap")
int at_port(void *ctx)
{
	return PASS;
}

SEC("xdp/cpumap")
int at_cpu(void *ctx)
{
	return PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
