/*
 * Perf events: opened and attached in one call, since their descriptors are nobody's until a link
 * holds them.
 */

/* What to open, in the words of struct perf_event_attr; pid -1: every process. */
struct plb_perf_event {
	uint32_t type;
	uint64_t config;
	uint64_t config1;
	uint64_t config2;
	uint64_t sample; /* the period, or with `frequency` samples a second */
	bool frequency;
	bool inherit;
	bool exclude_kernel;
	bool exclude_user;
	pid_t pid;
};

/* On each of the CPUs (-1: any), with a link each.  If one fails, none stays: `failed` is its
 * index then, and `opened` says whether it was opened and then not attached. */
struct plb_perf_place {
	const int *cpus;
	uint32_t failed;
	bool opened;
};
int plb_attach_perf_events(struct plb_links *links, const struct bpf_program *program,
			   const struct plb_perf_event *event, struct plb_perf_place *place,
			   const struct bpf_perf_event_opts *opts);

/* To an event that is the caller's: by a copy of its descriptor, which the link closes. */
int plb_attach_perf_copy(struct plb_link *cell, const struct bpf_program *program, int fd,
			 const struct bpf_perf_event_opts *opts);
