/* Maps of plain numbers.  Declared, with their rules, in decl/shim/scalars.h. */

#define PLB_ODD 0x9e3779b97f4a7c15ull

#define PLB_SCALAR(pair, key_type, value_type, result)                          \
	result plb_get_##pair(struct plb_map *map, key_type key)                \
	{                                                                       \
		value_type value;                                               \
                                                                                \
		if (plb_map_lookup(map, &key, &value, 0))                       \
			return (result)PLB_ODD;                                 \
		return value;                                                   \
	}                                                                       \
	int plb_set_##pair(struct plb_map *map, key_type key, value_type value) \
	{                                                                       \
		return plb_map_update(map, &key, &value, 0);                    \
	}

PLB_SCALAR(II, uint32_t, uint32_t, uint64_t)
PLB_SCALAR(Ii, uint32_t, int32_t, int64_t)
PLB_SCALAR(IQ, uint32_t, uint64_t, uint64_t)
PLB_SCALAR(Iq, uint32_t, int64_t, int64_t)
PLB_SCALAR(iI, int32_t, uint32_t, uint64_t)
PLB_SCALAR(ii, int32_t, int32_t, int64_t)
PLB_SCALAR(iQ, int32_t, uint64_t, uint64_t)
PLB_SCALAR(iq, int32_t, int64_t, int64_t)
PLB_SCALAR(QI, uint64_t, uint32_t, uint64_t)
PLB_SCALAR(Qi, uint64_t, int32_t, int64_t)
PLB_SCALAR(QQ, uint64_t, uint64_t, uint64_t)
PLB_SCALAR(Qq, uint64_t, int64_t, int64_t)
PLB_SCALAR(qI, int64_t, uint32_t, uint64_t)
PLB_SCALAR(qi, int64_t, int32_t, int64_t)
PLB_SCALAR(qQ, int64_t, uint64_t, uint64_t)
PLB_SCALAR(qq, int64_t, int64_t, int64_t)
