/* Streams of records: batches, and ring buffers.  Declared, with their rules, in decl/shim/streams.h. */

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

static bool plb_batch_grow(struct plb_batch *batch, size_t size)
{
	char *data = realloc(batch->data, size);

	if (!data)
		return false;
	batch->data = data;
	batch->size = size;
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
				if (!plb_batch_grow(batch, whole)) {
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
