/* Maps.  Declared, with their rules, in decl/shim/maps.h. */

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
