// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What libbpf takes from the kernel's configuration: needs /proc/config.gz or /boot/config-*. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_PYLIBBPF_NO_SUCH __kconfig __weak;
extern unsigned long CONFIG_HZ __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;

int version;
bool has_bpf;
enum libbpf_tristate missing;
unsigned long hz;
char hostname[16];

SEC("raw_tp")
int run(void *ctx)
{
	int i;

	version = LINUX_KERNEL_VERSION;
	has_bpf = CONFIG_BPF_SYSCALL;
	missing = CONFIG_PYLIBBPF_NO_SUCH;
	hz = CONFIG_HZ;
	for (i = 0; i < (int)sizeof(hostname); i++)
		hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
