/* A look at an object's .BTF before libbpf's.  Declared in decl/shim/btfcheck.h.
 *
 * Layouts from Documentation/bpf/btf.rst; what is checked is what libbpf 1.3 began to check itself
 * (btf.c, btf_sanity_check). */

#include <elf.h>

struct plb_btf {
	const unsigned char *types; /* from here to types + types_size */
	uint32_t types_size;
	uint32_t strings_size;
	uint32_t count; /* of types, void not among them */
};

static uint32_t plb_u32(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

enum {
	PLB_INT = 1, PLB_PTR, PLB_ARRAY, PLB_STRUCT, PLB_UNION, PLB_ENUM, PLB_FWD, PLB_TYPEDEF,
	PLB_VOLATILE, PLB_CONST, PLB_RESTRICT, PLB_FUNC, PLB_FUNC_PROTO, PLB_VAR, PLB_DATASEC,
	PLB_FLOAT, PLB_DECL_TAG, PLB_TYPE_TAG, PLB_ENUM64,
};

#define PLB_TYPE 12 /* bytes of struct btf_type */

/* Bytes of a type behind its first 12, or -1 for a kind that is not known. */
static int64_t plb_btf_trailer(uint32_t info)
{
	uint32_t many = info & 0xffff;

	switch ((info >> 24) & 0x1f) {
	case PLB_INT:
	case PLB_VAR:
	case PLB_DECL_TAG:
		return 4;
	case PLB_ARRAY:
		return 12;
	case PLB_STRUCT:
	case PLB_UNION:
	case PLB_DATASEC:
	case PLB_ENUM64:
		return (int64_t)many * 12;
	case PLB_ENUM:
	case PLB_FUNC_PROTO:
		return (int64_t)many * 8;
	case PLB_PTR:
	case PLB_FWD:
	case PLB_TYPEDEF:
	case PLB_VOLATILE:
	case PLB_CONST:
	case PLB_RESTRICT:
	case PLB_FUNC:
	case PLB_FLOAT:
	case PLB_TYPE_TAG:
		return 0;
	default:
		return -1;
	}
}

static bool plb_btf_name(const struct plb_btf *btf, const unsigned char *at)
{
	return plb_u32(at) < btf->strings_size;
}

static bool plb_btf_id(const struct plb_btf *btf, const unsigned char *at)
{
	return plb_u32(at) <= btf->count;
}

static bool plb_btf_type(const struct plb_btf *btf, const unsigned char *type)
{
	const unsigned char *more = type + PLB_TYPE;
	uint32_t info = plb_u32(type + 4);
	uint32_t many = info & 0xffff, i;

	if (!plb_btf_name(btf, type))
		return false;
	switch ((info >> 24) & 0x1f) {
	case PLB_PTR:
	case PLB_TYPEDEF:
	case PLB_VOLATILE:
	case PLB_CONST:
	case PLB_RESTRICT:
	case PLB_FUNC:
	case PLB_VAR:
	case PLB_DECL_TAG:
	case PLB_TYPE_TAG:
		return plb_btf_id(btf, type + 8);
	case PLB_ARRAY: /* element, index, number */
		return plb_btf_id(btf, more) && plb_btf_id(btf, more + 4);
	case PLB_STRUCT:
	case PLB_UNION: /* name, type, offset */
		for (i = 0; i < many; i++, more += 12)
			if (!plb_btf_name(btf, more) || !plb_btf_id(btf, more + 4))
				return false;
		return true;
	case PLB_FUNC_PROTO: /* name, type */
		if (!plb_btf_id(btf, type + 8))
			return false;
		for (i = 0; i < many; i++, more += 8)
			if (!plb_btf_name(btf, more) || !plb_btf_id(btf, more + 4))
				return false;
		return true;
	case PLB_ENUM: /* name, value */
		for (i = 0; i < many; i++, more += 8)
			if (!plb_btf_name(btf, more))
				return false;
		return true;
	case PLB_ENUM64: /* name, value in two halves */
		for (i = 0; i < many; i++, more += 12)
			if (!plb_btf_name(btf, more))
				return false;
		return true;
	case PLB_DATASEC: /* variable, offset, size */
		for (i = 0; i < many; i++, more += 12)
			if (!plb_btf_id(btf, more))
				return false;
		return true;
	default:
		return true;
	}
}

/* A function's type must be a prototype: libbpf follows it without looking. */
static int64_t plb_btf_functions(const struct plb_btf *btf, const unsigned char **at)
{
	uint32_t id;

	for (id = 1; id <= btf->count; id++) {
		uint32_t prototype = plb_u32(at[id] + 8);

		if (((plb_u32(at[id] + 4) >> 24) & 0x1f) != PLB_FUNC)
			continue;
		if (!prototype || ((plb_u32(at[prototype] + 4) >> 24) & 0x1f) != PLB_FUNC_PROTO)
			return id;
	}
	return 0;
}

static int64_t plb_btf_look(const unsigned char *data, uint64_t size)
{
	const unsigned char *at, *end, **index;
	struct plb_btf btf = { 0 };
	uint32_t header, type_off, str_off;
	int64_t broken = 0;
	uint32_t id;

	if (size < 24 || data[0] != 0x9f || data[1] != 0xeb)
		return -1; /* another byte order is none of ours */
	header = plb_u32(data + 4);
	type_off = plb_u32(data + 8);
	btf.types_size = plb_u32(data + 12);
	str_off = plb_u32(data + 16);
	btf.strings_size = plb_u32(data + 20);
	if (header < 24 || header > size || (uint64_t)type_off + btf.types_size > size - header ||
	    (uint64_t)str_off + btf.strings_size > size - header || !btf.strings_size)
		return -1;
	at = data + header + str_off;
	if (at[0] || at[btf.strings_size - 1])
		return -1;
	btf.types = data + header + type_off;
	end = btf.types + btf.types_size;
	for (at = btf.types; at < end; btf.count++) {
		int64_t more = end - at < PLB_TYPE ? -1 : plb_btf_trailer(plb_u32(at + 4));

		if (more < 0 || more > end - at - PLB_TYPE)
			return (int64_t)btf.count + 1;
		at += PLB_TYPE + more;
	}
	index = calloc((size_t)btf.count + 1, sizeof(*index));
	if (!index)
		return 0; /* libbpf will want more than that */
	for (at = btf.types, id = 1; id <= btf.count && !broken; id++) {
		index[id] = at;
		if (!plb_btf_type(&btf, at))
			broken = id;
		at += PLB_TYPE + plb_btf_trailer(plb_u32(at + 4));
	}
	if (!broken)
		broken = plb_btf_functions(&btf, index);
	free(index);
	return broken;
}

int64_t plb_btf_broken(const void *elf, size_t size)
{
	const unsigned char *data = elf;
	const char *names;
	Elf64_Ehdr header;
	Elf64_Shdr strings, section;
	uint64_t count, i;
	uint32_t named_in;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, data, sizeof(header));
	if (header.e_shentsize != sizeof(section) || header.e_shoff > size ||
	    size - header.e_shoff < sizeof(section))
		return 0;
	/* Numbers that are too large for the header are in the first section's. */
	memcpy(&section, data + header.e_shoff, sizeof(section));
	count = header.e_shnum ? header.e_shnum : section.sh_size;
	named_in = header.e_shstrndx == SHN_XINDEX ? section.sh_link : header.e_shstrndx;
	if ((size - header.e_shoff) / sizeof(section) < count || named_in >= count)
		return 0;
	memcpy(&strings, data + header.e_shoff + named_in * sizeof(section), sizeof(strings));
	if (strings.sh_offset > size || strings.sh_size > size - strings.sh_offset)
		return 0;
	names = (const char *)data + strings.sh_offset;
	for (i = 0; i < count; i++) {
		int64_t broken;

		memcpy(&section, data + header.e_shoff + i * sizeof(section), sizeof(section));
		if (section.sh_name >= strings.sh_size ||
		    strings.sh_size - section.sh_name < sizeof(".BTF") ||
		    memcmp(names + section.sh_name, ".BTF", sizeof(".BTF")) ||
		    section.sh_offset > size || section.sh_size > size - section.sh_offset)
			continue;
		broken = plb_btf_look(data + section.sh_offset, section.sh_size);
		if (broken)
			return broken;
	}
	return 0;
}
