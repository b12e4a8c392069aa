// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* User ring buffers: records from user space, drained by test_run. Kernel 6.1. */
#include "kernel.bpf.h"
#include <bpf/bpf_helpers.h>
#include "pylibbpf.bpf.h"

#define SENDERS 8

struct request {
	__u32 sender;
	__u32 number;
	char text[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 1 << 12);
	pylibbpf_record(struct request);
} requests SEC(".maps");

/* Records of any size, at most 16 bytes of which are looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 1 << 12);
} blobs SEC(".maps");

__u32 next[SENDERS]; /* the number that is to come from each sender */
__u64 wrong; /* records that came out of turn */
__u64 short_ones; /* records that were shorter than they should be */
char last[16];

static long take(struct bpf_dynptr *record, void *context)
{
	struct request request;

	if (bpf_dynptr_read(&request, sizeof(request), record, 0, 0)) {
		short_ones++;
		return 0;
	}
	if (request.sender >= SENDERS)
		return 1; /* ends the drain */
	if (request.number != next[request.sender])
		wrong++;
	next[request.sender] = request.number + 1;
	__builtin_memcpy(last, request.text, sizeof(last));
	return 0;
}

static long look(struct bpf_dynptr *record, void *context)
{
	__builtin_memset(last, 0, sizeof(last));
	if (bpf_dynptr_read(last, sizeof(last), record, 0, 0) &&
	    bpf_dynptr_read(last, 5, record, 0, 0))
		short_ones++;
	return 0;
}

/* Gives how many records were drained, or a negative errno. args[0]: flags (1: wake nobody). */
SEC("raw_tp")
int drain(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_user_ringbuf_drain(&requests, take, NULL, ctx->args[0] & BPF_RB_NO_WAKEUP);
}

SEC("raw_tp")
int drain_blobs(struct bpf_raw_tracepoint_args *ctx)
{
	return bpf_user_ringbuf_drain(&blobs, look, NULL, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
