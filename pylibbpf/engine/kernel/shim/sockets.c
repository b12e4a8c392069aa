/* Programs of sockets and of network namespaces.  Declared, with their rules, in
 * decl/shim/sockets.h. */

int plb_socket_attach(struct plb_mark *mark, int fd, int option, int prog_fd)
{
	if (setsockopt(fd, SOL_SOCKET, option, &prog_fd, sizeof(prog_fd)))
		return -errno;
	mark->made = 1;
	return 0;
}

int plb_socket_detach(struct plb_mark *mark, int fd, int option)
{
	int ignored = 0;
	int rc = setsockopt(fd, SOL_SOCKET, option, &ignored, sizeof(ignored)) ? -errno : 0;

	mark->made = 0;
	return rc;
}

struct plb_netns_program {
	struct plb_mark *mark;
	int prog_fd;
	enum bpf_attach_type type;
};

static int plb_call_prog_attach(void *arguments)
{
	struct plb_netns_program *a = arguments;

	return plb_prog_attach(a->mark, a->prog_fd, 0, a->type, NULL);
}

int plb_netns_prog_attach(struct plb_mark *mark, int netns, int prog_fd,
			  enum bpf_attach_type type)
{
	struct plb_netns_program arguments = { mark, prog_fd, type };

	return plb_visit(netns, plb_call_prog_attach, &arguments);
}

static int plb_call_prog_detach(void *arguments)
{
	struct plb_netns_program *a = arguments;

	return plb_prog_detach(a->mark, a->prog_fd, 0, a->type);
}

int plb_netns_prog_detach(struct plb_mark *mark, int netns, int prog_fd,
			  enum bpf_attach_type type)
{
	struct plb_netns_program arguments = { mark, prog_fd, type };

	return plb_visit(netns, plb_call_prog_detach, &arguments);
}
