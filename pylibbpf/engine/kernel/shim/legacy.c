/* Attachments that no link holds.  Declared, with their rules, in decl/shim/legacy.h. */

int plb_prog_attach(struct plb_mark *mark, int prog_fd, int target, enum bpf_attach_type type,
		    const struct bpf_prog_attach_opts *opts)
{
	int rc = bpf_prog_attach_opts(prog_fd, target, type, opts);

	if (rc >= 0)
		mark->made = 1;
	return rc;
}

int plb_prog_detach(struct plb_mark *mark, int prog_fd, int target, enum bpf_attach_type type)
{
	int rc = bpf_prog_detach2(prog_fd, target, type);

	mark->made = 0;
	return rc;
}
