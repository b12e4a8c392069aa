/*
 * A user ring buffer: records that user space produces and programs drain.  Mapped by us: any
 * thread may reserve room, submit and discard.  It says closed until it is open.
 */
struct plb_userring {
	int users;
	int closed;
	int lock; /* of whoever moves the producer's position */
	unsigned long *consumer;
	unsigned long *producer;
	char *data;
	unsigned long mask;
	size_t page;
};

/* Room in the ring; records behind it wait until it is submitted or discarded. */
struct plb_reservation {
	struct plb_userring *ring;
	unsigned long at;
	uint32_t size;
};

int plb_userring_open(struct plb_userring *ring, int map_fd, uint32_t max_entries);
/* -ENOSPC: the ring is full; -E2BIG: it never has so much room. */
int plb_userring_reserve(struct plb_userring *ring, struct plb_reservation *cell, uint32_t size);
int plb_userring_submit(struct plb_reservation *cell, const void *data);
void plb_userring_discard(struct plb_reservation *cell);
int plb_userring_send(struct plb_userring *ring, const void *data, uint32_t size);
/* Bytes that no program has drained yet, with the headers of their records. */
int64_t plb_userring_used(struct plb_userring *ring);
void plb_userring_close(struct plb_userring *ring);
void plb_userring_abandon(struct plb_userring *ring);
