"""Builds ``pylibbpf.engine.kernel._libbpf``, the cffi extension of the kernel engine.

The extension is compiled from our own declarations (``decl/``) and our own C (``shim/``).
It needs neither libbpf nor its headers: every function of libbpf that ``decl/libbpf.h``,
``decl/bpf.h`` and ``decl/btf.h`` name becomes a static wrapper that calls a pointer found with
dlsym(3) when the engine is first used. Where the installed libbpf lacks the function, the
wrapper notes its index for the calling thread and returns a failure, and the engine raises
``NotSupportedError`` with the version that brought it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cffi import FFI
from pycparser import c_ast, c_generator, c_parser

DECL = Path(__file__).parent / "pylibbpf" / "engine" / "kernel" / "decl"
SHIM = DECL.parent / "shim"
LIBBPF_HEADERS = ("libbpf.h", "btf.h", "bpf.h")
# Our own C: shim/NAME.c, declared in decl/shim/NAME.h; each may use those before it.
SHIM_PARTS = (
    "core",
    "btfcheck",
    "fds",
    "links",
    "netns",
    "legacy",
    "devices",
    "sockets",
    "maps",
    "perf",
    "scalars",
    "streams",
    "perfbuf",
    "userring",
)

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SINCE = re.compile(r"/\* libbpf (\d+\.\d+) \*/")
# pycparser reads no #include: what the declarations take from the C library's headers.
_C_TYPES = """
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned int uint32_t;
typedef unsigned long uint64_t; typedef short int16_t; typedef int int32_t;
typedef unsigned long size_t; typedef _Bool bool;
"""
_INCLUDES = """
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
"""


def declarations(name: str) -> str:
    """The text of one header under ``decl/``, without comments."""
    return _COMMENT.sub("", (DECL / name).read_text())


def functions(name: str) -> list[tuple[str, str, c_ast.Decl]]:
    """Name, version that brought it, and declaration of each function of one header."""
    text = (DECL / name).read_text()
    marks = [(match.start(), match[1]) for match in _SINCE.finditer(text)]
    parsed = c_parser.CParser().parse(_C_TYPES + declarations("types.h") + declarations(name))
    found = []
    for node in parsed.ext:
        if isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
            place = re.search(rf"\b{node.name}\(", text)
            assert place is not None
            since = [version for start, version in marks if start < place.start()]
            if not since:
                raise SystemExit(f"{name}: no /* libbpf N.N */ mark above {node.name}")
            found.append((node.name, since[-1], node))
    return found


def wrappers() -> str:
    """C source: a wrapper for each function of libbpf, and the table of all of them."""
    generator = c_generator.CGenerator()
    lines = ["static __thread int plb_absent = -1;", ""]
    rows: list[str] = []
    for header in LIBBPF_HEADERS:
        for name, since, node in functions(header):
            params = [p for p in node.type.args.params if not _is_void(p)]
            names = ", ".join(p.name for p in params)
            result = node.type.type
            kind = generator.visit(
                c_ast.Typename(name=None, quals=[], align=[], type=_anonymous(result))
            )
            absent = _absent(kind)
            give = "" if kind == "void" else "return "
            pointer = f"plb_p_{name}"
            signature = generator.visit(node)
            lines += [
                f"static void *{pointer};",
                f"static {signature}",
                "{",
                f"\tif (!{pointer}) {{",
                f"\t\tplb_absent = {len(rows)};",
                "\t\terrno = ENOSYS;",
                f"\t\treturn{absent};",
                "\t}",
                f"\t{give}((__typeof__(&{name})){pointer})({names});",
                "}",
                "",
            ]
            rows.append(f'\t{{ "{name}", "{since}", &{pointer} }},')
    lines += [
        "static const struct {",
        "\tconst char *name;",
        "\tconst char *since;",
        "\tvoid **pointer;",
        "} plb_functions[] = {",
        *rows,
        "};",
        f"static const int plb_function_total = {len(rows)};",
        "",
    ]
    return "\n".join(lines)


def _is_void(param: c_ast.Node) -> bool:
    kind = getattr(getattr(param, "type", None), "type", None)
    return isinstance(kind, c_ast.IdentifierType) and kind.names == ["void"]


def _anonymous(node: c_ast.Node) -> c_ast.Node:
    """A return type without the name that the declaration gives it."""
    inner = node
    while isinstance(inner, c_ast.PtrDecl):
        inner = inner.type
    if isinstance(inner, c_ast.TypeDecl):
        inner.declname, kept = None, inner.declname
        try:
            text = c_generator.CGenerator().visit(node)
        finally:
            inner.declname = kept
        return c_ast.ID(text)
    return node


def _absent(kind: str) -> str:
    if kind == "void":
        return ""
    if kind.rstrip().endswith("*"):
        return " NULL"
    return " -ENOSYS" if kind == "int" else " 0"


def make() -> FFI:
    """The FFI object, ready to be compiled or handed to setuptools."""
    ffi = FFI()
    shim_headers = [f"shim/{name}.h" for name in SHIM_PARTS]
    for name in ("types.h", *LIBBPF_HEADERS, *shim_headers):
        ffi.cdef(declarations(name))
    ffi.set_source(
        "pylibbpf.engine.kernel._libbpf",
        "\n".join(
            (
                _INCLUDES,
                # linux/types.h may come in through a system header with types of the same name
                # but another spelling (unsigned long long); ours stay apart from it.
                "".join(
                    f"#define {t} plb_{t}\n" for t in ("__u8", "__u16", "__u32", "__u64", "__s32")
                ),
                declarations("types.h"),
                wrappers(),
                *(declarations(name) for name in shim_headers),
                *((SHIM / f"{name}.c").read_text() for name in SHIM_PARTS),
            )
        ),
        libraries=["dl", "pthread"],
        extra_compile_args=["-O2", "-std=gnu11", "-fvisibility=hidden"],
        # Free-threaded CPython has no stable ABI yet: it gets a build of its own.
        py_limited_api=_has_gil(),
        optional=True,
    )
    return ffi


def _has_gil() -> bool:
    import sysconfig

    return not sysconfig.get_config_var("Py_GIL_DISABLED")


ffibuilder = make()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(Path(__file__).parent), verbose="-v" in sys.argv)
