// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A global of every type in every kind of section, and a program that reads and writes them. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

enum color {
	RED = 1,
	GREEN = 2,
	BLUE = -3,
};

enum big {
	SMALL_ONE = 1,
	BIG_ONE = 0x123456789abcdef0ULL,
};

struct point {
	__s32 x;
	__s32 y;
};

struct shape {
	__u32 id;
	struct point at;
	struct point corners[2];
	enum color color;
	union {
		__u32 word;
		__u8 bytes[4];
	};
	struct {
		__u8 low : 3;
		__s8 high : 5;
		__u16 wide : 11;
	};
};

typedef __u64 counter_t;
typedef struct {
	__u16 class;
	__u16 from;
} keywords;

/* .rodata: fixed once loaded */
const volatile __u32 limit = 10;
const volatile __s64 offset = -7;
const volatile bool enabled = true;
const volatile enum color color = GREEN;
const volatile char prefix[16] = "pre";
const volatile struct point origin = { 3, -4 };
const volatile __u16 ports[3] = { 22, 80, 443 };

/* .data */
__u8 d_u8 = 200;
__s8 d_s8 = -100;
__u16 d_u16 = 60000;
__s16 d_s16 = -30000;
__u32 d_u32 = 4000000000U;
__s32 d_s32 = -2000000000;
__u64 d_u64 = 0xfedcba9876543210ULL;
__s64 d_s64 = -0x7000000000000000LL;
unsigned __int128 d_u128 = ((unsigned __int128)1 << 100) + 1;
__int128 d_s128 = -5;
double d_double = 1.5;
float d_float = -0.25f;
bool d_bool = true;
char d_char = 'x';
enum big d_big = BIG_ONE;
counter_t d_counter = 42;
keywords d_keywords = { 5, 6 };
char d_text[8] = "data";
__u8 d_bytes[4] = { 1, 2, 3, 4 };
__u32 d_grid[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };
char d_names[2][4] = { "ab", "cd" };
struct shape d_shape = {
	.id = 9,
	.at = { 1, 2 },
	.corners = { { 3, 4 }, { 5, 6 } },
	.color = BLUE,
	.word = 0x04030201,
	.low = 5,
	.high = -2,
	.wide = 1025,
};
static volatile __u32 d_hidden = 77;

/* .bss */
__u64 runs;
__u64 result;
struct point moved;
char said[16];
struct shape blank;

/* Sections of their own (libbpf 0.6 and later) */
__u32 custom SEC(".data.custom") = 5;
const volatile __u32 custom_limit SEC(".rodata.custom") = 6;

/* The kernel's, given by libbpf */
extern int LINUX_KERNEL_VERSION __kconfig;

int kernel_version;

/* result = limit + offset + custom + custom_limit; moved = origin + d_shape.at; said = prefix. */
SEC("raw_tp")
int run(void *ctx)
{
	int i;

	kernel_version = LINUX_KERNEL_VERSION;
	runs++;
	d_hidden++;
	if (!enabled)
		return 0;
	result = limit + offset + custom + custom_limit;
	moved.x = origin.x + d_shape.at.x;
	moved.y = origin.y + d_shape.at.y;
	for (i = 0; i < (int)sizeof(said); i++)
		said[i] = prefix[i];
	custom++;
	d_u64++;
	return color + ports[2];
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
