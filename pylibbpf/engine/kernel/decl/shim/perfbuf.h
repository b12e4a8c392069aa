/* The perf event of one CPU, and its ring: a page that says where head and tail are, and data. */
struct plb_perfbuf_cpu {
	int cpu;
	int fd;
	void *memory;  /* NULL: this CPU is offline, and was not asked for by name */
	uint64_t lost; /* records that found no room, as told so far */
};

struct plb_perfbuf_options {
	const int *cpus; /* to read */
	int count;
	int skip_offline; /* CPUs that are offline are left out; otherwise they are an error */
	size_t pages;     /* of data for each CPU: a power of two */
	uint32_t wakeup;  /* wake after so many records, or bytes */
	int watermark;    /* it is bytes */
	int backward;     /* overwrite what is oldest, and note the time of each record */
	size_t records;   /* the most in a batch */
};

/*
 * A perf buffer: a ring for each CPU, whose perf event stands in the map under the CPU's number.
 * Drained like a ring buffer.  A backward one is not drained: a snapshot copies it while it is
 * paused.  It says closed until it is open; what opening left is given back by closing.
 */
struct plb_perfbuf {
	int users;
	int closed;
	int map_fd; /* a copy */
	int epoll;
	int exact; /* the kernel counts losses (Linux 6.0) */
	int failed; /* the CPU that opening failed at */
	int next;   /* the CPU whose turn it is in the next drain, as an index */
	int count;
	struct plb_perfbuf_cpu *cpus;
	uint32_t *origins; /* the CPU of each record of a batch */
	size_t page;
	size_t size; /* of the data of one CPU */
};
int plb_perfbuf_open(struct plb_perfbuf *perf, int map_fd, const struct plb_perfbuf_options *options);
int plb_perfbuf_drain(struct plb_perfbuf *perf, struct plb_batch *batch);
int plb_perfbuf_lost(struct plb_perfbuf *perf, int index, uint64_t *lost);
int plb_perfbuf_pause(struct plb_perfbuf *perf, bool pause);
/* Copies each CPU's data, newest record first, behind that of the CPU before. */
int plb_perfbuf_snapshot(struct plb_perfbuf *perf, char *data, bool resume);
void plb_perfbuf_close(struct plb_perfbuf *perf);
void plb_perfbuf_abandon(struct plb_perfbuf *perf);
void plb_perfbuf_free(struct plb_perfbuf *perf);
