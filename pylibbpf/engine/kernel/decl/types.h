/*
 * Types that libbpf's functions use.  Opaque handles stay opaque; enumerations of the kernel's
 * uapi are declared with their zero only, because their values are data (pylibbpf/uapi), and
 * only their representation (unsigned int) matters for a call.
 */
typedef uint8_t __u8;
typedef uint16_t __u16;
typedef uint32_t __u32;
typedef uint64_t __u64;
typedef int32_t __s32;

struct bpf_object;
struct bpf_program;
struct bpf_map;
struct bpf_link;
struct btf;
struct perf_buffer;

enum bpf_prog_type { BPF_PROG_TYPE_UNSPEC = 0 };
enum bpf_attach_type { BPF_CGROUP_INET_INGRESS = 0 };
enum bpf_map_type { BPF_MAP_TYPE_UNSPEC = 0 };

/* include/uapi/linux/bpf.h */
struct bpf_insn {
	__u8 code;
	__u8 regs; /* dst_reg:4, src_reg:4 */
	int16_t off;
	__s32 imm;
};

/* Every opts struct is declared in full, as of libbpf 1.7; .sz says how much of it is ours. */

struct bpf_object_open_opts {
	size_t sz;
	const char *object_name;
	bool relaxed_maps;
	const char *pin_root_path;
	__u32 reserved_attach_prog_fd;
	const char *kconfig;
	const char *btf_custom_path;
	char *kernel_log_buf;
	size_t kernel_log_size;
	__u32 kernel_log_level;
	const char *bpf_token_path;
};

struct bpf_map_batch_opts {
	size_t sz;
	__u64 elem_flags;
	__u64 flags;
};

struct perf_buffer_opts;

struct bpf_test_run_opts {
	size_t sz;
	const void *data_in;
	void *data_out;
	__u32 data_size_in;
	__u32 data_size_out;
	const void *ctx_in;
	void *ctx_out;
	__u32 ctx_size_in;
	__u32 ctx_size_out;
	__u32 retval;
	int repeat;
	__u32 duration;
	__u32 flags;
	__u32 cpu;
	__u32 batch_size;
};

typedef void (*perf_buffer_sample_fn)(void *ctx, int cpu, void *data, __u32 size);
typedef void (*perf_buffer_lost_fn)(void *ctx, int cpu, __u64 cnt);
