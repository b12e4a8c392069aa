/*
 * libbpf before 1.3 takes the ids and names in an object's .BTF as they come, and reads beyond it
 * where they are wrong.  0: they can be followed; a positive number: the id of the first type that
 * cannot; -1: header, types or strings are not where they should be.  What is no ELF file, or has
 * no .BTF, is for libbpf to refuse.
 */
int64_t plb_btf_broken(const void *elf, size_t size);
