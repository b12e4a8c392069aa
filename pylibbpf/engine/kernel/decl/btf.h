/* Functions of btf.h that the kernel engine calls. */

/* libbpf 1.0 */
const void *btf__raw_data(const struct btf *btf, __u32 *size);

int btf__fd(const struct btf *btf);
const struct btf_type *btf__type_by_id(const struct btf *btf, __u32 id);
int btf__add_str(struct btf *btf, const char *s);
