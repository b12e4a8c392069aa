/*
 * Programs of one socket (SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF), and programs that the kernel
 * attaches to the caller's network namespace.  Marks are as in legacy.h; netns is a descriptor of
 * the namespace, or -1 for the one that we are in, as in netns.h.
 */
int plb_socket_attach(struct plb_mark *mark, int fd, int option, int prog_fd);
int plb_socket_detach(struct plb_mark *mark, int fd, int option);
int plb_netns_prog_attach(struct plb_mark *mark, int netns, int prog_fd,
			  enum bpf_attach_type type);
int plb_netns_prog_detach(struct plb_mark *mark, int netns, int prog_fd,
			  enum bpf_attach_type type);
