// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One map of each type, with the least that it takes: a test creates them one by one. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

/* Numbers of enum bpf_map_type that no other object needs. */
enum {
	PROG_ARRAY = 3,
	STACK_TRACE = 7,
	CGROUP_ARRAY = 8,
	ARRAY_OF_MAPS = 12,
	HASH_OF_MAPS = 13,
	DEVMAP = 14,
	SOCKMAP = 15,
	CPUMAP = 16,
	XSKMAP = 17,
	SOCKHASH = 18,
	CGROUP_STORAGE = 19,
	REUSEPORT_SOCKARRAY = 20,
	PERCPU_CGROUP_STORAGE = 21,
	SK_STORAGE = 24,
	DEVMAP_HASH = 25,
	INODE_STORAGE = 28,
	TASK_STORAGE = 29,
	BLOOM_FILTER = 30,
	USER_RINGBUF = 31,
	CGRP_STORAGE = 32,
	ARENA = 33,
	INSN_ARRAY = 34,
	RHASH = 35,
};

#define MAP(name, kind, key, value, entries, flags) \
	struct {                                    \
		__uint(type, kind);                 \
		__uint(key_size, key);              \
		__uint(value_size, value);          \
		__uint(max_entries, entries);       \
		__uint(map_flags, flags);           \
	} name SEC(".maps")

/* Local storage needs the types of key and value in BTF. */
#define STORAGE(name, kind)                           \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, int);                     \
		__type(value, int);                   \
	} name SEC(".maps")

#define OF_MAPS(name, kind)                                   \
	struct {                                              \
		__uint(type, kind);                           \
		__uint(max_entries, 1);                       \
		__uint(key_size, 4);                          \
		__array(values, struct {                      \
			__uint(type, BPF_MAP_TYPE_ARRAY);     \
			__uint(max_entries, 1);               \
			__type(key, __u32);                   \
			__type(value, __u32);                 \
		});                                           \
	} name SEC(".maps")

MAP(hash, BPF_MAP_TYPE_HASH, 4, 4, 1, 0);
MAP(array, BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0);
MAP(prog_array, PROG_ARRAY, 4, 4, 1, 0);
MAP(perf_event_array, BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 1, 0);
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, 4, 4, 1, 0);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 1, 0);
MAP(stack_trace, STACK_TRACE, 4, 8, 1, 0);
MAP(cgroup_array, CGROUP_ARRAY, 4, 4, 1, 0);
MAP(lru_hash, BPF_MAP_TYPE_LRU_HASH, 4, 4, 1, 0);
MAP(lru_percpu_hash, BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 4, 1, 0);
MAP(lpm_trie, BPF_MAP_TYPE_LPM_TRIE, 8, 4, 1, BPF_F_NO_PREALLOC);
OF_MAPS(array_of_maps, ARRAY_OF_MAPS);
OF_MAPS(hash_of_maps, HASH_OF_MAPS);
MAP(devmap, DEVMAP, 4, 4, 1, 0);
MAP(sockmap, SOCKMAP, 4, 4, 1, 0);
MAP(cpumap, CPUMAP, 4, 4, 1, 0);
MAP(xskmap, XSKMAP, 4, 4, 1, 0);
MAP(sockhash, SOCKHASH, 4, 4, 1, 0);
MAP(cgroup_storage, CGROUP_STORAGE, 8, 4, 0, 0);
MAP(reuseport_sockarray, REUSEPORT_SOCKARRAY, 4, 8, 1, 0);
MAP(percpu_cgroup_storage, PERCPU_CGROUP_STORAGE, 8, 4, 0, 0);
MAP(queue, BPF_MAP_TYPE_QUEUE, 0, 4, 1, 0);
MAP(stack, BPF_MAP_TYPE_STACK, 0, 4, 1, 0);
STORAGE(sk_storage, SK_STORAGE);
MAP(devmap_hash, DEVMAP_HASH, 4, 4, 1, 0);
MAP(ringbuf, BPF_MAP_TYPE_RINGBUF, 0, 0, 65536, 0);
STORAGE(inode_storage, INODE_STORAGE);
STORAGE(task_storage, TASK_STORAGE);
MAP(bloom_filter, BLOOM_FILTER, 0, 4, 1, 0);
MAP(user_ringbuf, USER_RINGBUF, 0, 0, 65536, 0);
STORAGE(cgrp_storage, CGRP_STORAGE);
MAP(arena, ARENA, 0, 0, 1, BPF_F_MMAPABLE);
MAP(insn_array, INSN_ARRAY, 4, 16, 1, 0);
MAP(rhash, RHASH, 4, 4, 1, BPF_F_NO_PREALLOC);

/* A file with no program at all would be no file for BPF to some tools. */
SEC("?raw_tp")
int nothing(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
