// SPDX-License-Identifier: BSD-2-Clause
// A user's own program: what it needs of the kernel it declares itself.

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_get_current_comm)(void *buffer, u32 size) = (void *)16;
static void *(*bpf_ringbuf_reserve)(void *map, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *record, u64 flags) = (void *)132;

struct event {
	u32 pid;
	char comm[16];
};
const struct event *unused __attribute__((unused));

struct {
	int (*type)[27]; // BPF_MAP_TYPE_RINGBUF
	int (*max_entries)[4096];
} events SEC(".maps");

volatile const u32 process;
u64 opens;
u64 reads;

static int ours(void)
{
	return bpf_get_current_pid_tgid() >> 32 == process;
}

SEC("raw_tp/sys_enter")
int count_opens(u64 *args)
{
	if (ours() && args[1] == 257) // openat, on x86-64
		__sync_fetch_and_add(&opens, 1);
	return 0;
}

SEC("kprobe/do_sys_openat2")
int tell_opens(void *context)
{
	struct event *event;

	if (!ours())
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	event->pid = process;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("fentry/vfs_read")
int count_reads(u64 *args)
{
	if (ours())
		__sync_fetch_and_add(&reads, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
