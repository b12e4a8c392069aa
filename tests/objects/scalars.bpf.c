// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Maps whose keys and values are plain numbers of every kind. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#define NUMBERS(name, key_type, value_type)      \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, 4);          \
		__type(key, key_type);           \
		__type(value, value_type);       \
	} name SEC(".maps")

NUMBERS(u32_u64, __u32, __u64);
NUMBERS(s32_s64, __s32, __s64);
NUMBERS(u64_u32, __u64, __u32);
NUMBERS(s64_s32, __s64, __s32);
NUMBERS(u16_u8, __u16, __u8);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __s64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} percpu SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";
