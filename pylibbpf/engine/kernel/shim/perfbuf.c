/* Perf buffers, drained or overwritten.  Declared, with their rules, in decl/shim/perfbuf.h. */

/* include/uapi/linux/perf_event.h of Linux 6.0; older headers lack it. */
#define PLB_PERF_FORMAT_LOST (1u << 4)
/* include/uapi/linux/membarrier.h */
#define PLB_MEMBARRIER_GLOBAL 1

static int plb_perfbuf_event(const struct plb_perfbuf_options *options, int cpu, int exact)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW,
		.sample_period = 1,
		.read_format = exact ? PLB_PERF_FORMAT_LOST : 0,
		.watermark = options->watermark != 0,
		.wakeup_events = options->wakeup, /* or wakeup_watermark: a union */
	};
	int fd;

	if (options->backward) {
		attr.write_backward = 1;
		attr.sample_type |= PERF_SAMPLE_TIME;
		attr.use_clockid = 1;
		attr.clockid = CLOCK_MONOTONIC; /* the clock of bpf_ktime_get_ns() */
	}
	fd = (int)syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int plb_perfbuf_open_cpu(struct plb_perfbuf *perf, struct plb_perfbuf_cpu *each,
			     const struct plb_perfbuf_options *options)
{
	int protection = options->backward ? PROT_READ : PROT_READ | PROT_WRITE;
	struct epoll_event event = { .events = EPOLLIN };
	void *memory;
	int rc;

	rc = plb_perfbuf_event(options, each->cpu, perf->exact);
	if (rc == -EINVAL && perf->exact) {
		perf->exact = 0;
		rc = plb_perfbuf_event(options, each->cpu, 0);
	}
	if (rc == -ENODEV && options->skip_offline)
		return 0;
	if (rc < 0)
		return rc;
	each->fd = rc;
	/* Without the right to write it, the kernel takes our tail for none, and overwrites. */
	memory = mmap(NULL, perf->page + perf->size, protection, MAP_SHARED, each->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	each->memory = memory;
	if (!options->backward && epoll_ctl(perf->epoll, EPOLL_CTL_ADD, each->fd, &event) < 0)
		return -errno;
	return bpf_map_update_elem(perf->map_fd, &each->cpu, &each->fd, 0);
}

int plb_perfbuf_open(struct plb_perfbuf *perf, int map_fd, const struct plb_perfbuf_options *options)
{
	int i, rc = 0;

	perf->page = (size_t)sysconf(_SC_PAGESIZE);
	perf->size = options->pages * perf->page;
	perf->exact = 1;
	perf->epoll = -1;
	perf->failed = -1;
	perf->cpus = calloc((size_t)options->count, sizeof(*perf->cpus));
	perf->origins = calloc(options->records, sizeof(*perf->origins));
	if (!perf->cpus || !perf->origins)
		return -ENOMEM;
	for (i = 0; i < options->count; i++) {
		perf->cpus[i].cpu = options->cpus[i];
		perf->cpus[i].fd = -1;
	}
	perf->count = options->count;
	/* Our own: when an object is collected, its maps may go first, and their numbers to others. */
	perf->map_fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 0);
	if (perf->map_fd < 0)
		return -errno;
	__atomic_store_n(&perf->closed, 0, __ATOMIC_SEQ_CST);
	if (!options->backward) {
		perf->epoll = epoll_create1(EPOLL_CLOEXEC);
		rc = perf->epoll < 0 ? -errno : 0;
	}
	for (i = 0; !rc && i < perf->count; i++) {
		rc = plb_perfbuf_open_cpu(perf, &perf->cpus[i], options);
		if (rc)
			perf->failed = perf->cpus[i].cpu;
	}
	if (rc)
		plb_perfbuf_close(perf);
	return rc;
}

/* Data may wrap; headers, at multiples of 8, do not. */
static void plb_perfbuf_copy(struct plb_perfbuf *perf, const char *data, uint64_t at, void *to,
			  size_t length)
{
	size_t start = at & (perf->size - 1);
	size_t first = perf->size - start < length ? perf->size - start : length;

	memcpy(to, data + start, first);
	memcpy((char *)to + first, data, length - first);
}

/* 0: all was taken; 1: the batch is full. */
static int plb_perfbuf_drain_cpu(struct plb_perfbuf *perf, struct plb_perfbuf_cpu *each,
			      struct plb_batch *batch)
{
	struct perf_event_mmap_page *control = each->memory;
	const char *data = (const char *)each->memory + perf->page;
	uint64_t head = __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = control->data_tail;
	int rc = 0;

	while (tail < head) {
		struct perf_event_header header;

		plb_perfbuf_copy(perf, data, tail, &header, sizeof(header));
		if (header.size < sizeof(header) || header.size > head - tail) {
			rc = -EBADMSG;
			break;
		}
		if (header.type == PERF_RECORD_SAMPLE) {
			uint32_t length;
			size_t whole;

			plb_perfbuf_copy(perf, data, tail + sizeof(header), &length, sizeof(length));
			if (sizeof(header) + sizeof(length) + (size_t)length > header.size) {
				rc = -EBADMSG;
				break;
			}
			whole = ((size_t)length + 7) & ~(size_t)7;
			if (batch->count == batch->max || whole > batch->size - batch->used) {
				rc = 1;
				break;
			}
			perf->origins[batch->count] = (uint32_t)each->cpu;
			batch->spans[2 * batch->count] = (uint32_t)batch->used;
			batch->spans[2 * batch->count + 1] = length;
			plb_perfbuf_copy(perf, data, tail + sizeof(header) + sizeof(length),
				      batch->data + batch->used, length);
			batch->used += whole;
			batch->count++;
		} else if (header.type == PERF_RECORD_LOST) {
			uint64_t lost[2]; /* the event's id, and how many */

			plb_perfbuf_copy(perf, data, tail + sizeof(header), lost, sizeof(lost));
			__atomic_add_fetch(&each->lost, lost[1], __ATOMIC_RELAXED);
		}
		tail += header.size;
	}
	/* After the copies: from here the kernel may write over what was read. */
	__atomic_store_n(&control->data_tail, tail, __ATOMIC_RELEASE);
	return rc;
}

int plb_perfbuf_drain(struct plb_perfbuf *perf, struct plb_batch *batch)
{
	int i, rc = 0;

	if (batch->count)
		return 0;
	if (!plb_enter(&perf->users, &perf->closed))
		return -EBADF;
	batch->used = 0;
	for (i = 0; i < perf->count; i++) {
		int index = (perf->next + i) % perf->count;

		if (!perf->cpus[index].memory)
			continue;
		rc = plb_perfbuf_drain_cpu(perf, &perf->cpus[index], batch);
		if (rc) {
			/* The others come first next time: a busy CPU does not shut them out. */
			perf->next = (index + 1) % perf->count;
			break;
		}
	}
	if (batch->count)
		batch->number++;
	plb_leave(&perf->users);
	return rc < 0 ? rc : 0;
}

static uint64_t plb_perfbuf_count_lost(struct plb_perfbuf *perf, struct plb_perfbuf_cpu *each)
{
	uint64_t counts[2]; /* the event's value, and how many were lost */

	if (perf->exact && each->fd >= 0 &&
	    read(each->fd, counts, sizeof(counts)) == sizeof(counts))
		__atomic_store_n(&each->lost, counts[1], __ATOMIC_RELAXED);
	return __atomic_load_n(&each->lost, __ATOMIC_RELAXED);
}

/* After it was closed, what there was then. */
int plb_perfbuf_lost(struct plb_perfbuf *perf, int index, uint64_t *lost)
{
	if (!perf->cpus)
		return -EBADF;
	if (!plb_enter(&perf->users, &perf->closed)) {
		*lost = __atomic_load_n(&perf->cpus[index].lost, __ATOMIC_RELAXED);
		return 0;
	}
	*lost = plb_perfbuf_count_lost(perf, &perf->cpus[index]);
	plb_leave(&perf->users);
	return 0;
}

static int plb_perfbuf_pause_all(struct plb_perfbuf *perf, bool pause)
{
	int i, rc = 0;

	for (i = 0; i < perf->count; i++)
		if (perf->cpus[i].memory &&
		    ioctl(perf->cpus[i].fd, PERF_EVENT_IOC_PAUSE_OUTPUT, pause) < 0)
			rc = -errno;
	return rc;
}

int plb_perfbuf_pause(struct plb_perfbuf *perf, bool pause)
{
	int rc;

	if (!plb_enter(&perf->users, &perf->closed))
		return -EBADF;
	rc = plb_perfbuf_pause_all(perf, pause);
	plb_leave(&perf->users);
	return rc;
}

int plb_perfbuf_snapshot(struct plb_perfbuf *perf, char *data, bool resume)
{
	struct timespec pause = { 0, 1000000 };
	int i, rc;

	if (!plb_enter(&perf->users, &perf->closed))
		return -EBADF;
	rc = plb_perfbuf_pause_all(perf, true);
	if (!rc) {
		/*
		 * A program that was writing when we paused still is.  It does so inside an RCU
		 * section with preemption off (kernel/events/ring_buffer.c, perf_output_begin), and
		 * this waits until all such have ended.  Kernels with nohz_full refuse it: there
		 * we give it a thousand times what a write takes.
		 */
		if (syscall(__NR_membarrier, PLB_MEMBARRIER_GLOBAL, 0, 0) < 0)
			nanosleep(&pause, NULL);
		for (i = 0; i < perf->count; i++) {
			struct perf_event_mmap_page *control = perf->cpus[i].memory;
			char *to = data + (size_t)i * perf->size;

			if (control)
				plb_perfbuf_copy(perf, (const char *)control + perf->page,
					      __atomic_load_n(&control->data_head, __ATOMIC_ACQUIRE),
					      to, perf->size);
			else
				memset(to, 0, perf->size);
		}
	}
	if (resume) {
		int again = plb_perfbuf_pause_all(perf, false);

		rc = rc ? rc : again;
	}
	plb_leave(&perf->users);
	return rc;
}

void plb_perfbuf_close(struct plb_perfbuf *perf)
{
	int i;

	if (!plb_shut(&perf->users, &perf->closed))
		return;
	for (i = 0; i < perf->count; i++) {
		struct plb_perfbuf_cpu *each = &perf->cpus[i];

		if (each->fd < 0)
			continue;
		/* The map holds the event, too. */
		bpf_map_delete_elem(perf->map_fd, &each->cpu);
		plb_perfbuf_count_lost(perf, each);
		if (each->memory)
			munmap(each->memory, perf->page + perf->size);
		close(each->fd);
		each->fd = -1;
		each->memory = NULL;
	}
	if (perf->epoll >= 0)
		close(perf->epoll);
	perf->epoll = -1;
	close(perf->map_fd);
}

/* In a forked child, which the kernel gives no copy of the memory (VM_DONTCOPY).  The map's slots
 * are the parent's. */
void plb_perfbuf_abandon(struct plb_perfbuf *perf)
{
	int i;

	if (__atomic_exchange_n(&perf->closed, 1, __ATOMIC_SEQ_CST))
		return;
	for (i = 0; i < perf->count; i++)
		if (perf->cpus[i].fd >= 0)
			close(perf->cpus[i].fd);
	if (perf->epoll >= 0)
		close(perf->epoll);
	close(perf->map_fd);
}

void plb_perfbuf_free(struct plb_perfbuf *perf)
{
	plb_perfbuf_close(perf);
	free(perf->cpus);
	free(perf->origins);
	perf->cpus = NULL;
	perf->origins = NULL;
}
