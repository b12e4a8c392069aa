/* Maps.  Declared, with their rules, in decl/shim/maps.h. */

/* ---- maps -------------------------------------------------------------------------------- */

/* By the closer, or by the last view that was there when it closed; they may meet here, and the
 * one that comes second must not take away what the first still has to unmap. */
static void plb_map_unmap(struct plb_map *map)
{
	void *memory = __atomic_load_n(&map->memory, __ATOMIC_SEQ_CST);

	if (__atomic_exchange_n(&map->unmap, 0, __ATOMIC_SEQ_CST))
		munmap(memory, map->memory_size);
	__atomic_store_n(&map->memory, NULL, __ATOMIC_SEQ_CST);
}

static void plb_map_release(struct plb_map *map)
{
	if (!__atomic_load_n(&map->views, __ATOMIC_SEQ_CST))
		plb_map_unmap(map);
	if (map->own && map->fd >= 0)
		close(map->fd);
	map->own = 0;
}

void plb_map_close(struct plb_map *map)
{
	if (!plb_shut(&map->users, &map->closed))
		return;
	plb_map_release(map);
}

/* In a forked child, whose other threads are gone and may have left the count up. */
void plb_map_abandon(struct plb_map *map)
{
	if (__atomic_exchange_n(&map->closed, 1, __ATOMIC_SEQ_CST))
		return;
	plb_map_release(map);
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

int plb_map_pop(struct plb_map *map, const void *key, void *value, uint64_t flags)
{
	PLB_MAP_CALL(map, bpf_map_lookup_and_delete_elem_flags(map->fd, key, value, flags));
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

int plb_map_update_batch(struct plb_map *map, const void *keys, const void *values,
			 uint32_t *count, uint64_t flags)
{
	struct bpf_map_batch_opts opts = { .sz = sizeof(opts), .elem_flags = flags };

	PLB_MAP_CALL(map, bpf_map_update_batch(map->fd, keys, values, count, &opts));
}

int plb_map_delete_batch(struct plb_map *map, const void *keys, uint32_t *count)
{
	PLB_MAP_CALL(map, bpf_map_delete_batch(map->fd, keys, count, NULL));
}

uint32_t plb_map_lookup_many(struct plb_map *map, const void *keys, size_t key_size, void *values,
			     size_t value_size, uint8_t *found, uint32_t count, int *failed)
{
	const char *key = keys;
	char *value = values;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < count; i++, key += key_size, value += value_size) {
		rc = plb_map_lookup(map, key, value, 0);
		found[i] = rc == 0;
		if (rc && rc != -ENOENT)
			break;
		rc = 0;
	}
	*failed = rc;
	return i;
}

int plb_map_freeze(struct plb_map *map)
{
	PLB_MAP_CALL(map, bpf_map_freeze(map->fd));
}

int plb_map_info(struct plb_map *map, void *info, uint32_t *size)
{
	PLB_MAP_CALL(map, bpf_obj_get_info_by_fd(map->fd, info, size));
}

static int plb_read_fdinfo(int fd, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int file, error;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	length = read(file, text, size);
	error = errno;
	close(file);
	return length < 0 ? -error : (int)length;
}

int plb_map_fdinfo(struct plb_map *map, char *text, size_t size)
{
	PLB_MAP_CALL(map, plb_read_fdinfo(map->fd, text, size));
}

/* ---- maps of no object ------------------------------------------------------------------- */

static int plb_map_own(struct plb_map *map, int fd)
{
	if (fd < 0)
		return fd;
	map->fd = fd;
	map->own = 1;
	return 0;
}

int plb_map_create(struct plb_map *map, enum bpf_map_type type, const char *name,
		   uint32_t key_size, uint32_t value_size, uint32_t max_entries,
		   const struct bpf_map_create_opts *opts)
{
	return plb_map_own(map, bpf_map_create(type, name, key_size, value_size, max_entries,
					       opts));
}

int plb_map_by_id(struct plb_map *map, uint32_t id)
{
	return plb_map_own(map, bpf_map_get_fd_by_id(id));
}

int plb_map_by_path(struct plb_map *map, const char *path, uint32_t flags)
{
	struct bpf_obj_get_opts opts = { .sz = sizeof(opts), .file_flags = flags };

	return plb_map_own(map, bpf_obj_get_opts(path, &opts));
}

int plb_map_by_fd(struct plb_map *map, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return plb_map_own(map, copy < 0 ? -errno : copy);
}

/* ---- memory ------------------------------------------------------------------------------ */

int plb_map_mmap(struct plb_map *map, void *address, size_t size, bool writable)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (size + page - 1) & ~(page - 1);
	void *memory = mmap(address, whole, PROT_READ | (writable ? PROT_WRITE : 0),
			    MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0), map->fd, 0);

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

static int plb_map_copy(struct plb_map *map, size_t offset, void *ours, size_t size, bool write)
{
	struct iovec here = { ours, size }, there = { NULL, size };
	ssize_t done;
	int rc = 0;

	if (!plb_enter(&map->users, &map->closed))
		return -EBADF;
	there.iov_base = (char *)map->memory + offset;
	if (!map->memory) {
		rc = -ENODATA;
	} else if (offset > map->memory_size || size > map->memory_size - offset) {
		rc = -ERANGE;
	} else {
		done = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
			     : process_vm_readv(getpid(), &here, 1, &there, 1, 0);
		if (done < 0)
			rc = -errno;
		else if ((size_t)done < size)
			rc = -EFAULT;
	}
	plb_leave(&map->users);
	return rc;
}

int plb_map_memory_peek(struct plb_map *map, size_t offset, void *to, size_t size)
{
	return plb_map_copy(map, offset, to, size, false);
}

int plb_map_memory_poke(struct plb_map *map, size_t offset, const void *from, size_t size)
{
	return plb_map_copy(map, offset, (void *)from, size, true);
}

int plb_map_view(struct plb_map *map, size_t offset, size_t size, void **start)
{
	int rc = 0;

	if (!plb_enter(&map->users, &map->closed))
		return -EBADF;
	if (!map->memory) {
		rc = -ENODATA;
	} else if (offset > map->memory_size || size > map->memory_size - offset) {
		rc = -ERANGE;
	} else {
		__atomic_add_fetch(&map->views, 1, __ATOMIC_SEQ_CST);
		*start = (char *)map->memory + offset;
	}
	plb_leave(&map->users);
	return rc;
}

void plb_map_unview(struct plb_map *map)
{
	if (!__atomic_sub_fetch(&map->views, 1, __ATOMIC_SEQ_CST) &&
	    __atomic_load_n(&map->closed, __ATOMIC_SEQ_CST))
		plb_map_unmap(map);
}
