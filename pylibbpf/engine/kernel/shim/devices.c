/* XDP and tc.  Declared, with their rules, in decl/shim/devices.h. */

/* ---- XDP --------------------------------------------------------------------------------- */

struct plb_xdp {
	struct plb_mark *mark;
	int ifindex;
	int prog_fd;
	__u32 flags;
	const struct bpf_xdp_attach_opts *opts;
};

static int plb_call_xdp_attach(void *arguments)
{
	struct plb_xdp *a = arguments;
	int rc = bpf_xdp_attach(a->ifindex, a->prog_fd, a->flags, a->opts);

	if (rc >= 0)
		a->mark->made = 1;
	return rc;
}

int plb_xdp_attach(struct plb_mark *mark, int netns, int ifindex, int prog_fd, __u32 flags,
		   const struct bpf_xdp_attach_opts *opts)
{
	struct plb_xdp arguments = { mark, ifindex, prog_fd, flags, opts };

	return plb_visit(netns, plb_call_xdp_attach, &arguments);
}

static int plb_call_xdp_detach(void *arguments)
{
	struct plb_xdp *a = arguments;

	return bpf_xdp_detach(a->ifindex, a->flags, a->opts);
}

int plb_xdp_detach(struct plb_mark *mark, int netns, int ifindex, __u32 flags,
		   const struct bpf_xdp_attach_opts *opts)
{
	struct plb_xdp arguments = { mark, ifindex, -1, flags, opts };
	int rc = plb_visit(netns, plb_call_xdp_detach, &arguments);

	mark->made = 0;
	return rc;
}

struct plb_query {
	int ifindex;
	enum bpf_attach_type type;
	void *opts;
};

static int plb_call_xdp_query(void *arguments)
{
	struct plb_query *a = arguments;

	return bpf_xdp_query(a->ifindex, 0, a->opts);
}

int plb_xdp_query(int netns, int ifindex, struct bpf_xdp_query_opts *opts)
{
	struct plb_query arguments = { ifindex, 0, opts };

	return plb_visit(netns, plb_call_xdp_query, &arguments);
}

static int plb_call_mprog_query(void *arguments)
{
	struct plb_query *a = arguments;

	return bpf_prog_query_opts(a->ifindex, a->type, a->opts);
}

int plb_mprog_query(int netns, int ifindex, enum bpf_attach_type type,
		    struct bpf_prog_query_opts *opts)
{
	struct plb_query arguments = { ifindex, type, opts };

	return plb_visit(netns, plb_call_mprog_query, &arguments);
}

/* ---- the filters of tc ------------------------------------------------------------------- */

struct plb_filters {
	int ifindex;
	enum bpf_tc_attach_point direction;
	struct plb_tc_filter *found;
	int room;
	int total;
};

static const struct rtattr *plb_attribute(const struct rtattr *first, int length, int type)
{
	for (; RTA_OK(first, length); first = RTA_NEXT(first, length))
		if ((first->rta_type & NLA_TYPE_MASK) == type)
			return first;
	return NULL;
}

static void plb_note_filter(struct plb_filters *a, const struct nlmsghdr *message)
{
	const struct tcmsg *tc = NLMSG_DATA(message);
	const struct rtattr *first = (const void *)((const char *)tc + NLMSG_ALIGN(sizeof(*tc)));
	int length = (int)message->nlmsg_len - (int)NLMSG_SPACE(sizeof(*tc));
	const struct rtattr *kind = plb_attribute(first, length, TCA_KIND);
	const struct rtattr *options = plb_attribute(first, length, TCA_OPTIONS);
	struct plb_tc_filter *filter;

	/* Without a handle it is the head of a priority's filters, and no filter itself. */
	if (tc->tcm_ifindex != a->ifindex || !tc->tcm_handle || !kind)
		return;
	if (a->total < a->room) {
		filter = &a->found[a->total];
		memset(filter, 0, sizeof(*filter));
		filter->handle = tc->tcm_handle;
		filter->priority = TC_H_MAJ(tc->tcm_info) >> 16;
		snprintf(filter->kind, sizeof(filter->kind), "%.*s", (int)RTA_PAYLOAD(kind),
			 (const char *)RTA_DATA(kind));
		if (options && !strcmp(filter->kind, "bpf")) {
			const struct rtattr *id = plb_attribute(
				RTA_DATA(options), (int)RTA_PAYLOAD(options), TCA_BPF_ID);

			if (id && RTA_PAYLOAD(id) >= sizeof(filter->prog_id))
				memcpy(&filter->prog_id, RTA_DATA(id), sizeof(filter->prog_id));
		}
	}
	a->total++;
}

static int plb_dump_filters(struct plb_filters *a, int fd, char *buffer, size_t size)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg tc;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETTFILTER,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.tc = { .tcm_family = AF_UNSPEC,
			.tcm_ifindex = a->ifindex,
			.tcm_parent = TC_H_MAKE(TC_H_CLSACT, a->direction == BPF_TC_INGRESS ?
								     TC_H_MIN_INGRESS :
								     TC_H_MIN_EGRESS) },
	};

	if (send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	for (;;) {
		ssize_t got = recv(fd, buffer, size, 0);
		const struct nlmsghdr *message = (const void *)buffer;
		int left = (int)got;

		if (got < 0)
			return -errno;
		for (; NLMSG_OK(message, (unsigned int)left);
		     message = NLMSG_NEXT(message, left)) {
			if (message->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == RTM_NEWTFILTER)
				plb_note_filter(a, message);
		}
	}
}

/* Without a clsact qdisc there are none: the kernel answers with an empty dump. */
static int plb_call_filters(void *arguments)
{
	struct plb_filters *a = arguments;
	const size_t size = 1 << 16;
	char *buffer = malloc(size);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int rc = !buffer ? -ENOMEM : fd < 0 ? -errno : 0;

	a->total = 0;
	if (!rc)
		rc = plb_dump_filters(a, fd, buffer, size);
	if (fd >= 0)
		close(fd);
	free(buffer);
	return rc < 0 ? rc : a->total;
}

int plb_tc_filters(int netns, int ifindex, enum bpf_tc_attach_point direction,
		   struct plb_tc_filter *filters, int room)
{
	struct plb_filters arguments = { ifindex, direction, filters, room, 0 };

	return plb_visit(netns, plb_call_filters, &arguments);
}

/* ---- the clsact qdisc -------------------------------------------------------------------- */

struct plb_clsact {
	int *made;
	int ifindex;
};

static int plb_call_make_clsact(void *arguments)
{
	struct plb_clsact *a = arguments;
	struct bpf_tc_hook hook = { .sz = sizeof(hook),
				    .ifindex = a->ifindex,
				    .attach_point = BPF_TC_INGRESS };
	size_t said = plb_capturing ? plb_capturing->used : 0;
	int rc = bpf_tc_hook_create(&hook);

	if (!rc)
		*a->made = 1;
	if (rc != -EEXIST)
		return rc;
	/* That there is one already is nothing to warn of, which libbpf does. */
	if (plb_capturing)
		plb_capturing->used = said;
	return 0;
}

int plb_tc_make_clsact(int *made, int netns, int ifindex)
{
	struct plb_clsact arguments = { made, ifindex };

	return plb_visit(netns, plb_call_make_clsact, &arguments);
}

static int plb_call_drop_clsact(void *arguments)
{
	struct plb_clsact *a = arguments;
	struct bpf_tc_hook hook = { .sz = sizeof(hook),
				    .ifindex = a->ifindex,
				    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS };
	struct plb_filters in = { a->ifindex, BPF_TC_INGRESS, NULL, 0, 0 };
	struct plb_filters out = { a->ifindex, BPF_TC_EGRESS, NULL, 0, 0 };
	int rc = plb_call_filters(&in);

	if (!rc)
		rc = plb_call_filters(&out);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = bpf_tc_hook_destroy(&hook);
	return rc ? rc : 1;
}

int plb_tc_drop_clsact(int netns, int ifindex)
{
	struct plb_clsact arguments = { NULL, ifindex };

	return plb_visit(netns, plb_call_drop_clsact, &arguments);
}

/* ---- tc ---------------------------------------------------------------------------------- */

struct plb_tc {
	struct plb_mark *mark;
	const struct bpf_tc_hook *hook;
	struct bpf_tc_opts *opts;
};

static int plb_call_tc_attach(void *arguments)
{
	struct plb_tc *a = arguments;
	int rc = bpf_tc_attach(a->hook, a->opts);

	if (rc >= 0)
		a->mark->made = 1;
	return rc;
}

int plb_tc_attach(struct plb_mark *mark, int netns, const struct bpf_tc_hook *hook,
		  struct bpf_tc_opts *opts)
{
	struct plb_tc arguments = { mark, hook, opts };

	return plb_visit(netns, plb_call_tc_attach, &arguments);
}

static int plb_call_tc_detach(void *arguments)
{
	struct plb_tc *a = arguments;
	struct bpf_tc_opts there = { .sz = sizeof(there),
				     .handle = a->opts->handle,
				     .priority = a->opts->priority };
	int rc = bpf_tc_query(a->hook, &there);

	if (rc < 0)
		return rc;
	if (there.prog_id != a->opts->prog_id)
		return -ENOENT;
	/* What the query found are results, which detaching takes for arguments. */
	there.prog_fd = there.prog_id = there.flags = 0;
	return bpf_tc_detach(a->hook, &there);
}

int plb_tc_detach(struct plb_mark *mark, int netns, const struct bpf_tc_hook *hook, __u32 handle,
		  __u32 priority, __u32 prog_id)
{
	struct bpf_tc_opts opts = { .sz = sizeof(opts),
				    .prog_id = prog_id,
				    .handle = handle,
				    .priority = priority };
	struct plb_tc arguments = { mark, hook, &opts };
	int rc = plb_visit(netns, plb_call_tc_detach, &arguments);

	mark->made = 0;
	return rc;
}
