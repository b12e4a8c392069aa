/* Objects, and links of every kind.  Declared, with their rules, in decl/shim/links.h. */

/* ---- objects and links ------------------------------------------------------------------- */

int plb_object_open(struct plb_object *cell, const void *data, size_t size,
		    const struct bpf_object_open_opts *opts)
{
	cell->object = bpf_object__open_mem(data, size, opts);
	return cell->object ? 0 : -errno;
}

void plb_object_close(struct plb_object *cell)
{
	struct bpf_object *object = __atomic_exchange_n(&cell->object, NULL, __ATOMIC_SEQ_CST);

	if (object)
		bpf_object__close(object);
}

int plb_link_destroy(struct plb_link *cell)
{
	struct bpf_link *link = __atomic_exchange_n(&cell->link, NULL, __ATOMIC_SEQ_CST);
	int fd = __atomic_exchange_n(&cell->fd, -1, __ATOMIC_SEQ_CST);

	if (fd >= 0)
		close(fd);
	return link ? bpf_link__destroy(link) : 0;
}

int plb_links_destroy(struct plb_links *links)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < links->count; i++) {
		int failed = plb_link_destroy(&links->each[i]);

		rc = rc ? rc : failed;
	}
	return rc;
}

int plb_link_disconnect(struct plb_link *cell, bool keep)
{
	struct bpf_link *link = __atomic_exchange_n(&cell->link, NULL, __ATOMIC_SEQ_CST);
	int fd = __atomic_exchange_n(&cell->fd, -1, __ATOMIC_SEQ_CST);

	if (fd >= 0 && !keep)
		close(fd);
	if (!link)
		return 0;
	/* A pinned link's detaching is no more than the closing of its descriptor. */
	if (keep)
		bpf_link__disconnect(link);
	return bpf_link__destroy(link);
}

int plb_link_create(struct plb_link *cell, int prog_fd, int target_fd, enum bpf_attach_type type,
		    const struct bpf_link_create_opts *opts)
{
	int fd = bpf_link_create(prog_fd, target_fd, type, opts);

	if (fd < 0)
		return fd;
	cell->fd = fd;
	return 0;
}

/* ---- attaching --------------------------------------------------------------------------- */

#define PLB_ATTACH(cell, call)                      \
	do {                                        \
		(cell)->link = (call);              \
		return (cell)->link ? 0 : -errno;   \
	} while (0)

int plb_program_attach(struct plb_link *cell, const struct bpf_program *program)
{
	PLB_ATTACH(cell, bpf_program__attach(program));
}

int plb_struct_ops_attach(struct plb_link *cell, const struct bpf_map *map)
{
	PLB_ATTACH(cell, bpf_map__attach_struct_ops(map));
}

int plb_struct_ops_prepare(const struct bpf_map *map)
{
	struct bpf_link *link;

	/* A libbpf that makes links would register the map here. */
	if (plb_p_bpf_link__update_map)
		return -EOPNOTSUPP;
	link = bpf_map__attach_struct_ops(map);
	if (!link)
		return errno == EBUSY ? 0 : -errno; /* the value is in the map already */
	bpf_link__disconnect(link);
	return bpf_link__destroy(link);
}

int plb_struct_ops_link(struct plb_link *cell, const struct bpf_map *map)
{
	int rc = plb_struct_ops_prepare(map);

	if (rc)
		return rc;
	/* 44: BPF_STRUCT_OPS of enum bpf_attach_type */
	return plb_link_create(cell, bpf_map__fd(map), 0, (enum bpf_attach_type)44, NULL);
}

int plb_attach_perf_event(struct plb_link *cell, const struct bpf_program *program, int fd,
			  const struct bpf_perf_event_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_perf_event_opts(program, fd, opts));
}

int plb_attach_kprobe(struct plb_link *cell, const struct bpf_program *program,
		      const char *function, const struct bpf_kprobe_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_kprobe_opts(program, function, opts));
}

int plb_attach_kprobe_multi(struct plb_link *cell, const struct bpf_program *program,
			    const char *pattern, const struct bpf_kprobe_multi_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_kprobe_multi_opts(program, pattern, opts));
}

int plb_attach_ksyscall(struct plb_link *cell, const struct bpf_program *program,
			const char *syscall, const struct bpf_ksyscall_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_ksyscall(program, syscall, opts));
}

int plb_attach_uprobe(struct plb_link *cell, const struct bpf_program *program, pid_t pid,
		      const char *path, size_t offset, const struct bpf_uprobe_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_uprobe_opts(program, pid, path, offset, opts));
}

int plb_attach_uprobe_multi(struct plb_link *cell, const struct bpf_program *program, pid_t pid,
			    const char *path, const char *pattern,
			    const struct bpf_uprobe_multi_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_uprobe_multi(program, pid, path, pattern, opts));
}

int plb_attach_usdt(struct plb_link *cell, const struct bpf_program *program, pid_t pid,
		    const char *path, const char *provider, const char *name,
		    const struct bpf_usdt_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_usdt(program, pid, path, provider, name, opts));
}

int plb_attach_tracepoint(struct plb_link *cell, const struct bpf_program *program,
			  const char *category, const char *name,
			  const struct bpf_tracepoint_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_tracepoint_opts(program, category, name, opts));
}

int plb_attach_raw_tracepoint(struct plb_link *cell, const struct bpf_program *program,
			      const char *name)
{
	PLB_ATTACH(cell, bpf_program__attach_raw_tracepoint(program, name));
}

int plb_attach_raw_tracepoint_opts(struct plb_link *cell, const struct bpf_program *program,
				   const char *name, struct bpf_raw_tracepoint_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_raw_tracepoint_opts(program, name, opts));
}

int plb_attach_trace(struct plb_link *cell, const struct bpf_program *program,
		     const struct bpf_trace_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_trace_opts(program, opts));
}

int plb_attach_lsm(struct plb_link *cell, const struct bpf_program *program)
{
	PLB_ATTACH(cell, bpf_program__attach_lsm(program));
}

int plb_attach_freplace(struct plb_link *cell, const struct bpf_program *program, int target_fd,
			const char *function)
{
	PLB_ATTACH(cell, bpf_program__attach_freplace(program, target_fd, function));
}

int plb_attach_iter(struct plb_link *cell, const struct bpf_program *program,
		    const struct bpf_iter_attach_opts *opts)
{
	PLB_ATTACH(cell, bpf_program__attach_iter(program, opts));
}
