/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef PYLIBBPF_BPF_H
#define PYLIBBPF_BPF_H

/*
 * Name the type of the records of a ring or perf buffer inside the map's definition:
 *
 *	struct {
 *		__uint(type, BPF_MAP_TYPE_RINGBUF);
 *		__uint(max_entries, 1 << 20);
 *		pylibbpf_record(struct event);
 *	} events SEC(".maps");
 *
 * The type then stays in the object's BTF, where pylibbpf finds it. It costs nothing at run time,
 * and other loaders do not mind it: libbpf takes map_flags from the number of elements of the
 * array (get_map_field_int() in libbpf.c) and never looks at the element's type. A map that needs
 * flags gives them to pylibbpf_record_flags(), since the field can be there only once.
 */
#define pylibbpf_record_flags(record, flags) __typeof__(record) (*map_flags)[flags]
#define pylibbpf_record(record) pylibbpf_record_flags(record, 0)

/*
 * Add to a counter that several CPUs share. Relaxed, because clang from version 20 on makes
 * __sync_fetch_and_add() an instruction that kernels older than 5.12 do not know.
 */
#define pylibbpf_add(counter, n) ((void)__atomic_fetch_add(&(counter), n, __ATOMIC_RELAXED))

#endif
