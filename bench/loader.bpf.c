// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Some 5,700 instructions with 534 CO-RE relocations against fifteen types, for
 * loader_speed.py: what a large tracing tool has. It can be loaded, and reads fields of tasks.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head___l {
	struct list_head___l *next, *prev;
};

struct qstr___l {
	__u32 hash, len;
};

struct super_block___l {
	unsigned long s_magic, s_flags;
	__u32 s_dev;
};

struct inode___l {
	unsigned long i_ino;
	unsigned short i_mode;
	__u32 i_flags;
	long i_size;
	struct super_block___l *i_sb;
};

struct dentry___l {
	struct dentry___l *d_parent;
	struct inode___l *d_inode;
	struct qstr___l d_name;
	unsigned int d_flags;
};

struct path___l {
	struct dentry___l *dentry;
};

struct file___l {
	struct path___l f_path;
	struct inode___l *f_inode;
	unsigned int f_flags;
	long f_pos;
};

struct fdtable___l {
	unsigned int max_fds;
	struct file___l **fd;
};

struct files_struct___l {
	struct fdtable___l *fdt;
	unsigned int next_fd;
};

struct fs_struct___l {
	int users;
	int umask;
	struct path___l root, pwd;
};

struct mm_struct___l {
	unsigned long mmap_base, task_size, total_vm, locked_vm, start_code, end_code, start_stack;
	int map_count;
	struct file___l *exe_file;
};

struct ns_common___l {
	unsigned int inum;
};

struct uts_namespace___l {
	struct ns_common___l ns;
};

struct mnt_namespace___l {
	struct ns_common___l ns;
};

struct pid_namespace___l {
	struct ns_common___l ns;
	unsigned int level;
};

struct nsproxy___l {
	struct uts_namespace___l *uts_ns;
	struct mnt_namespace___l *mnt_ns;
	struct pid_namespace___l *pid_ns_for_children;
};

struct cred___l {
	struct {
		__u32 val;
	} uid, gid, euid, egid, fsuid;
	unsigned int securebits;
};

struct signal_struct___l {
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt, inblock, oublock;
};

struct sched_entity___l {
	__u64 exec_start, sum_exec_runtime, vruntime, nr_migrations;
};

struct task_struct___l {
	unsigned int flags;
	int prio, static_prio, normal_prio;
	int exit_state, exit_code, exit_signal;
	int pid, tgid;
	__u64 utime, stime, start_time;
	unsigned long nvcsw, nivcsw, min_flt, maj_flt;
	struct sched_entity___l se;
	struct task_struct___l *real_parent, *parent, *group_leader;
	struct mm_struct___l *mm, *active_mm;
	struct fs_struct___l *fs;
	struct files_struct___l *files;
	struct nsproxy___l *nsproxy;
	struct signal_struct___l *signal;
	struct cred___l *cred, *real_cred;
	unsigned int in_execve : 1;
	char comm[16];
};

#pragma clang attribute pop

__u64 sum;

/*
 * Functions, because clang keeps what CO-RE is to fill in in registers and on the stack, where a
 * program asks much; and one place on the stack for all that a function reads.
 */
#define PART(name, type, body) \
	static __attribute__((noinline)) __u64 name(struct type##___l *from) \
	{ \
		__u64 total = 0, value __attribute__((unused)); \
		void *pointer __attribute__((unused)) = NULL; \
\
		body return total; \
	}

#define ADD(field) \
	value = 0; \
	bpf_core_read(&value, sizeof(from->field), &from->field); \
	total += value;

#define INTO(part, field) \
	bpf_core_read(&pointer, sizeof(pointer), &from->field); \
	total += part(pointer);

#define PROGRAM(n) \
	PART(sb_##n, super_block, ADD(s_dev) ADD(s_magic) ADD(s_flags)) \
	PART(inode_##n, inode, ADD(i_ino) ADD(i_mode) ADD(i_flags) ADD(i_size) INTO(sb_##n, i_sb)) \
	PART(dentry_##n, dentry, \
	     ADD(d_name.len) ADD(d_name.hash) ADD(d_flags) INTO(inode_##n, d_inode)) \
	PART(file_##n, file, ADD(f_flags) ADD(f_pos) INTO(inode_##n, f_inode) \
	     INTO(dentry_##n, f_path.dentry)) \
	PART(mm_##n, mm_struct, ADD(mmap_base) ADD(task_size) ADD(total_vm) ADD(locked_vm) \
	     ADD(start_code) ADD(end_code) ADD(start_stack) ADD(map_count) \
	     INTO(file_##n, exe_file)) \
	PART(fs_##n, fs_struct, ADD(users) ADD(umask) INTO(dentry_##n, root.dentry) \
	     INTO(dentry_##n, pwd.dentry)) \
	PART(uts_##n, uts_namespace, ADD(ns.inum)) \
	PART(mounts_##n, mnt_namespace, ADD(ns.inum)) \
	PART(pids_##n, pid_namespace, ADD(ns.inum) ADD(level)) \
	PART(spaces_##n, nsproxy, INTO(uts_##n, uts_ns) INTO(mounts_##n, mnt_ns) \
	     INTO(pids_##n, pid_ns_for_children)) \
	PART(signal_##n, signal_struct, ADD(nr_threads) ADD(group_exit_code) ADD(flags) \
	     ADD(nvcsw) ADD(nivcsw) ADD(min_flt) ADD(maj_flt) ADD(inblock) ADD(oublock)) \
	PART(cred_##n, cred, ADD(uid.val) ADD(gid.val) ADD(euid.val) ADD(egid.val) \
	     ADD(fsuid.val) ADD(securebits)) \
	PART(table_##n, fdtable, ADD(max_fds)) \
	PART(files_##n, files_struct, ADD(next_fd) INTO(table_##n, fdt)) \
	PART(state_##n, task_struct, ADD(flags) ADD(prio) ADD(static_prio) ADD(normal_prio) \
	     ADD(exit_state) ADD(exit_code) ADD(exit_signal) ADD(pid) ADD(tgid)) \
	PART(times_##n, task_struct, ADD(utime) ADD(stime) ADD(start_time) ADD(nvcsw) \
	     ADD(nivcsw) ADD(min_flt) ADD(maj_flt) ADD(se.exec_start) \
	     ADD(se.sum_exec_runtime) ADD(se.vruntime) ADD(se.nr_migrations)) \
	PART(task_##n, task_struct, \
	     total += state_##n(from) + times_##n(from); \
	     total += BPF_CORE_READ_BITFIELD_PROBED(from, in_execve); \
	     total += bpf_core_field_size(from->comm); \
	     if (bpf_core_field_exists(from->start_time)) total++; \
	     INTO(mm_##n, mm) INTO(fs_##n, fs) INTO(spaces_##n, nsproxy) \
	     INTO(signal_##n, signal) INTO(cred_##n, cred) INTO(cred_##n, real_cred) \
	     INTO(files_##n, files)) \
\
	SEC("raw_tp/sys_enter") \
	int program_##n(void *ctx) \
	{ \
		sum += task_##n((void *)bpf_get_current_task()); \
		return 0; \
	}

PROGRAM(1)
PROGRAM(2)
PROGRAM(3)
PROGRAM(4)
PROGRAM(5)
PROGRAM(6)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
