/* A map: its descriptor, and its values where they are mapped.  Every call enters and leaves,
 * close refuses new calls and waits for those under way.  0 or a negative errno. */
struct plb_map {
	int fd;
	int users;
	int closed;
	void *memory;
	size_t memory_size;
	int unmap;
	int own;   /* the descriptor is closed with it */
	int views; /* who looks into the memory: it stays until they are gone */
};
void plb_map_close(struct plb_map *map);
void plb_map_abandon(struct plb_map *map);
int plb_map_lookup(struct plb_map *map, const void *key, void *value, uint64_t flags);
int plb_map_pop(struct plb_map *map, const void *key, void *value, uint64_t flags);
int plb_map_update(struct plb_map *map, const void *key, const void *value, uint64_t flags);
int plb_map_delete(struct plb_map *map, const void *key);
int plb_map_next_key(struct plb_map *map, const void *key, void *next_key);
int plb_map_lookup_batch(struct plb_map *map, void *in_batch, void *out_batch, void *keys,
			 void *values, uint32_t *count);
int plb_map_update_batch(struct plb_map *map, const void *keys, const void *values,
			 uint32_t *count, uint64_t flags);
int plb_map_delete_batch(struct plb_map *map, const void *keys, uint32_t *count);
/* One lookup after the other, for maps of any type: found[i] says whether there is a value.
 * Gives how many lookups were done without an error, which is left in *failed. */
uint32_t plb_map_lookup_many(struct plb_map *map, const void *keys, size_t key_size, void *values,
			     size_t value_size, uint8_t *found, uint32_t count, int *failed);
int plb_map_freeze(struct plb_map *map);
int plb_map_info(struct plb_map *map, void *info, uint32_t *size);
/* What /proc/self/fdinfo says of the descriptor: its length, or a negative errno. */
int plb_map_fdinfo(struct plb_map *map, char *text, size_t size);

/* A map that no object owns.  They fill a cell of { .fd = -1 }, and give 0 or a negative errno. */
int plb_map_create(struct plb_map *map, enum bpf_map_type type, const char *name,
		   uint32_t key_size, uint32_t value_size, uint32_t max_entries,
		   const struct bpf_map_create_opts *opts);
int plb_map_by_id(struct plb_map *map, uint32_t id);
int plb_map_by_path(struct plb_map *map, const char *path, uint32_t flags);
int plb_map_by_fd(struct plb_map *map, int fd);

/* Memory of a map: at `address` if that is not NULL. */
int plb_map_mmap(struct plb_map *map, void *address, size_t size, bool writable);
/* The kernel copies, so that a page that is not there is EFAULT and no SIGSEGV. */
int plb_map_memory_peek(struct plb_map *map, size_t offset, void *to, size_t size);
int plb_map_memory_poke(struct plb_map *map, size_t offset, const void *from, size_t size);
int plb_map_memory_read(struct plb_map *map, size_t offset, void *to, size_t size);
int plb_map_memory_write(struct plb_map *map, size_t offset, const void *from, size_t size);
int plb_map_view(struct plb_map *map, size_t offset, size_t size, void **start);
void plb_map_unview(struct plb_map *map);
