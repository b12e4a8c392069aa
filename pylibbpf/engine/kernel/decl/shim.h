/*
 * Our own C (shim.c): what must not cost a Python call per event, what must be safe against a
 * close in another thread, and the search for libbpf itself.
 */

/* The library: found once, kept for the life of the process. */
int plb_library_open(const char *path);
const char *plb_library_error(void);
const char *plb_library_path(void);

/* A wrapper that found no function leaves its index here, for its own thread, and returns its
 * "absent" value; taking it clears it.  -1: none. */
int plb_absent_take(void);
const char *plb_function_name(int index);
const char *plb_function_since(int index);

/* What libbpf prints on this thread between begin and end: for each message a byte '0' + level,
 * the text and a NUL.  They nest, since a collected object or a signal handler may close another
 * object meanwhile.  False: no memory. */
bool plb_capture_begin(int level);
char *plb_capture_end(size_t *size);
void plb_free(void *memory);

/*
 * What libbpf made is stored by C before Python sees the call return: an exception that a signal
 * handler raises at that moment loses nothing.  Opening and attaching give 0 or a negative errno;
 * closing may be repeated, by whoever was interrupted.
 */
struct plb_object {
	struct bpf_object *object;
};
int plb_object_open(struct plb_object *cell, const void *data, size_t size,
		    const struct bpf_object_open_opts *opts);
void plb_object_close(struct plb_object *cell);

struct plb_link {
	struct bpf_link *link;
};
int plb_program_attach(struct plb_link *cell, const struct bpf_program *program);
int plb_struct_ops_attach(struct plb_link *cell, const struct bpf_map *map);
int plb_link_destroy(struct plb_link *cell);

/* A map: its descriptor, and its values where they are mapped.  Every call enters and leaves,
 * close refuses new calls and waits for those under way.  0 or a negative errno. */
struct plb_map {
	int fd;
	int users;
	int closed;
	void *memory;
	size_t memory_size;
	int unmap;
};
void plb_map_close(struct plb_map *map);
void plb_map_abandon(struct plb_map *map);
int plb_map_lookup(struct plb_map *map, const void *key, void *value, uint64_t flags);
int plb_map_pop(struct plb_map *map, const void *key, void *value);
int plb_map_update(struct plb_map *map, const void *key, const void *value, uint64_t flags);
int plb_map_delete(struct plb_map *map, const void *key);
int plb_map_next_key(struct plb_map *map, const void *key, void *next_key);
int plb_map_lookup_batch(struct plb_map *map, void *in_batch, void *out_batch, void *keys,
			 void *values, uint32_t *count);
int plb_map_mmap(struct plb_map *map, size_t size, bool writable);
int plb_map_memory_read(struct plb_map *map, size_t offset, void *to, size_t size);
int plb_map_memory_write(struct plb_map *map, size_t offset, const void *from, size_t size);

/* A batch of records, copied one behind the other at multiples of 8 bytes. */
struct plb_batch {
	char *data;
	size_t size;     /* bytes allocated */
	size_t used;     /* bytes filled */
	uint32_t *spans; /* offset and length of each record, in turn */
	size_t max;      /* records that fit */
	size_t count;    /* records filled */
	uint64_t lost;   /* perf buffer: records lost since it was opened */
	uint64_t number; /* of this batch: counts up */
};
int plb_batch_open(struct plb_batch *batch, size_t size, size_t max);
void plb_batch_free(struct plb_batch *batch);

/*
 * A ring buffer map, mapped by us: libbpf before 1.3 does not expose its ring.  Draining fills an
 * empty batch, and leaves one alone that holds records: whoever has taken them sets count to 0.
 */
struct plb_ring {
	int users;
	int closed;
	unsigned long *consumer;
	unsigned long *producer;
	char *data;
	unsigned long mask;
	size_t page;
};
int plb_ring_open(struct plb_ring *ring, int map_fd, uint32_t max_entries);
int plb_ring_drain(struct plb_ring *ring, struct plb_batch *batch);
void plb_ring_close(struct plb_ring *ring);
void plb_ring_abandon(struct plb_ring *ring);

/* A perf buffer: libbpf's, with the records collected in C.  Drained like a ring. */
struct plb_perf {
	int users;
	int closed;
	struct perf_buffer *buffer;
	struct plb_batch *batch; /* of the drain under way */
};
int plb_perf_open(struct plb_perf *perf, int map_fd, size_t pages);
int plb_perf_fd(struct plb_perf *perf);
int plb_perf_drain(struct plb_perf *perf, struct plb_batch *batch);
void plb_perf_close(struct plb_perf *perf);
void plb_perf_abandon(struct plb_perf *perf);
