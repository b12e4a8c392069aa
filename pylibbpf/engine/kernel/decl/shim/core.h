/*
 * Our own C (shim/, a header here for each file): what must not cost a Python call per event, what
 * must be safe against a close in another thread, and the search for libbpf itself.
 */

/* The library: found once, kept for the life of the process. */
int plb_library_open(const char *path);
const char *plb_library_error(void);
const char *plb_library_path(void);

/* A wrapper that found no function leaves its index here, for its own thread, and returns its
 * "absent" value; taking it clears it.  -1: none. */
int plb_absent_take(void);
const char *plb_function_name(int index);
const char *plb_function_since(int index);

/* What libbpf prints on this thread between begin and end: for each message a byte '0' + level,
 * the text and a NUL.  They nest, since a collected object or a signal handler may close another
 * object meanwhile.  False: no memory. */
bool plb_capture_begin(int level);
char *plb_capture_end(size_t *size);
void plb_free(void *memory);
