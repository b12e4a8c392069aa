// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The ways in which a record comes to a ring or perf buffer. The objects of this source keep their
 * DWARF (4 and 5), which is what they are for, so tools/objects.py does not make them:
 *
 *	python -m ziglang cc -target bpfel-freestanding -O2 -g -gdwarf-5 -mcpu=v3 \
 *		-fno-unwind-tables -fno-asynchronous-unwind-tables -ffile-prefix-map=$PWD=. \
 *		-ffile-prefix-map=LIBBPF-DEV=libbpf-dev -Iexamples/include \
 *		-isystem LIBBPF-DEV/usr/include \
 *		-c tests/unit/loader/records.bpf.c -o tests/unit/loader/records5.bpf.o
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>

enum state { IDLE, BUSY = 7, BROKEN = -1 };

struct on_stack {
	__u64 when;
	char comm[16];
};

struct nested {
	__s16 x;
	struct {
		__u8 low : 3;
		__u8 high : 5;
		enum state state;
	};
	union {
		__u32 word;
		__u8 bytes[4];
	};
	__u32 grid[2][3];
	const char *text;
	struct task_struct *task;
	int (*call)(struct on_stack *, ...);
	bool yes;
};

typedef struct {
	__u32 a;
	__u32 b;
} pair_t;

struct open_ended {
	__u32 length;
	__u32 kind;
	__u64 stamp;
	char text[];
};

#define RING(name)                                                                                 \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                \
		__uint(max_entries, 4096);                                                         \
	} name SEC(".maps")

RING(reserved);
RING(wrapped);
RING(typedefed);
RING(agreeing);
RING(disagreeing);
RING(passed);
RING(longer);
RING(scalar);
RING(chosen_a);
RING(chosen_b);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(int));
	__uint(value_size, sizeof(int));
} stacked SEC(".maps");

static __always_inline void *reserve(void *ring, __u64 size)
{
	return bpf_ringbuf_reserve(ring, size, 0);
}

static __always_inline void submit(void *record)
{
	bpf_ringbuf_submit(record, 0);
}

SEC("raw_tp/sys_enter")
int on_stack(void *ctx)
{
	struct on_stack event = {};

	event.when = bpf_ktime_get_ns();
	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_perf_event_output(ctx, &stacked, BPF_F_CURRENT_CPU, &event, sizeof(event));
	return 0;
}

SEC("raw_tp/sys_enter")
int by_reserve(void *ctx)
{
	struct nested *event = bpf_ringbuf_reserve(&reserved, sizeof(*event), 0);

	if (!event)
		return 0;
	__builtin_memset(event, 0, sizeof(*event));
	event->state = bpf_get_smp_processor_id() ? BUSY : IDLE;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("raw_tp/sys_enter")
int by_wrapper(void *ctx)
{
	struct on_stack *event = reserve(&wrapped, sizeof(*event));

	if (!event)
		return 0;
	event->when = bpf_ktime_get_ns();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	submit(event);
	return 0;
}

SEC("raw_tp/sys_enter")
int by_typedef(void *ctx)
{
	pair_t *pair = bpf_ringbuf_reserve(&typedefed, sizeof(*pair), 0);

	if (!pair)
		return 0;
	pair->a = bpf_get_smp_processor_id();
	pair->b = bpf_get_prandom_u32();
	bpf_ringbuf_submit(pair, 0);
	return 0;
}

static __noinline int send(struct on_stack *record)
{
	if (!record)
		return 0;
	return bpf_ringbuf_output(&agreeing, record, sizeof(*record), 0);
}

SEC("raw_tp/sys_enter")
int agree(void *ctx)
{
	struct on_stack first = {}, second = {};

	first.when = bpf_ktime_get_ns();
	bpf_get_current_comm(first.comm, sizeof(first.comm));
	bpf_ringbuf_output(&agreeing, &first, sizeof(first), 0);
	bpf_get_current_comm(second.comm, sizeof(second.comm));
	return send(&second);
}

SEC("raw_tp/sys_enter")
int disagree(void *ctx)
{
	struct on_stack event = {};
	pair_t pair;

	bpf_get_current_comm(event.comm, sizeof(event.comm));
	bpf_ringbuf_output(&disagreeing, &event, sizeof(event), 0);
	pair.a = bpf_get_prandom_u32();
	pair.b = bpf_get_smp_processor_id();
	bpf_ringbuf_output(&disagreeing, &pair, sizeof(pair), 0);
	return 0;
}

static __noinline int forward(const struct nested *record)
{
	if (!record)
		return 0;
	return bpf_ringbuf_output(&passed, (void *)record, sizeof(*record), 0);
}

SEC("raw_tp/sys_enter")
int by_argument(void *ctx)
{
	struct nested event;

	__builtin_memset(&event, 0, sizeof(event));
	event.word = bpf_get_prandom_u32();
	return forward(&event);
}

SEC("raw_tp/sys_enter")
int with_tail(void *ctx)
{
	struct open_ended *event = bpf_ringbuf_reserve(&longer, sizeof(*event) + 64, 0);

	if (!event)
		return 0;
	event->length = 64;
	event->kind = 1;
	event->stamp = bpf_ktime_get_ns();
	bpf_get_current_comm(event->text, 16);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("raw_tp/sys_enter")
int number(void *ctx)
{
	__u64 now = bpf_ktime_get_ns();

	return bpf_ringbuf_output(&scalar, &now, sizeof(now), 0);
}

/* Which of the two gets the record is not known before it runs. */
SEC("raw_tp/sys_exit")
int undecided(void *ctx)
{
	void *ring = bpf_get_smp_processor_id() & 1 ? (void *)&chosen_a : (void *)&chosen_b;
	__u64 now = bpf_ktime_get_ns();

	return bpf_ringbuf_output(ring, &now, sizeof(now), 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
