/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The few numbers that libbpf's usdt.bpf.h takes from the kernel's header of this name. */
#ifndef PYLIBBPF_LINUX_ERRNO_H
#define PYLIBBPF_LINUX_ERRNO_H

#define ENOENT 2
#define ESRCH 3
#define EINVAL 22

#endif
