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
