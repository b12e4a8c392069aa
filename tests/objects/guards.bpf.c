// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Ways to do without what a kernel may not have. Each program reads a field that no kernel has, and
 * none but those named unguarded* comes to it; the others can be loaded.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define FUTURE (100 << 16) /* a version that is long to come */

struct task_struct___guards {
	int pylibbpf_gone;
} __attribute__((preserve_access_index));

enum pylibbpf_values {
	PYLIBBPF_NO_SUCH_VALUE = 1,
};

extern int LINUX_KERNEL_VERSION __kconfig;
extern void bpf_pylibbpf_gone(void) __ksym __weak;

const volatile bool wanted = false;
int gone;

static __always_inline int read_it(void)
{
	struct task_struct___guards *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, pylibbpf_gone);
}

static __attribute__((noinline)) int told(bool there)
{
	return there ? read_it() : 0;
}

__attribute__((noinline)) int told_globally(bool there)
{
	return there ? read_it() : 0;
}

SEC("raw_tp")
int by_field(void *ctx)
{
	struct task_struct___guards *task = NULL;

	if (bpf_core_field_exists(task->pylibbpf_gone))
		gone = read_it();
	return 0;
}

SEC("raw_tp")
int by_type(void *ctx)
{
	if (bpf_core_type_exists(struct pylibbpf_no_such_struct))
		gone = read_it();
	return 0;
}

SEC("raw_tp")
int by_value(void *ctx)
{
	if (bpf_core_enum_value_exists(enum pylibbpf_values, PYLIBBPF_NO_SUCH_VALUE))
		gone = read_it();
	return 0;
}

SEC("raw_tp")
int by_version(void *ctx)
{
	if (LINUX_KERNEL_VERSION >= FUTURE)
		gone = read_it();
	return 0;
}

SEC("raw_tp")
int by_symbol(void *ctx)
{
	if (bpf_pylibbpf_gone)
		gone = read_it();
	return 0;
}

SEC("raw_tp")
int by_constant(void *ctx)
{
	if (wanted)
		gone = read_it();
	return 0;
}

SEC("raw_tp")
int by_argument(void *ctx)
{
	struct task_struct___guards *task = NULL;

	gone = told(bpf_core_field_exists(task->pylibbpf_gone));
	return 0;
}

SEC("?raw_tp")
int unguarded(void *ctx)
{
	gone = read_it();
	return 0;
}

/* A global function is verified for any argument. */
SEC("?raw_tp")
int unguarded_globally(void *ctx)
{
	struct task_struct___guards *task = NULL;

	gone = told_globally(bpf_core_field_exists(task->pylibbpf_gone));
	return 0;
}

/* The kernel knows it, the compiler does not: both ways are verified. */
SEC("?raw_tp")
int unguarded_by_chance(void *ctx)
{
	if (bpf_get_prandom_u32() & 1)
		gone = read_it();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
