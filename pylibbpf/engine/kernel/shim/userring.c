/* User ring buffers.  Declared, with their rules, in decl/shim/userring.h.
 *
 * The kernel's side is kernel/bpf/ringbuf.c, __bpf_user_ringbuf_peek(): it reads the producer's
 * position, then the header there, whose busy bit ends the drain and whose discard bit skips. */

static void plb_userring_unmap(struct plb_userring *ring)
{
	munmap(ring->consumer, ring->page);
	munmap(ring->producer, ring->page + 2 * (ring->mask + 1));
}

int plb_userring_open(struct plb_userring *ring, int map_fd, uint32_t max_entries)
{
	void *consumer, *producer;

	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->mask = (unsigned long)max_entries - 1;
	/* The other way round than a ring buffer: the consumer's page is the kernel's to write. */
	consumer = mmap(NULL, ring->page, PROT_READ, MAP_SHARED, map_fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, ring->page + 2 * (size_t)max_entries, PROT_READ | PROT_WRITE,
			MAP_SHARED, map_fd, (off_t)ring->page);
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

static void plb_userring_lock(struct plb_userring *ring)
{
	struct timespec pause = { 0, 1000 };

	while (__atomic_exchange_n(&ring->lock, 1, __ATOMIC_ACQUIRE))
		nanosleep(&pause, NULL);
}

static void plb_userring_unlock(struct plb_userring *ring)
{
	__atomic_store_n(&ring->lock, 0, __ATOMIC_RELEASE);
}

static uint32_t *plb_userring_header(struct plb_userring *ring, unsigned long at)
{
	return (uint32_t *)(ring->data + (at & ring->mask));
}

int plb_userring_reserve(struct plb_userring *ring, struct plb_reservation *cell, uint32_t size)
{
	size_t whole = (((size_t)size + 7) & ~(size_t)7) + PLB_RINGBUF_HEADER;
	unsigned long consumer, producer;
	uint32_t *header;
	int rc = 0;

	if (!plb_enter(&ring->users, &ring->closed))
		return -EBADF;
	plb_userring_lock(ring);
	consumer = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	if (size >= PLB_RINGBUF_DISCARD || whole > ring->mask + 1) {
		rc = -E2BIG;
	} else if (whole > ring->mask + 1 - (producer - consumer)) {
		rc = -ENOSPC;
	} else {
		header = plb_userring_header(ring, producer);
		header[1] = 0;
		__atomic_store_n(header, size | PLB_RINGBUF_BUSY, __ATOMIC_RELAXED);
		cell->at = producer;
		cell->size = size;
		__atomic_store_n(&cell->ring, ring, __ATOMIC_RELEASE);
		__atomic_store_n(ring->producer, producer + whole, __ATOMIC_RELEASE);
	}
	plb_userring_unlock(ring);
	plb_leave(&ring->users);
	return rc;
}

static int plb_userring_commit(struct plb_reservation *cell, const void *data, uint32_t flags)
{
	struct plb_userring *ring = __atomic_exchange_n(&cell->ring, NULL, __ATOMIC_SEQ_CST);
	uint32_t *header;

	if (!ring)
		return -EALREADY;
	if (!plb_enter(&ring->users, &ring->closed))
		return -EBADF;
	header = plb_userring_header(ring, cell->at);
	/* No record wraps: the data is mapped twice in a row. */
	if (data)
		memcpy((char *)header + PLB_RINGBUF_HEADER, data, cell->size);
	__atomic_store_n(header, cell->size | flags, __ATOMIC_RELEASE);
	plb_leave(&ring->users);
	return 0;
}

int plb_userring_submit(struct plb_reservation *cell, const void *data)
{
	return plb_userring_commit(cell, data, 0);
}

void plb_userring_discard(struct plb_reservation *cell)
{
	plb_userring_commit(cell, NULL, PLB_RINGBUF_DISCARD);
}

int plb_userring_send(struct plb_userring *ring, const void *data, uint32_t size)
{
	struct plb_reservation cell = { NULL, 0, 0 };
	int rc = plb_userring_reserve(ring, &cell, size);

	return rc ? rc : plb_userring_submit(&cell, data);
}

int64_t plb_userring_used(struct plb_userring *ring)
{
	unsigned long consumer, producer;

	if (!plb_enter(&ring->users, &ring->closed))
		return -EBADF;
	consumer = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	plb_leave(&ring->users);
	return (int64_t)(producer - consumer);
}

/* Nobody is left to submit what is reserved, and it would stop every drain. */
static void plb_userring_settle(struct plb_userring *ring)
{
	unsigned long producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	unsigned long at = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);

	if (producer - at > ring->mask + 1)
		return;
	while (at < producer) {
		uint32_t *header = plb_userring_header(ring, at);
		uint32_t word = __atomic_load_n(header, __ATOMIC_ACQUIRE);
		uint32_t size = word & ~(PLB_RINGBUF_BUSY | PLB_RINGBUF_DISCARD);

		if (word & PLB_RINGBUF_BUSY)
			__atomic_store_n(header, size | PLB_RINGBUF_DISCARD, __ATOMIC_RELEASE);
		at += (((size_t)size + 7) & ~(size_t)7) + PLB_RINGBUF_HEADER;
	}
}

void plb_userring_close(struct plb_userring *ring)
{
	if (!plb_shut(&ring->users, &ring->closed))
		return;
	plb_userring_settle(ring);
	plb_userring_unmap(ring);
}

/* In a forked child; the parent's mapping is its own. */
void plb_userring_abandon(struct plb_userring *ring)
{
	if (!__atomic_exchange_n(&ring->closed, 1, __ATOMIC_SEQ_CST))
		plb_userring_unmap(ring);
}
