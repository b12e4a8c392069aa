/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PYLIBBPF_REGISTERS_BPF_H
#define PYLIBBPF_REGISTERS_BPF_H

/*
 * Arguments and results of probed functions, in objects that fit every machine: which one it is
 * shows in the kernel's BTF when the object is loaded, and the other half of the code is never
 * reached. Include it after kernel.bpf.h and libbpf's bpf_core_read.h.
 */
#define plb_is_x86() bpf_core_field_exists(((struct pt_regs___x86 *)0)->di)
/* Read, not dereferenced: the compiler would make one access of the two, at an offset that the
 * verifier does not take for a context. */
#define plb_register(ctx, x86, arm64)                                      \
	(plb_is_x86() ? BPF_CORE_READ((struct pt_regs___x86 *)(ctx), x86)   \
		      : BPF_CORE_READ((struct pt_regs___arm64 *)(ctx), arm64))

/* The first and second argument of a function, at its entry. */
#define plb_argument1(ctx) plb_register(ctx, di, regs[0])
#define plb_argument2(ctx) plb_register(ctx, si, regs[1])
/* What a function returns, at its return. */
#define plb_result(ctx) plb_register(ctx, ax, regs[0])
/* Where the probe is. */
#define plb_place(ctx) plb_register(ctx, ip, pc)

#endif
