/* The search for libbpf, what it prints, and how calls are counted in and out.  build_ffi.py puts
 * the wrappers of libbpf's own functions before this file, with the table plb_functions[] and
 * plb_function_total. */

/* ---- the library ------------------------------------------------------------------------- */

typedef int (*plb_print_fn)(int level, const char *format, va_list arguments);

static void *plb_handle;
static char plb_open_error[512];
static plb_print_fn plb_previous_print;

static int plb_print(int level, const char *format, va_list arguments);

int plb_library_open(const char *path)
{
	plb_print_fn (*set_print)(plb_print_fn);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int i;

	if (!handle) {
		const char *why = dlerror();

		snprintf(plb_open_error, sizeof(plb_open_error), "%s", why ? why : "unknown");
		return -1;
	}
	set_print = (plb_print_fn (*)(plb_print_fn))dlsym(handle, "libbpf_set_print");
	if (!set_print || !dlsym(handle, "libbpf_major_version")) {
		snprintf(plb_open_error, sizeof(plb_open_error),
			 "%s: not libbpf 1.0 or later (no libbpf_major_version)", path);
		dlclose(handle);
		return -1;
	}
	for (i = 0; i < plb_function_total; i++)
		*plb_functions[i].pointer = dlsym(handle, plb_functions[i].name);
	plb_previous_print = set_print(plb_print);
	plb_handle = handle;
	return 0;
}

const char *plb_library_error(void)
{
	return plb_open_error;
}

const char *plb_library_path(void)
{
	Dl_info info;
	void *symbol = plb_handle ? dlsym(plb_handle, "libbpf_set_print") : NULL;

	return symbol && dladdr(symbol, &info) ? info.dli_fname : NULL;
}

int plb_absent_take(void)
{
	int index = plb_absent;

	plb_absent = -1;
	return index;
}

const char *plb_function_name(int index)
{
	return plb_functions[index].name;
}

const char *plb_function_since(int index)
{
	return plb_functions[index].since;
}

/* ---- what libbpf prints ------------------------------------------------------------------ */

/* libbpf_set_print is one for the process.  Only threads that are inside one of our calls
 * collect; whatever libbpf says elsewhere goes to the function that was set before ours. */
struct plb_capture {
	int level;
	char *text;
	size_t used;
	size_t size;
	struct plb_capture *outer;
};
static __thread struct plb_capture *plb_capturing;

static int plb_print(int level, const char *format, va_list arguments)
{
	struct plb_capture *capture = plb_capturing;
	va_list again;
	size_t need;
	int length;

	if (!capture)
		return plb_previous_print ? plb_previous_print(level, format, arguments) : 0;
	if (level > capture->level)
		return 0;
	va_copy(again, arguments);
	length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (length < 0)
		return length;
	need = capture->used + (size_t)length + 2;
	if (need > capture->size) {
		size_t size = need < 4096 ? 4096 : need * 2;
		char *text = realloc(capture->text, size);

		if (!text)
			return -ENOMEM;
		capture->text = text;
		capture->size = size;
	}
	capture->text[capture->used] = (char)('0' + level);
	vsnprintf(capture->text + capture->used + 1, (size_t)length + 1, format, arguments);
	capture->used = need;
	return length;
}

bool plb_capture_begin(int level)
{
	struct plb_capture *capture = calloc(1, sizeof(*capture));

	if (!capture)
		return false;
	capture->level = level;
	capture->outer = plb_capturing;
	plb_capturing = capture;
	return true;
}

char *plb_capture_end(size_t *size)
{
	struct plb_capture *capture = plb_capturing;
	char *text = capture->text;

	*size = capture->used;
	plb_capturing = capture->outer;
	free(capture);
	return text;
}

void plb_free(void *memory)
{
	free(memory);
}

/* ---- entering, leaving, closing ---------------------------------------------------------- */

/* A reader counts itself in before it looks at `closed`; the closer sets `closed` before it
 * looks at the count.  Both are sequentially consistent, so that one of them sees the other. */
static bool plb_enter(int *users, int *closed)
{
	__atomic_add_fetch(users, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(closed, __ATOMIC_SEQ_CST))
		return true;
	__atomic_sub_fetch(users, 1, __ATOMIC_SEQ_CST);
	return false;
}

static void plb_leave(int *users)
{
	__atomic_sub_fetch(users, 1, __ATOMIC_SEQ_CST);
}

/* True for the caller that closed it, after the last user has left. */
static bool plb_shut(int *users, int *closed)
{
	struct timespec pause = { 0, 50000 };

	if (__atomic_exchange_n(closed, 1, __ATOMIC_SEQ_CST))
		return false;
	while (__atomic_load_n(users, __ATOMIC_SEQ_CST) > 0)
		nanosleep(&pause, NULL);
	return true;
}
