// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A hidden function that writes to its caller's stack: libbpf makes it static at load, which is how
 * the verifier takes it. The kernel function that nobody has makes libbpf change the BTF earlier.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

const volatile __u32 wanted = 0;

__u64 found;

extern int bpf_pylibbpf_no_such_kfunc(void) __ksym __weak;

__weak __hidden int look(void *ctx, __u64 *result)
{
	*result = bpf_pylibbpf_no_such_kfunc ? bpf_pylibbpf_no_such_kfunc() : wanted;
	return 0;
}

SEC("raw_tp")
int run(void *ctx)
{
	__u64 result = 0;

	look(ctx, &result);
	found = result;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
