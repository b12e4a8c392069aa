/*
 * What libbpf made is stored by C before Python sees the call return: an exception that a signal
 * handler raises at that moment loses nothing.  Opening and attaching give 0 or a negative errno;
 * closing may be repeated, by whoever was interrupted.
 */
struct plb_object {
	struct bpf_object *object;
};
int plb_object_open(struct plb_object *cell, const void *data, size_t size,
		    const struct bpf_object_open_opts *opts);
void plb_object_close(struct plb_object *cell);

/* A link: libbpf's, or the bare descriptor of one that libbpf has no call for.  A new cell is
 * { NULL, -1 }. */
struct plb_link {
	struct bpf_link *link;
	int fd;
};
int plb_link_destroy(struct plb_link *cell);
/* Let go of a link and leave it attached.  With keep, what holds it stays open: it is not pinned. */
int plb_link_disconnect(struct plb_link *cell, bool keep);
int plb_link_create(struct plb_link *cell, int prog_fd, int target_fd, enum bpf_attach_type type,
		    const struct bpf_link_create_opts *opts);

/* Links that are one attachment: made together, closed together.  The cells are the caller's. */
struct plb_links {
	struct plb_link *each;
	uint32_t count;
};
int plb_links_destroy(struct plb_links *links);

int plb_program_attach(struct plb_link *cell, const struct bpf_program *program);
int plb_struct_ops_attach(struct plb_link *cell, const struct bpf_map *map);
/* For a map with BPF_F_LINK and a libbpf before 1.2, which knows nothing of such links: what it
 * takes for attaching only puts the value into the map.  The link is then made by us. */
int plb_struct_ops_prepare(const struct bpf_map *map);
int plb_struct_ops_link(struct plb_link *cell, const struct bpf_map *map);
int plb_attach_perf_event(struct plb_link *cell, const struct bpf_program *program, int fd,
			  const struct bpf_perf_event_opts *opts);
int plb_attach_kprobe(struct plb_link *cell, const struct bpf_program *program,
		      const char *function, const struct bpf_kprobe_opts *opts);
int plb_attach_kprobe_multi(struct plb_link *cell, const struct bpf_program *program,
			    const char *pattern, const struct bpf_kprobe_multi_opts *opts);
int plb_attach_ksyscall(struct plb_link *cell, const struct bpf_program *program,
			const char *syscall, const struct bpf_ksyscall_opts *opts);
int plb_attach_uprobe(struct plb_link *cell, const struct bpf_program *program, pid_t pid,
		      const char *path, size_t offset, const struct bpf_uprobe_opts *opts);
int plb_attach_uprobe_multi(struct plb_link *cell, const struct bpf_program *program, pid_t pid,
			    const char *path, const char *pattern,
			    const struct bpf_uprobe_multi_opts *opts);
int plb_attach_usdt(struct plb_link *cell, const struct bpf_program *program, pid_t pid,
		    const char *path, const char *provider, const char *name,
		    const struct bpf_usdt_opts *opts);
int plb_attach_tracepoint(struct plb_link *cell, const struct bpf_program *program,
			  const char *category, const char *name,
			  const struct bpf_tracepoint_opts *opts);
int plb_attach_raw_tracepoint(struct plb_link *cell, const struct bpf_program *program,
			      const char *name);
int plb_attach_raw_tracepoint_opts(struct plb_link *cell, const struct bpf_program *program,
				   const char *name, struct bpf_raw_tracepoint_opts *opts);
int plb_attach_trace(struct plb_link *cell, const struct bpf_program *program,
		     const struct bpf_trace_opts *opts);
int plb_attach_lsm(struct plb_link *cell, const struct bpf_program *program);
int plb_attach_freplace(struct plb_link *cell, const struct bpf_program *program, int target_fd,
			const char *function);
int plb_attach_iter(struct plb_link *cell, const struct bpf_program *program,
		    const struct bpf_iter_attach_opts *opts);
