/* Calls inside another network namespace.  Declared, with their rules, in decl/shim/netns.h. */

struct plb_visit {
	int netns;
	int (*call)(void *arguments);
	void *arguments;
	struct plb_capture *capture;
	int absent;
	int rc;
};

static void *plb_visitor(void *data)
{
	struct plb_visit *visit = data;

	if (setns(visit->netns, CLONE_NEWNET)) {
		visit->rc = -errno;
		return NULL;
	}
	plb_capturing = visit->capture;
	visit->rc = visit->call(visit->arguments);
	visit->absent = plb_absent;
	return NULL;
}

/* The caller waits, so its capture is used by one thread at a time. */
static int plb_visit(int netns, int (*call)(void *arguments), void *arguments)
{
	struct plb_visit visit = { netns, call, arguments, plb_capturing, -1, 0 };
	sigset_t all, before;
	pthread_t thread;
	int rc;

	if (netns < 0)
		return call(arguments);
	/* Signals are for threads that know Python. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, plb_visitor, &visit);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return -rc;
	pthread_join(thread, NULL);
	if (visit.absent >= 0)
		plb_absent = visit.absent;
	return visit.rc;
}

/* ---- interfaces -------------------------------------------------------------------------- */

struct plb_ifname {
	int index;
	char *name;
};

static int plb_call_ifindex(void *arguments)
{
	unsigned int index = if_nametoindex(((struct plb_ifname *)arguments)->name);

	return index ? (int)index : -errno;
}

int plb_netns_ifindex(int netns, const char *name)
{
	struct plb_ifname arguments = { 0, (char *)name };

	return plb_visit(netns, plb_call_ifindex, &arguments);
}

static int plb_call_ifname(void *arguments)
{
	struct plb_ifname *a = arguments;

	return if_indextoname((unsigned int)a->index, a->name) ? 0 : -errno;
}

int plb_netns_ifname(int netns, int ifindex, char *name)
{
	struct plb_ifname arguments = { ifindex, name };

	return plb_visit(netns, plb_call_ifname, &arguments);
}

struct plb_interfaces {
	char *text;
	size_t size;
};

static int plb_call_interfaces(void *arguments)
{
	struct plb_interfaces *a = arguments;
	struct if_nameindex *all = if_nameindex(), *each;
	size_t used = 0;

	if (!all)
		return -errno;
	for (each = all; each->if_index; each++) {
		size_t room = used < a->size ? a->size - used : 0;

		used += (size_t)snprintf(room ? a->text + used : NULL, room, "%u %s",
					 each->if_index, each->if_name) + 1;
	}
	if_freenameindex(all);
	return (int)used;
}

int plb_netns_interfaces(int netns, char *text, size_t size)
{
	struct plb_interfaces arguments = { text, size };

	return plb_visit(netns, plb_call_interfaces, &arguments);
}

/* ---- links ------------------------------------------------------------------------------- */

struct plb_link_arguments {
	struct plb_link *cell;
	int prog_fd;
	int target;
	enum bpf_attach_type type;
	const struct bpf_link_create_opts *opts;
};

static int plb_call_link_create(void *arguments)
{
	struct plb_link_arguments *a = arguments;

	return plb_link_create(a->cell, a->prog_fd, a->target, a->type, a->opts);
}

int plb_netns_link_create(struct plb_link *cell, int netns, int prog_fd, int target,
			  enum bpf_attach_type type, const struct bpf_link_create_opts *opts)
{
	struct plb_link_arguments arguments = { cell, prog_fd, target, type, opts };

	return plb_visit(netns, plb_call_link_create, &arguments);
}
