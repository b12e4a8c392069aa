/* Perf events.  Declared, with their rules, in decl/shim/perf.h. */

static int plb_perf_event_open(const struct plb_perf_event *event, int cpu)
{
	struct perf_event_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	attr.type = event->type;
	attr.config = event->config;
	attr.config1 = event->config1;
	attr.config2 = event->config2;
	attr.freq = event->frequency;
	attr.sample_period = event->sample; /* or sample_freq: they share their place */
	attr.inherit = event->inherit;
	attr.exclude_kernel = event->exclude_kernel;
	attr.exclude_user = event->exclude_user;
	attr.disabled = 1; /* the link enables it, once the program is there */
	fd = (int)syscall(__NR_perf_event_open, &attr, event->pid, cpu, -1,
			  PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Like bpf_program__attach_perf_event_opts(), but takes the descriptor in every case. */
static int plb_perf_take(struct plb_link *cell, const struct bpf_program *program, int fd,
			 const struct bpf_perf_event_opts *opts)
{
	int rc = plb_attach_perf_event(cell, program, fd, opts);

	if (rc < 0)
		close(fd);
	return rc;
}

int plb_attach_perf_events(struct plb_links *links, const struct bpf_program *program,
			   const struct plb_perf_event *event, struct plb_perf_place *place,
			   const struct bpf_perf_event_opts *opts)
{
	uint32_t i;

	for (i = 0; i < links->count; i++) {
		int rc = plb_perf_event_open(event, place->cpus[i]);

		place->failed = i;
		place->opened = rc >= 0;
		if (rc >= 0)
			rc = plb_perf_take(&links->each[i], program, rc, opts);
		if (rc < 0) {
			plb_links_destroy(links);
			return rc;
		}
	}
	return 0;
}

int plb_attach_perf_copy(struct plb_link *cell, const struct bpf_program *program, int fd,
			 const struct bpf_perf_event_opts *opts)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy < 0 ? -errno : plb_perf_take(cell, program, copy, opts);
}
