/*
 * Lookup and update where key and value are plain numbers of 4 or 8 bytes: the value is returned,
 * and nothing is allocated or kept, so threads do not meet.  The last two letters are the types of
 * key and value, as in Python's struct: I, i, Q, q.  cffi refuses a number that does not fit.
 *
 * A lookup that finds nothing, or fails, gives PLB_ODD; a value may look the same by accident, so
 * whoever gets it asks again by plb_map_lookup().
 */
uint64_t plb_get_II(struct plb_map *map, uint32_t key);
int64_t plb_get_Ii(struct plb_map *map, uint32_t key);
uint64_t plb_get_IQ(struct plb_map *map, uint32_t key);
int64_t plb_get_Iq(struct plb_map *map, uint32_t key);
uint64_t plb_get_iI(struct plb_map *map, int32_t key);
int64_t plb_get_ii(struct plb_map *map, int32_t key);
uint64_t plb_get_iQ(struct plb_map *map, int32_t key);
int64_t plb_get_iq(struct plb_map *map, int32_t key);
uint64_t plb_get_QI(struct plb_map *map, uint64_t key);
int64_t plb_get_Qi(struct plb_map *map, uint64_t key);
uint64_t plb_get_QQ(struct plb_map *map, uint64_t key);
int64_t plb_get_Qq(struct plb_map *map, uint64_t key);
uint64_t plb_get_qI(struct plb_map *map, int64_t key);
int64_t plb_get_qi(struct plb_map *map, int64_t key);
uint64_t plb_get_qQ(struct plb_map *map, int64_t key);
int64_t plb_get_qq(struct plb_map *map, int64_t key);
int plb_set_II(struct plb_map *map, uint32_t key, uint32_t value);
int plb_set_Ii(struct plb_map *map, uint32_t key, int32_t value);
int plb_set_IQ(struct plb_map *map, uint32_t key, uint64_t value);
int plb_set_Iq(struct plb_map *map, uint32_t key, int64_t value);
int plb_set_iI(struct plb_map *map, int32_t key, uint32_t value);
int plb_set_ii(struct plb_map *map, int32_t key, int32_t value);
int plb_set_iQ(struct plb_map *map, int32_t key, uint64_t value);
int plb_set_iq(struct plb_map *map, int32_t key, int64_t value);
int plb_set_QI(struct plb_map *map, uint64_t key, uint32_t value);
int plb_set_Qi(struct plb_map *map, uint64_t key, int32_t value);
int plb_set_QQ(struct plb_map *map, uint64_t key, uint64_t value);
int plb_set_Qq(struct plb_map *map, uint64_t key, int64_t value);
int plb_set_qI(struct plb_map *map, int64_t key, uint32_t value);
int plb_set_qi(struct plb_map *map, int64_t key, int32_t value);
int plb_set_qQ(struct plb_map *map, int64_t key, uint64_t value);
int plb_set_qq(struct plb_map *map, int64_t key, int64_t value);
