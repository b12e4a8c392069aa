/* A batch of records, copied one behind the other at multiples of 8 bytes. */
struct plb_batch {
	char *data;
	size_t size;     /* bytes allocated */
	size_t used;     /* bytes filled */
	uint32_t *spans; /* offset and length of each record, in turn */
	size_t max;      /* records that fit */
	size_t count;    /* records filled */
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
