/*
 * Descriptors that belong to no bpf_object, each stored in a cell before Python sees the call
 * return.  A new cell holds -1; closing may be repeated.  0 or a negative errno.
 */
void plb_fd_close(int *cell);
int plb_fd_open(int *cell, const char *path, int flags);
int plb_fd_open_pin(int *cell, const char *path, const struct bpf_obj_get_opts *opts);
int plb_fd_copy(int *cell, int fd);
int plb_fd_program(int *cell, uint32_t id);
int plb_fd_map(int *cell, uint32_t id);
int plb_fd_link(int *cell, uint32_t id);
int plb_fd_stats(int *cell, enum bpf_stats_type type);
int plb_fd_iter(int *cell, int link_fd);
