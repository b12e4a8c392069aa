/* Descriptors that belong to no bpf_object.  Declared, with their rules, in decl/shim/fds.h. */

void plb_fd_close(int *cell)
{
	int fd = __atomic_exchange_n(cell, -1, __ATOMIC_SEQ_CST);

	if (fd >= 0)
		close(fd);
}

#define PLB_FD(cell, call)           \
	do {                         \
		int fd = (call);     \
		if (fd < 0)          \
			return fd;   \
		*(cell) = fd;        \
		return 0;            \
	} while (0)

int plb_fd_open(int *cell, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*cell = fd;
	return 0;
}

int plb_fd_open_pin(int *cell, const char *path, const struct bpf_obj_get_opts *opts)
{
	PLB_FD(cell, bpf_obj_get_opts(path, opts));
}

int plb_fd_copy(int *cell, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	*cell = copy;
	return 0;
}

int plb_fd_program(int *cell, uint32_t id)
{
	PLB_FD(cell, bpf_prog_get_fd_by_id(id));
}

int plb_fd_map(int *cell, uint32_t id)
{
	PLB_FD(cell, bpf_map_get_fd_by_id(id));
}

int plb_fd_link(int *cell, uint32_t id)
{
	PLB_FD(cell, bpf_link_get_fd_by_id(id));
}

int plb_fd_stats(int *cell, enum bpf_stats_type type)
{
	PLB_FD(cell, bpf_enable_stats(type));
}

int plb_fd_iter(int *cell, int link_fd)
{
	PLB_FD(cell, bpf_iter_create(link_fd));
}
