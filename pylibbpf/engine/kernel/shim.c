/* The functions that decl/shim.h declares.  build_ffi.py puts the wrappers of libbpf's own
 * functions before this file, with the table plb_functions[] and plb_function_total. */

/* ---- the library ------------------------------------------------------------------------- */

typedef int (*plb_print_fn)(int level, const char *format, va_list arguments);

static void *plb_handle;
static char plb_open_error[512];
static plb_print_fn plb_previous_print;

static int plb_print(int level, const char *format, va_list arguments);

int plb_library_open(const char *path)
{
	plb_print_fn (*set_print)(plb_print_fn);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int i;

	if (!handle) {
		const char *why = dlerror();

		snprintf(plb_open_error, sizeof(plb_open_error), "%s", why ? why : "unknown");
		return -1;
	}
	set_print = (plb_print_fn (*)(plb_print_fn))dlsym(handle, "libbpf_set_print");
	if (!set_print || !dlsym(handle, "libbpf_major_version")) {
		snprintf(plb_open_error, sizeof(plb_open_error),
			 "%s: not libbpf 1.0 or later (no libbpf_major_version)", path);
		dlclose(handle);
		return -1;
	}
	for (i = 0; i < plb_function_total; i++)
		*plb_functions[i].pointer = dlsym(handle, plb_functions[i].name);
	plb_previous_print = set_print(plb_print);
	plb_handle = handle;
	return 0;
}

const char *plb_library_error(void)
{
	return plb_open_error;
}

const char *plb_library_path(void)
{
	Dl_info info;
	void *symbol = plb_handle ? dlsym(plb_handle, "libbpf_set_print") : NULL;

	return symbol && dladdr(symbol, &info) ? info.dli_fname : NULL;
}

int plb_absent_take(void)
{
	int index = plb_absent;

	plb_absent = -1;
	return index;
}

const char *plb_function_name(int index)
{
	return plb_functions[index].name;
}

const char *plb_function_since(int index)
{
	return plb_functions[index].since;
}

/* ---- what libbpf prints ------------------------------------------------------------------ */

/* libbpf_set_print is one for the process.  Only threads that are inside one of our calls
 * collect; whatever libbpf says elsewhere goes to the function that was set before ours. */
struct plb_capture {
	int level;
	char *text;
	size_t used;
	size_t size;
	struct plb_capture *outer;
};
static __thread struct plb_capture *plb_capturing;

static int plb_print(int level, const char *format, va_list arguments)
{
	struct plb_capture *capture = plb_capturing;
	va_list again;
	size_t need;
	int length;

	if (!capture)
		return plb_previous_print ? plb_previous_print(level, format, arguments) : 0;
	if (level > capture->level)
		return 0;
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return length;
	need = capture->used + (size_t)length + 2;
	if (need > capture->size) {
		size_t size = need < 4096 ? 4096 : need * 2;
		char *text = realloc(capture->text, size);

		if (!text)
			return -ENOMEM;
		capture->text = text;
		capture->size = size;
	}
	capture->text[capture->used] = (char)('0' + level);
	vsnprintf(capture->text + capture->used + 1, (size_t)length + 1, format, arguments);
	capture->used = need;
	return length;
}

bool plb_capture_begin(int level)
{
	struct plb_capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		return false;
	capture->level = level;
	capture->outer = plb_capturing;
	plb_capturing = capture;
	return true;
}

char *plb_capture_end(size_t *size)
{
	struct plb_capture *capture = plb_capturing;
	char *text = capture->text;

	*size = capture->used;
	plb_capturing = capture->outer;
	free(capture);
	return text;
}

void plb_free(void *memory)
{
	free(memory);
}

/* ---- entering, leaving, closing ---------------------------------------------------------- */

/* A reader counts itself in before it looks at `closed`; the closer sets `closed` before it
 * looks at the count.  Both are sequentially consistent, so that one of them sees the other. */
static bool plb_enter(int *users, int *closed)
{
	__atomic_add_fetch(users, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(closed, __ATOMIC_SEQ_CST))
		return true;
	__atomic_sub_fetch(users, 1, __ATOMIC_SEQ_CST);
	return false;
}

static void plb_leave(int *users)
{
	__atomic_sub_fetch(users, 1, __ATOMIC_SEQ_CST);
}

/* True for the caller that closed it, after the last user has left. */
static bool plb_shut(int *users, int *closed)
{
	struct timespec pause = { 0, 50000 };

	if (__atomic_exchange_n(closed, 1, __ATOMIC_SEQ_CST))
		return false;
	while (__atomic_load_n(users, __ATOMIC_SEQ_CST) > 0)
		nanosleep(&pause, NULL);
	return true;
}

/* ---- objects and links ------------------------------------------------------------------- */

int plb_object_open(struct plb_object *cell, const void *data, size_t size,
		    const struct bpf_object_open_opts *opts)
{
	cell->object = bpf_object__open_mem(data, size, opts);
	return cell->object ? 0 : -errno;
}

void plb_object_close(struct plb_object *cell)
{
	struct bpf_object *object = __atomic_exchange_n(&cell->object, NULL, __ATOMIC_SEQ_CST);

	if (object)
		bpf_object__close(object);
}

int plb_program_attach(struct plb_link *cell, const struct bpf_program *program)
{
	cell->link = bpf_program__attach(program);
	return cell->link ? 0 : -errno;
}

int plb_struct_ops_attach(struct plb_link *cell, const struct bpf_map *map)
{
	cell->link = bpf_map__attach_struct_ops(map);
	return cell->link ? 0 : -errno;
}

int plb_link_destroy(struct plb_link *cell)
{
	struct bpf_link *link = __atomic_exchange_n(&cell->link, NULL, __ATOMIC_SEQ_CST);

	return link ? bpf_link__destroy(link) : 0;
}

/* ---- maps -------------------------------------------------------------------------------- */

void plb_map_close(struct plb_map *map)
{
	if (!plb_shut(&map->users, &map->closed))
		return;
	if (map->unmap)
		munmap(map->memory, map->memory_size);
	map->memory = NULL;
}

/* In a forked child, whose other threads are gone and may have left the count up. */
void plb_map_abandon(struct plb_map *map)
{
	if (__atomic_exchange_n(&map->closed, 1, __ATOMIC_SEQ_CST))
		return;
	if (map->unmap)
		munmap(map->memory, map->memory_size);
	map->memory = NULL;
}

#define PLB_MAP_CALL(map, call)                         \
	do {                                            \
		int rc;                                 \
		if (!plb_enter(&(map)->users, &(map)->closed)) \
			return -EBADF;                  \
		rc = (call);                            \
		plb_leave(&(map)->users);               \
		return rc;                              \
	} while (0)

int plb_map_lookup(struct plb_map *map, const void *key, void *value, uint64_t flags)
{
	PLB_MAP_CALL(map, bpf_map_lookup_elem_flags(map->fd, key, value, flags));
}

int plb_map_pop(struct plb_map *map, const void *key, void *value)
{
	PLB_MAP_CALL(map, bpf_map_lookup_and_delete_elem(map->fd, key, value));
}

int plb_map_update(struct plb_map *map, const void *key, const void *value, uint64_t flags)
{
	PLB_MAP_CALL(map, bpf_map_update_elem(map->fd, key, value, flags));
}

int plb_map_delete(struct plb_map *map, const void *key)
{
	PLB_MAP_CALL(map, bpf_map_delete_elem(map->fd, key));
}

int plb_map_next_key(struct plb_map *map, const void *key, void *next_key)
{
	PLB_MAP_CALL(map, bpf_map_get_next_key(map->fd, key, next_key));
}

int plb_map_lookup_batch(struct plb_map *map, void *in_batch, void *out_batch, void *keys,
				void *values, uint32_t *count)
{
	PLB_MAP_CALL(map, bpf_map_lookup_batch(map->fd, in_batch, out_batch, keys, values, count,
					       NULL));
}

int plb_map_mmap(struct plb_map *map, size_t size, bool writable)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (size + page - 1) & ~(page - 1);
	void *memory = mmap(NULL, whole, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
			    map->fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	map->memory = memory;
	map->memory_size = whole;
	map->unmap = 1;
	return 0;
}

/* Whole aligned words move in one access: BPF programs on other CPUs read and write them. */
static void plb_copy(void *to, const void *from, size_t size)
{
	bool aligned = size && !(size & (size - 1)) && !((uintptr_t)to & (size - 1)) &&
		       !((uintptr_t)from & (size - 1));

	if (aligned && size == 8)
		__atomic_store_n((uint64_t *)to, __atomic_load_n((const uint64_t *)from, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
	else if (aligned && size == 4)
		__atomic_store_n((uint32_t *)to, __atomic_load_n((const uint32_t *)from, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
	else if (aligned && size == 2)
		__atomic_store_n((uint16_t *)to, __atomic_load_n((const uint16_t *)from, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
	else
		memcpy(to, from, size);
}

static int plb_map_memory(struct plb_map *map, size_t offset, void *to, const void *from, size_t size)
{
	int rc = 0;

	if (!plb_enter(&map->users, &map->closed))
		return -EBADF;
	if (!map->memory)
		rc = -ENODATA;
	else if (offset > map->memory_size || size > map->memory_size - offset)
		rc = -ERANGE;
	else if (to)
		plb_copy(to, (const char *)map->memory + offset, size);
	else
		plb_copy((char *)map->memory + offset, from, size);
	plb_leave(&map->users);
	return rc;
}

int plb_map_memory_read(struct plb_map *map, size_t offset, void *to, size_t size)
{
	return plb_map_memory(map, offset, to, NULL, size);
}

int plb_map_memory_write(struct plb_map *map, size_t offset, const void *from, size_t size)
{
	return plb_map_memory(map, offset, NULL, from, size);
}

/* ---- batches of records ------------------------------------------------------------------ */

int plb_batch_open(struct plb_batch *batch, size_t size, size_t max)
{
	batch->data = malloc(size);
	batch->spans = malloc(max * 2 * sizeof(*batch->spans));
	batch->size = size;
	batch->max = max;
	return batch->data && batch->spans ? 0 : -ENOMEM;
}

void plb_batch_free(struct plb_batch *batch)
{
	free(batch->data);
	free(batch->spans);
	batch->data = NULL;
	batch->spans = NULL;
}

static bool plb_batch_grow(struct plb_batch *batch, size_t size, size_t max)
{
	if (size > batch->size) {
		char *data = realloc(batch->data, size);

		if (!data)
			return false;
		batch->data = data;
		batch->size = size;
	}
	if (max > batch->max) {
		uint32_t *spans = realloc(batch->spans, max * 2 * sizeof(*spans));

		if (!spans)
			return false;
		batch->spans = spans;
		batch->max = max;
	}
	return true;
}

static void plb_batch_add(struct plb_batch *batch, const void *record, uint32_t length)
{
	batch->spans[2 * batch->count] = (uint32_t)batch->used;
	batch->spans[2 * batch->count + 1] = length;
	memcpy(batch->data + batch->used, record, length);
	batch->used += ((size_t)length + 7) & ~(size_t)7;
	batch->count++;
}

/* ---- ring buffer ------------------------------------------------------------------------- */

/* The layout of a ring buffer map's memory: kernel/bpf/ringbuf.c, struct bpf_ringbuf, and the
 * header of a record: struct bpf_ringbuf_hdr; bits: include/uapi/linux/bpf.h. */
#define PLB_RINGBUF_BUSY (1u << 31)
#define PLB_RINGBUF_DISCARD (1u << 30)
#define PLB_RINGBUF_HEADER 8u

static void plb_ring_unmap(struct plb_ring *ring)
{
	munmap(ring->consumer, ring->page);
	munmap(ring->producer, ring->page + 2 * (ring->mask + 1));
}

/* `ring` says closed until it is open. */
int plb_ring_open(struct plb_ring *ring, int map_fd, uint32_t max_entries)
{
	void *consumer, *producer;

	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->mask = (unsigned long)max_entries - 1;
	/* The consumer's page is ours to write; the producer's and the data, which the kernel
	 * maps twice in a row so that no record wraps, are read-only. */
	consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, ring->page + 2 * (size_t)max_entries, PROT_READ, MAP_SHARED, map_fd,
			(off_t)ring->page);
	if (producer == MAP_FAILED) {
		int saved = errno;

		munmap(consumer, ring->page);
		return -saved;
	}
	ring->consumer = consumer;
	ring->producer = producer;
	ring->data = (char *)producer + ring->page;
	__atomic_store_n(&ring->closed, 0, __ATOMIC_SEQ_CST);
	return 0;
}

int plb_ring_drain(struct plb_ring *ring, struct plb_batch *batch)
{
	unsigned long consumer, producer, start;
	int rc = 0;

	if (batch->count)
		return 0;
	if (!plb_enter(&ring->users, &ring->closed))
		return -EBADF;
	batch->used = 0;
	start = consumer = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	/* Whoever else has the map may write the consumer's page: what is there is not trusted. */
	if (consumer & 7 || producer - consumer > ring->mask + 1)
		rc = -EBADMSG;
	while (!rc && consumer < producer && batch->count < batch->max) {
		const char *header = ring->data + (consumer & ring->mask);
		uint32_t word = __atomic_load_n((const uint32_t *)header, __ATOMIC_ACQUIRE);
		uint32_t length = word & ~(PLB_RINGBUF_BUSY | PLB_RINGBUF_DISCARD);
		size_t whole = ((size_t)length + 7) & ~(size_t)7;

		if (word & PLB_RINGBUF_BUSY)
			break;
		if (whole + PLB_RINGBUF_HEADER > producer - consumer) {
			rc = -EBADMSG;
			break;
		}
		if (!(word & PLB_RINGBUF_DISCARD)) {
			if (whole > batch->size - batch->used) {
				if (batch->count)
					break;
				if (!plb_batch_grow(batch, whole, batch->max)) {
					rc = -ENOMEM;
					break;
				}
			}
			plb_batch_add(batch, header + PLB_RINGBUF_HEADER, length);
		}
		consumer += whole + PLB_RINGBUF_HEADER;
	}
	if (batch->count)
		batch->number++;
	/* After the copies: from here the kernel may write over what was read. */
	if (consumer != start)
		__atomic_store_n(ring->consumer, consumer, __ATOMIC_RELEASE);
	plb_leave(&ring->users);
	return rc;
}

void plb_ring_close(struct plb_ring *ring)
{
	if (plb_shut(&ring->users, &ring->closed))
		plb_ring_unmap(ring);
}

/* In a forked child; the parent's mapping is its own. */
void plb_ring_abandon(struct plb_ring *ring)
{
	if (!__atomic_exchange_n(&ring->closed, 1, __ATOMIC_SEQ_CST))
		plb_ring_unmap(ring);
}

/* ---- perf buffer ------------------------------------------------------------------------- */

static void plb_perf_sample(void *context, int cpu, void *data, __u32 size)
{
	struct plb_batch *batch = ((struct plb_perf *)context)->batch;
	size_t whole = ((size_t)size + 7) & ~(size_t)7;
	size_t need = batch->used + whole;
	size_t max = batch->count < batch->max ? batch->max : batch->max * 2;

	(void)cpu;
	/* Offsets are 32 bits wide. */
	if (need > UINT32_MAX ||
	    !plb_batch_grow(batch, need > batch->size ? need * 2 : batch->size, max)) {
		batch->lost++;
		return;
	}
	plb_batch_add(batch, data, size);
}

static void plb_perf_lost(void *context, int cpu, __u64 count)
{
	(void)cpu;
	((struct plb_perf *)context)->batch->lost += count;
}

/* `perf` says closed until it is open. */
int plb_perf_open(struct plb_perf *perf, int map_fd, size_t pages)
{
	perf->buffer = perf_buffer__new(map_fd, pages, plb_perf_sample, plb_perf_lost, perf, NULL);
	if (!perf->buffer)
		return -errno;
	__atomic_store_n(&perf->closed, 0, __ATOMIC_SEQ_CST);
	return 0;
}

int plb_perf_fd(struct plb_perf *perf)
{
	return perf_buffer__epoll_fd(perf->buffer);
}

int plb_perf_drain(struct plb_perf *perf, struct plb_batch *batch)
{
	int rc;

	if (batch->count)
		return 0;
	if (!plb_enter(&perf->users, &perf->closed))
		return -EBADF;
	batch->used = 0;
	perf->batch = batch;
	rc = perf_buffer__consume(perf->buffer);
	perf->batch = NULL;
	if (batch->count)
		batch->number++;
	plb_leave(&perf->users);
	return rc < 0 ? rc : 0;
}

void plb_perf_close(struct plb_perf *perf)
{
	if (plb_shut(&perf->users, &perf->closed)) {
		perf_buffer__free(perf->buffer);
		perf->buffer = NULL;
	}
}

/* In a forked child.  perf_buffer__free would also disable the events and clear the map's slots,
 * which are the parent's; its descriptors are closed, its memory is left to the process's end. */
void plb_perf_abandon(struct plb_perf *perf)
{
	size_t i, count;

	if (__atomic_exchange_n(&perf->closed, 1, __ATOMIC_SEQ_CST))
		return;
	count = perf_buffer__buffer_cnt(perf->buffer);
	for (i = 0; i < count; i++) {
		int fd = perf_buffer__buffer_fd(perf->buffer, i);

		if (fd >= 0)
			close(fd);
	}
	close(perf_buffer__epoll_fd(perf->buffer));
}
