/* XDP and tc at interfaces of any network namespace; the rules are those of netns.h and legacy.h. */
int plb_xdp_attach(struct plb_mark *mark, int netns, int ifindex, int prog_fd, __u32 flags,
		   const struct bpf_xdp_attach_opts *opts);
int plb_xdp_detach(struct plb_mark *mark, int netns, int ifindex, __u32 flags,
		   const struct bpf_xdp_attach_opts *opts);
int plb_xdp_query(int netns, int ifindex, struct bpf_xdp_query_opts *opts);
int plb_mprog_query(int netns, int ifindex, enum bpf_attach_type type,
		    struct bpf_prog_query_opts *opts);

/* A filter of tc, as a dump shows it; prog_id is 0 for those that are no BPF programs. */
struct plb_tc_filter {
	__u32 handle;
	__u32 priority;
	__u32 prog_id;
	char kind[16];
};
/* Makes the interface's clsact qdisc; *made is set if there was none. */
int plb_tc_make_clsact(int *made, int netns, int ifindex);
/* Removes the clsact qdisc if it has no filter: 1 if it did, 0 if it has some. */
int plb_tc_drop_clsact(int netns, int ifindex);
int plb_tc_attach(struct plb_mark *mark, int netns, const struct bpf_tc_hook *hook,
		  struct bpf_tc_opts *opts);
/* -ENOENT if it is not that program that is there by now. */
int plb_tc_detach(struct plb_mark *mark, int netns, const struct bpf_tc_hook *hook, __u32 handle,
		  __u32 priority, __u32 prog_id);
/* Fills up to `room` filters of a direction; gives how many there are. */
int plb_tc_filters(int netns, int ifindex, enum bpf_tc_attach_point direction,
		   struct plb_tc_filter *filters, int room);
