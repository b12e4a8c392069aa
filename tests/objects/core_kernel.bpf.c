// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The types of a kernel that never was: only its BTF is used, as what core_kinds.bpf.o is relocated
 * against. What core_kinds knows is here too, but elsewhere, in another size, or by another name.
 */
#include "kernel.bpf.h"

struct item {
	__u64 added;
	__u16 id;
	__u8 name[8];
};

struct moved {
	__u64 added;
	int third;
	struct {
		__u8 pad[6];
		union {
			__u16 other;
			__u16 second;
		};
	};
	struct item items[4];
	int grid[2][5];
	int first;
	void *pointer;
	struct moved *next;
};

struct bits {
	__u32 added : 5;
	__u32 low : 3;
	__s32 middle : 9;
	__u64 high : 33;
	__u32 whole;
};

struct resized {
	__u64 grown;
	__u8 shrunk;
	long long with_sign;
	unsigned int no_sign;
	int changed_sign;
};

struct tail {
	int added;
	int count;
	struct item items[];
};

enum colour {
	COLOUR_NONE,
	COLOUR_BLUE,
	COLOUR_RED = -7,
};

enum wide {
	WIDE_SMALL = 3,
	WIDE_LARGE = 0x1234567890ULL,
};

enum narrow {
	NARROW_GROWN = 0x7654321000ULL,
};

/* Two of one name, as a kernel has them where its own files do not agree. */
struct twin___here {
	int same;
	int here;
};

struct twin___there {
	int same;
	int added;
	int there;
};

typedef int (*callback)(struct item *item, long number);
typedef struct {
	int member;
} nameless;

/* clang leaves out what nothing uses. */
struct moved moved;
struct bits bits;
struct resized resized;
struct tail tail;
enum colour colour;
enum wide wide;
enum narrow narrow;
struct twin___here here;
struct twin___there there;
callback call;
nameless some;
