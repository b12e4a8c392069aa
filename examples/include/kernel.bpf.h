/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What our BPF programs use of the kernel's types, and no more: the field's place comes from the
 * running kernel's BTF (CO-RE), so neither order nor missing neighbours matter here.
 * Include it before libbpf's headers, which need the __u types. Numbers are the kernel's ABI
 * (include/uapi/linux/bpf.h); the least version is that of the kernel that brought the thing.
 */
#ifndef PYLIBBPF_KERNEL_BPF_H
#define PYLIBBPF_KERNEL_BPF_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_SOCKMAP = 15,
	BPF_MAP_TYPE_CPUMAP = 16,
	BPF_MAP_TYPE_XSKMAP = 17,
	BPF_MAP_TYPE_SOCKHASH = 18,
	BPF_MAP_TYPE_CGROUP_STORAGE = 19,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
	BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE = 21,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_DEVMAP_HASH = 25,
	BPF_MAP_TYPE_STRUCT_OPS = 26,
	BPF_MAP_TYPE_RINGBUF = 27, /* 5.8 */
	BPF_MAP_TYPE_INODE_STORAGE = 28, /* 5.10 */
	BPF_MAP_TYPE_TASK_STORAGE = 29, /* 5.11 */
	BPF_MAP_TYPE_BLOOM_FILTER = 30, /* 5.16 */
	BPF_MAP_TYPE_USER_RINGBUF = 31, /* 6.1 */
	BPF_MAP_TYPE_CGRP_STORAGE = 32, /* 6.2 */
	BPF_MAP_TYPE_ARENA = 33, /* 6.9 */
	BPF_MAP_TYPE_INSN_ARRAY = 34, /* 6.19 */
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_LOCK = 4,
};

enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_STACK_BUILD_ID = 1 << 5,
	BPF_F_MMAPABLE = 1 << 10, /* 5.5 */
	BPF_F_INNER_MAP = 1 << 12, /* 5.10 */
};

enum {
	BPF_RB_NO_WAKEUP = 1, /* 5.8 */
	BPF_RB_FORCE_WAKEUP = 2,
};

#define BPF_F_CURRENT_CPU 0xffffffffULL

/* The context of a raw tracepoint: its arguments as 64-bit words. */
struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct trace_event_raw_sys_enter {
	long id;
	unsigned long args[6];
};

struct trace_event_raw_sys_exit {
	long id;
	long ret;
};

/* The context of kprobes and uprobes: registers, as the machine has them. The three underscores
 * and what follows are not part of the name (CO-RE). */
struct pt_regs___x86 {
	unsigned long di;
	unsigned long si;
	unsigned long ax;
	unsigned long ip;
};

struct pt_regs___arm64 {
	unsigned long regs[31];
	unsigned long pc;
};

/* The context of a perf_event program, behind the registers. */
struct bpf_perf_event_data {
	__u64 sample_period;
	__u64 addr;
};

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct task_struct {
	int pid;
	int tgid;
	unsigned int flags;
	struct task_struct *real_parent;
	const struct cred *real_cred;
	char comm[16];
	__u64 start_boottime; /* 5.5 */
	__u64 utime;
	__u64 stime;
};

/* What iterators are given (5.8); the object is NULL at the end. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
