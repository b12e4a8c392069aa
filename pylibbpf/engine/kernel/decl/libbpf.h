/*
 * Functions of libbpf.h that the kernel engine calls, each below the version that brought it
 * (libbpf.map).  build_ffi.py makes a wrapper of each that tests the pointer found at run time.
 */

/* libbpf 1.0 */
__u32 libbpf_major_version(void);
__u32 libbpf_minor_version(void);

struct bpf_object *bpf_object__open_mem(const void *obj_buf, size_t obj_buf_sz,
					const struct bpf_object_open_opts *opts);
int bpf_object__load(struct bpf_object *obj);
void bpf_object__close(struct bpf_object *object);
struct btf *bpf_object__btf(const struct bpf_object *obj);
struct bpf_program *bpf_object__next_program(const struct bpf_object *obj,
					     struct bpf_program *prog);
struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map);

const char *bpf_program__name(const struct bpf_program *prog);
const char *bpf_program__section_name(const struct bpf_program *prog);
bool bpf_program__autoload(const struct bpf_program *prog);
int bpf_program__set_autoload(struct bpf_program *prog, bool autoload);
bool bpf_program__autoattach(const struct bpf_program *prog);
void bpf_program__set_autoattach(struct bpf_program *prog, bool autoattach);
enum bpf_prog_type bpf_program__type(const struct bpf_program *prog);
int bpf_program__set_type(struct bpf_program *prog, enum bpf_prog_type type);
enum bpf_attach_type bpf_program__expected_attach_type(const struct bpf_program *prog);
int bpf_program__set_expected_attach_type(struct bpf_program *prog, enum bpf_attach_type type);
__u32 bpf_program__flags(const struct bpf_program *prog);
int bpf_program__set_flags(struct bpf_program *prog, __u32 flags);
const struct bpf_insn *bpf_program__insns(const struct bpf_program *prog);
size_t bpf_program__insn_cnt(const struct bpf_program *prog);
int bpf_program__fd(const struct bpf_program *prog);
struct bpf_link *bpf_program__attach(const struct bpf_program *prog);

const char *bpf_map__name(const struct bpf_map *map);
enum bpf_map_type bpf_map__type(const struct bpf_map *map);
int bpf_map__set_type(struct bpf_map *map, enum bpf_map_type type);
__u32 bpf_map__max_entries(const struct bpf_map *map);
int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries);
__u32 bpf_map__map_flags(const struct bpf_map *map);
int bpf_map__set_map_flags(struct bpf_map *map, __u32 flags);
__u32 bpf_map__key_size(const struct bpf_map *map);
int bpf_map__set_key_size(struct bpf_map *map, __u32 size);
__u32 bpf_map__value_size(const struct bpf_map *map);
int bpf_map__set_value_size(struct bpf_map *map, __u32 size);
__u32 bpf_map__btf_key_type_id(const struct bpf_map *map);
__u32 bpf_map__btf_value_type_id(const struct bpf_map *map);
bool bpf_map__autocreate(const struct bpf_map *map);
int bpf_map__set_autocreate(struct bpf_map *map, bool autocreate);
const void *bpf_map__initial_value(struct bpf_map *map, size_t *psize);
bool bpf_map__is_internal(const struct bpf_map *map);
const char *bpf_map__pin_path(const struct bpf_map *map);
int bpf_map__set_pin_path(struct bpf_map *map, const char *path);
int bpf_map__fd(const struct bpf_map *map);
struct bpf_link *bpf_map__attach_struct_ops(const struct bpf_map *map);

int bpf_link__fd(const struct bpf_link *link);
int bpf_link__destroy(struct bpf_link *link);

int libbpf_num_possible_cpus(void);

int bpf_program__set_attach_target(struct bpf_program *prog, int attach_prog_fd,
		const char *attach_func_name);
struct bpf_link *bpf_program__attach_perf_event_opts(const struct bpf_program *prog, int pfd,
		const struct bpf_perf_event_opts *opts);
struct bpf_link *bpf_program__attach_kprobe_opts(const struct bpf_program *prog,
		const char *func_name, const struct bpf_kprobe_opts *opts);
struct bpf_link *bpf_program__attach_kprobe_multi_opts(const struct bpf_program *prog,
		const char *pattern, const struct bpf_kprobe_multi_opts *opts);
struct bpf_link *bpf_program__attach_ksyscall(const struct bpf_program *prog,
		const char *syscall_name, const struct bpf_ksyscall_opts *opts);
struct bpf_link *bpf_program__attach_uprobe_opts(const struct bpf_program *prog, pid_t pid,
		const char *binary_path, size_t func_offset,
		const struct bpf_uprobe_opts *opts);
struct bpf_link *bpf_program__attach_usdt(const struct bpf_program *prog, pid_t pid,
		const char *binary_path, const char *usdt_provider, const char *usdt_name,
		const struct bpf_usdt_opts *opts);
struct bpf_link *bpf_program__attach_tracepoint_opts(const struct bpf_program *prog,
		const char *tp_category, const char *tp_name,
		const struct bpf_tracepoint_opts *opts);
struct bpf_link *bpf_program__attach_raw_tracepoint(const struct bpf_program *prog,
		const char *tp_name);
struct bpf_link *bpf_program__attach_trace_opts(const struct bpf_program *prog,
		const struct bpf_trace_opts *opts);
struct bpf_link *bpf_program__attach_lsm(const struct bpf_program *prog);
struct bpf_link *bpf_program__attach_freplace(const struct bpf_program *prog, int target_fd,
		const char *attach_func_name);
struct bpf_link *bpf_program__attach_iter(const struct bpf_program *prog,
		const struct bpf_iter_attach_opts *opts);
void bpf_link__disconnect(struct bpf_link *link);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
int bpf_map__set_inner_map_fd(struct bpf_map *map, int fd);
struct bpf_map *bpf_map__inner_map(struct bpf_map *map);
__u64 bpf_map__map_extra(const struct bpf_map *map);
int bpf_map__set_map_extra(struct bpf_map *map, __u64 map_extra);
__u32 bpf_map__numa_node(const struct bpf_map *map);
int bpf_map__set_numa_node(struct bpf_map *map, __u32 numa_node);
__u32 bpf_map__ifindex(const struct bpf_map *map);
int bpf_map__set_ifindex(struct bpf_map *map, __u32 ifindex);
int bpf_xdp_attach(int ifindex, int prog_fd, __u32 flags, const struct bpf_xdp_attach_opts *opts);
int bpf_xdp_detach(int ifindex, __u32 flags, const struct bpf_xdp_attach_opts *opts);
int bpf_xdp_query(int ifindex, int flags, struct bpf_xdp_query_opts *opts);
int bpf_tc_hook_create(struct bpf_tc_hook *hook);
int bpf_tc_hook_destroy(struct bpf_tc_hook *hook);
int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);
int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts);
int bpf_tc_query(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);

/* libbpf 1.2 */
int bpf_link__update_map(struct bpf_link *link, const struct bpf_map *map);

/* libbpf 1.3 */
struct bpf_link *bpf_program__attach_uprobe_multi(const struct bpf_program *prog, pid_t pid,
		const char *binary_path, const char *func_pattern,
		const struct bpf_uprobe_multi_opts *opts);

/* libbpf 1.4 */
struct bpf_link *bpf_program__attach_raw_tracepoint_opts(const struct bpf_program *prog,
		const char *tp_name, struct bpf_raw_tracepoint_opts *opts);
