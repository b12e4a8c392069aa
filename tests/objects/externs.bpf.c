// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Everything that can be asked of the kernel by name: configuration values of all types, symbols
 * with and without a type, functions; what must be there, what may be missing, and what is.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;
extern char LINUX_HAS_SYSCALL_WRAPPER __kconfig __weak;
extern unsigned long LINUX_HAS_NO_SUCH_THING __kconfig __weak;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_BPF __kconfig;
extern char CONFIG_NET __kconfig __weak;
extern unsigned long CONFIG_HZ __kconfig __weak;
extern short CONFIG_NR_CPUS __kconfig __weak;
extern signed char CONFIG_PYLIBBPF_MISSING_BYTE __kconfig __weak;
extern unsigned CONFIG_PYLIBBPF_MISSING_WORD __kconfig __weak;
extern const char CONFIG_DEFAULT_HOSTNAME[5] __kconfig __weak;

extern const void init_task __ksym __weak;
extern const void pylibbpf_no_such_symbol __ksym __weak;
extern const int bpf_prog_active __ksym __weak; /* a per-CPU variable, which BTF lists */
extern const int pylibbpf_no_such_variable __ksym __weak;

struct task_struct;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;
extern struct task_struct *bpf_task_from_pid___flavour(__s32 pid) __ksym __weak;
extern int bpf_task_release___other(int number, long other) __ksym __weak;
extern void bpf_pylibbpf_no_such_function(int number) __ksym __weak;

volatile __u64 found[24];

SEC("raw_tp/configuration")
int configuration(void *ctx)
{
	found[0] = LINUX_KERNEL_VERSION;
	found[1] = LINUX_HAS_BPF_COOKIE;
	found[2] = LINUX_HAS_SYSCALL_WRAPPER;
	found[3] = LINUX_HAS_NO_SUCH_THING;
	found[4] = CONFIG_BPF_SYSCALL;
	found[5] = CONFIG_BPF;
	found[6] = CONFIG_NET;
	found[7] = CONFIG_HZ;
	found[8] = CONFIG_NR_CPUS;
	found[9] = CONFIG_PYLIBBPF_MISSING_BYTE;
	found[10] = CONFIG_PYLIBBPF_MISSING_WORD;
	found[11] = CONFIG_DEFAULT_HOSTNAME[2];
	return 0;
}

SEC("raw_tp/symbols")
int symbols(void *ctx)
{
	const int *active;

	found[12] = (__u64)&init_task;
	found[13] = (__u64)&pylibbpf_no_such_symbol;
	active = bpf_this_cpu_ptr(&bpf_prog_active);
	found[14] = active ? *active : 0;
	found[15] = (__u64)&pylibbpf_no_such_variable;
	return 0;
}

SEC("tp_btf/task_newtask")
int functions(__u64 *ctx)
{
	struct task_struct *task;

	task = bpf_task_from_pid(1);
	if (task)
		bpf_task_release(task);
	if (bpf_task_from_pid___flavour) {
		task = bpf_task_from_pid___flavour(2);
		if (task)
			bpf_task_release(task);
	}
	if (bpf_task_release___other)
		found[16] = bpf_task_release___other(1, 2);
	if (bpf_pylibbpf_no_such_function)
		bpf_pylibbpf_no_such_function(3);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
