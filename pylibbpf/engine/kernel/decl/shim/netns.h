/*
 * Calls inside another network namespace.  netns is a descriptor of it, or -1 for the one that we
 * are in.  A thread of our own enters it, makes the call and ends there: no other thread is ever
 * in a namespace that is not its own, whatever interrupts Python.  -EPERM and -EINVAL from the
 * first two are setns(2)'s.
 */
int plb_netns_ifindex(int netns, const char *name);
/* The name goes to a buffer of 16 bytes (IF_NAMESIZE). */
int plb_netns_ifname(int netns, int ifindex, char *name);
/* As many "index name\0" as fit; gives the bytes that all of them need. */
int plb_netns_interfaces(int netns, char *text, size_t size);
int plb_netns_link_create(struct plb_link *cell, int netns, int prog_fd, int target,
			  enum bpf_attach_type type, const struct bpf_link_create_opts *opts);
