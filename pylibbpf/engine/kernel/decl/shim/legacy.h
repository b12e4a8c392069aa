/*
 * Attachments that no link of the kernel's holds.  The mark is set before Python sees the call
 * return, and taken away by the call that detaches, whether the kernel did it or refused.
 */
struct plb_mark {
	int made;
};
int plb_prog_attach(struct plb_mark *mark, int prog_fd, int target, enum bpf_attach_type type,
		    const struct bpf_prog_attach_opts *opts);
int plb_prog_detach(struct plb_mark *mark, int prog_fd, int target, enum bpf_attach_type type);
