// SPDX-License-Identifier: BSD-2-Clause
/* C's side of the benchmark: c_peer load|data OBJECT, one JSON line. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define FILLS 200
#define KEYS 100000

struct event {
	uint64_t sequence, time_ns;
	uint32_t pid, parent;
	char comm[16];
	uint64_t rest[3];
};

static double now(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void must(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static uint64_t total, count;

static int each(void *context, void *data, size_t size)
{
	const struct event *event = data;

	(void)context;
	(void)size;
	total += event->sequence;
	count += event->pid != 0;
	return 0;
}

static void load(const char *path)
{
	double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;

	must(object && !bpf_object__load(object), "load");
	bpf_object__for_each_program(program, object)
		if (bpf_program__autoload(program))
			must(bpf_program__attach(program) != NULL, "attach");
	printf("{\"load wall\": %f, \"load CPU\": %f}\n", (now(CLOCK_MONOTONIC) - wall) / 1e6,
	       (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e6);
}

static void data(const char *path)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *produce;
	double begin, update, lookup, items, ring;
	uint32_t key, next;
	uint64_t value = 7, context = 0;
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &context, .ctx_size_in = sizeof(context));
	struct ring_buffer *reader;
	int fd, i, consumed;

	must(object != NULL, "open");
	produce = bpf_object__find_program_by_name(object, "produce");
	bpf_program__set_autoload(produce, true);
	must(!bpf_object__load(object), "load");
	fd = bpf_object__find_map_fd_by_name(object, "counts");

	begin = now(CLOCK_THREAD_CPUTIME_ID);
	for (i = 0; i < KEYS; i++) {
		key = (uint32_t)i * 2654435761u;
		must(!bpf_map_update_elem(fd, &key, &value, BPF_ANY), "update");
	}
	update = (now(CLOCK_THREAD_CPUTIME_ID) - begin) / KEYS;

	begin = now(CLOCK_THREAD_CPUTIME_ID);
	for (i = 0; i < KEYS; i++) {
		key = (uint32_t)i * 2654435761u;
		must(!bpf_map_lookup_elem(fd, &key, &value), "lookup");
		total += value;
	}
	lookup = (now(CLOCK_THREAD_CPUTIME_ID) - begin) / KEYS;
	must(total == 7ull * KEYS, "sum");

	total = 0;
	begin = now(CLOCK_THREAD_CPUTIME_ID);
	for (i = 0; !bpf_map_get_next_key(fd, i ? &key : NULL, &next); i++) {
		key = next;
		must(!bpf_map_lookup_elem(fd, &key, &value), "lookup");
		total += value;
	}
	items = (now(CLOCK_THREAD_CPUTIME_ID) - begin) / KEYS;
	must(total == 7ull * KEYS, "sum of items");

	total = 0;
	reader = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "events"), each, NULL,
				  NULL);
	must(reader != NULL, "ring");
	for (i = 0; i < FILLS; i++)
		must(!bpf_prog_test_run_opts(bpf_program__fd(produce), &run), "test run");
	begin = now(CLOCK_THREAD_CPUTIME_ID);
	consumed = ring_buffer__consume(reader);
	ring = (now(CLOCK_THREAD_CPUTIME_ID) - begin) / (FILLS * 1024);
	must(consumed == FILLS * 1024 && count == FILLS * 1024, "consume");

	printf("{\"update\": %f, \"m[k]\": %f, \"items\": %f, \"ring\": %f}\n", update, lookup,
	       items, ring);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "load"))
		load(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "data"))
		data(argv[2]);
	else
		return 2;
	return 0;
}
