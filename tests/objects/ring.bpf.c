// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Ring buffers, filled by test_run: args[0] records (at most 1024), the rest as each program says.
 * The record types are found by different rules: the macro, the size, and not at all.
 */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

#define MOST 1024
#define LONGEST 512

struct event {
	__u64 number;
	__u32 pid;
	char comm[16];
	__u8 tag[4];
};

struct sample {
	__u64 number;
	__s64 square;
};

struct twin_a {
	__u64 a;
	__u64 b;
	__u64 c;
};

struct twin_b {
	__u32 words[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
	pylibbpf_record(struct event);
} events SEC(".maps");

/* One struct of the object's BTF has the size of its records: struct sample. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} samples SEC(".maps");

/* Two structs have the size of its records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} twins SEC(".maps");

/* Records of any size. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} blobs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[LONGEST]);
} scratch SEC(".maps");

__u64 next; /* number of the next record */
__u64 dropped; /* records that found no room */

/* Clang emits BTF only for types that something visible uses. */
const struct sample *unused_sample __attribute__((unused));
const struct twin_a *unused_twin_a __attribute__((unused));
const struct twin_b *unused_twin_b __attribute__((unused));

/* args[1]: flags of the submit (1: no wake-up, 2: force it). */
SEC("raw_tp")
int produce(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 flags = ctx->args[1] & (BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP);
	__u32 count = ctx->args[0], i;
	struct event *event;

	for (i = 0; i < MOST && i < count; i++) {
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
		if (!event) {
			dropped++;
			continue;
		}
		event->number = next++;
		event->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(event->comm, sizeof(event->comm));
		event->tag[0] = 0xde;
		event->tag[1] = 0xad;
		event->tag[2] = 0;
		event->tag[3] = i;
		bpf_ringbuf_submit(event, flags);
	}
	return 0;
}

SEC("raw_tp")
int produce_samples(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 count = ctx->args[0], i;
	struct sample sample = {};

	for (i = 0; i < MOST && i < count; i++) {
		sample.number = next++;
		sample.square = -(__s64)(sample.number * sample.number);
		if (bpf_ringbuf_output(&samples, &sample, sizeof(sample), 0))
			dropped++;
	}
	return 0;
}

SEC("raw_tp")
int produce_twins(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 count = ctx->args[0], i;
	struct twin_a twin = { 1, 2, 3 };

	for (i = 0; i < MOST && i < count; i++)
		if (bpf_ringbuf_output(&twins, &twin, sizeof(twin), 0))
			dropped++;
	return 0;
}

/* args[1]: size of each record, at most 511; byte i of the scratch area is i. */
SEC("raw_tp")
int produce_blobs(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 size = ctx->args[1] & (LONGEST - 1);
	__u32 count = ctx->args[0], key = 0, i;
	__u8 *blob = bpf_map_lookup_elem(&scratch, &key);

	if (!blob)
		return 0;
	for (i = 0; i < MOST && i < count; i++) {
		__u32 place = i & (LONGEST - 1);

		blob[place] = i;
		if (bpf_ringbuf_output(&blobs, blob, size, 0))
			dropped++;
	}
	return 0;
}

/* Reserves and gives back: the reader must see nothing. */
SEC("raw_tp")
int discard(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 count = ctx->args[0], i;
	struct event *event;

	for (i = 0; i < MOST && i < count; i++) {
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
		if (event)
			bpf_ringbuf_discard(event, 0);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
