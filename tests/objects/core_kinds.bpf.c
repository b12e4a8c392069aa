// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * CO-RE relocations of every kind. They are meant for the types of core_kernel.bpf.o, and no kernel
 * loads these programs.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define CORE __attribute__((preserve_access_index))

struct item {
	__u16 id;
	char name[4];
} CORE;

struct moved {
	int first;
	__u16 second;
	int third;
	struct item items[8];
	int grid[3][4];
	struct moved *next;
	void *pointer;
} CORE;

struct moved___other {
	int third;
	int not_there;
	struct item *pointer;
	int items;
} CORE;

struct bits {
	__u32 low : 3;
	__s32 middle : 9;
	__u64 high : 33;
	__u32 whole;
} CORE;

struct resized {
	__u32 grown;
	__u64 shrunk;
	int with_sign;
	__u64 no_sign;
	unsigned int changed_sign;
} CORE;

struct tail {
	int count;
	struct item items[];
} CORE;

struct twin {
	int same;
	int here;
	int there;
} CORE;

struct not_there {
	int member;
} CORE;

enum colour {
	COLOUR_NONE,
	COLOUR_RED,
	COLOUR_GREEN,
};

enum colour___new {
	COLOUR_BLUE___new = 50,
};

enum wide {
	WIDE_SMALL = 1,
	WIDE_LARGE = 0x1111111111ULL,
	WIDE_NOT_THERE = 0x2222222222ULL,
};

enum narrow {
	NARROW_GROWN = 5,
};

enum not_there_either {
	NOT_THERE_EITHER,
};

typedef int (*callback)(struct item *item, long number);
typedef int (*callback___one)(struct item *item);
typedef struct {
	int member;
} nameless;

struct moved___matches {
	int first;
	struct item *next_item;
};

struct moved___fits {
	int first;
	struct moved *next;
};

__u64 out[16];

SEC("raw_tp")
int offsets(struct moved *it)
{
	struct moved___other *other = (void *)it;

	out[0] = it->first;
	out[1] = it->second;
	out[2] = it->items[2].id;
	out[3] = it->items[3].name[2];
	out[4] = it->grid[1][3];
	out[5] = (__u64)it->next->next->pointer;
	out[6] = other->third;
	it->third = 7;
	it->next = it->next->next;
	out[7] = __builtin_preserve_field_info(it->items[3].name, BPF_FIELD_BYTE_OFFSET);
	return 0;
}

SEC("raw_tp")
int missing(struct moved *it)
{
	struct moved___other *other = (void *)it;

	out[0] = bpf_core_field_exists(other->not_there);
	out[1] = bpf_core_field_exists(it->items[6]);
	out[2] = bpf_core_field_exists(other->items);
	if (out[0])
		out[3] = other->not_there;
	if (out[1])
		out[4] = it->items[6].id;
	if (out[2])
		out[5] = other->items;
	out[6] = it->grid[2][1];
	return 0;
}

SEC("raw_tp")
int fields(struct moved *it)
{
	out[0] = bpf_core_field_size(it->first);
	out[1] = bpf_core_field_size(it->items);
	out[2] = bpf_core_field_size(it->items[1].name);
	out[3] = bpf_core_field_size(it->grid[1]);
	out[4] = bpf_core_field_exists(it->second);
	out[5] = bpf_core_field_offset(it->pointer);
	out[6] = __builtin_preserve_field_info(it->third, BPF_FIELD_SIGNED);
	out[7] = __builtin_preserve_field_info(it->second, BPF_FIELD_SIGNED);
	out[8] = __builtin_preserve_field_info(it->second, BPF_FIELD_LSHIFT_U64);
	out[9] = __builtin_preserve_field_info(it->second, BPF_FIELD_RSHIFT_U64);
	return 0;
}

SEC("raw_tp")
int bitfields(struct bits *it)
{
	out[0] = BPF_CORE_READ_BITFIELD(it, low);
	out[1] = BPF_CORE_READ_BITFIELD(it, middle);
	out[2] = BPF_CORE_READ_BITFIELD(it, high);
	out[3] = BPF_CORE_READ_BITFIELD(it, whole);
	out[4] = BPF_CORE_READ_BITFIELD_PROBED(it, middle);
	return 0;
}

SEC("raw_tp")
int sizes(struct resized *it)
{
	out[0] = it->grown;
	out[1] = it->shrunk;
	out[2] = it->no_sign;
	out[3] = it->with_sign;
	out[4] = it->changed_sign;
	it->grown = 1;
	return 0;
}

SEC("raw_tp")
int flexible(struct tail *it)
{
	out[0] = it->count;
	out[1] = it->items[5].id;
	out[2] = bpf_core_field_exists(it->items[100]);
	return 0;
}

SEC("raw_tp")
int twins(struct twin *it)
{
	out[0] = it->same;
	out[1] = bpf_core_type_exists(struct twin);
	out[2] = it->there;
	out[3] = it->same;
	out[4] = bpf_core_type_size(struct twin);
	out[5] = bpf_core_field_exists(it->here);
	return 0;
}

SEC("raw_tp")
int types(void *ctx)
{
	out[0] = bpf_core_type_exists(struct item);
	out[1] = bpf_core_type_exists(struct not_there);
	out[2] = bpf_core_type_size(struct moved);
	out[3] = bpf_core_type_size(struct not_there);
	out[4] = bpf_core_type_id_local(struct item);
	out[5] = bpf_core_type_id_kernel(struct item);
	out[6] = bpf_core_type_id_kernel(struct not_there);
	out[7] = bpf_core_type_exists(callback);
	out[8] = bpf_core_type_exists(callback___one);
	out[9] = bpf_core_type_exists(nameless);
	return 0;
}

SEC("raw_tp")
int matching(void *ctx)
{
	out[0] = bpf_core_type_matches(struct moved___fits);
	out[1] = bpf_core_type_matches(struct moved___matches);
	out[2] = bpf_core_type_matches(struct item);
	out[3] = bpf_core_type_matches(callback);
	out[4] = bpf_core_type_matches(enum colour);
	out[5] = bpf_core_type_matches(enum colour___new);
	out[6] = bpf_core_type_matches(nameless);
	return 0;
}

SEC("raw_tp")
int enums(void *ctx)
{
	out[0] = bpf_core_enum_value(enum colour, COLOUR_RED);
	out[1] = bpf_core_enum_value_exists(enum colour, COLOUR_GREEN);
	out[2] = bpf_core_enum_value(enum colour___new, COLOUR_BLUE___new);
	out[3] = bpf_core_enum_value(enum wide, WIDE_SMALL);
	out[4] = bpf_core_enum_value(enum wide, WIDE_LARGE);
	out[5] = bpf_core_enum_value_exists(enum wide, WIDE_NOT_THERE);
	if (out[5])
		out[6] = bpf_core_enum_value(enum wide, WIDE_NOT_THERE);
	out[7] = bpf_core_enum_value(enum narrow, NARROW_GROWN);
	out[8] = bpf_core_enum_value_exists(enum not_there_either, NOT_THERE_EITHER);
	return 0;
}

