"""Finds libbpf, once for the process, and says what it is."""

from __future__ import annotations

import os
from _thread import allocate_lock  # threading takes 0.7 MB, and every load would pay it

from pylibbpf.errors import NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.ability import Library

ENVIRONMENT = "PYLIBBPF_LIBBPF"
SONAME = "libbpf.so.1"

_lock = allocate_lock()
_opened: tuple[Any, Any] | None = None


def load() -> tuple[Any, Any]:
    """``(ffi, lib)`` of the extension, with libbpf found and resolved.

    libbpf.so.1 is looked for under the name in the environment variable ``PYLIBBPF_LIBBPF`` (and
    only there if it is set), then as the system's, then beside the extension.

    Raises:
        NotSupportedError: the extension was not built, or no libbpf 1.0 or later was found.
    """
    global _opened
    opened = _opened
    if opened is None:
        with _lock:
            if _opened is None:
                _opened = _open()
            opened = _opened
    return opened


def version() -> tuple[int, int]:
    """The version of the libbpf in use, as (major, minor)."""
    _, lib = load()
    return lib.libbpf_major_version(), lib.libbpf_minor_version()


def path() -> str:
    """The file that the libbpf in use was loaded from."""
    ffi, lib = load()
    found = lib.plb_library_path()
    return os.fsdecode(ffi.string(found)) if found else SONAME


def describe() -> Library:
    """What there is of extension and libbpf, and what is missing."""
    from pylibbpf.ability import Library

    try:
        load()
    except NotSupportedError as error:
        return Library(_extension_built(), None, None, str(error))
    return Library(True, path(), version(), "")


def _extension_built() -> bool:
    try:
        import pylibbpf.engine.kernel._libbpf  # noqa: F401  # whether it can be
    except ImportError:
        return False
    return True


def _open() -> tuple[Any, Any]:
    try:
        from pylibbpf.engine.kernel._libbpf import ffi, lib
    except ImportError as error:
        raise NotSupportedError(
            "the kernel engine needs the extension pylibbpf.engine.kernel._libbpf, which was not "
            f"built when pylibbpf was installed ({error}); install a C compiler and Python.h "
            "(Debian: apt-get install gcc python3-dev) and install pylibbpf-cffi again"
        ) from None
    tried = []
    for candidate in _candidates():
        if lib.plb_library_open(os.fsencode(candidate)) == 0:
            return ffi, lib
        if _load_neighbours(candidate) and lib.plb_library_open(os.fsencode(candidate)) == 0:
            return ffi, lib
        tried.append(os.fsdecode(ffi.string(lib.plb_library_error())))
    named = os.environ.get(ENVIRONMENT)
    mend = (
        f"{ENVIRONMENT} names a file that is no libbpf: correct it, or unset it for the system's"
        if named
        else f"install it (Debian: apt-get install libbpf1), or name the file in {ENVIRONMENT}"
    )
    raise NotSupportedError(f"libbpf 1.0 or later was not found ({'; '.join(tried)}); {mend}")


def _load_neighbours(candidate: str) -> bool:
    """Load what libbpf needs from libbpf's own folder, where the system has it not."""
    folder = os.path.dirname(candidate)
    found = [
        path
        for name in ("libz.so.1", "libelf.so.1")
        if folder and os.path.exists(path := os.path.join(folder, name))
    ]
    if found:
        import ctypes  # not at the top: it costs memory, and hardly any host comes here

        try:
            for path in found:
                ctypes.CDLL(path)
        except OSError:
            return False
    return bool(found)


def _candidates() -> list[str]:
    named = os.environ.get(ENVIRONMENT)
    if named:
        return [named]
    folder = os.path.dirname(os.path.abspath(__file__))
    beside = os.path.join(folder, SONAME)
    return [SONAME, beside] if os.path.exists(beside) else [SONAME]
