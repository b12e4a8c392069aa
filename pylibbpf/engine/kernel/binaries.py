"""Programs and libraries to be probed: where they are, and why a probe does not go there."""

from __future__ import annotations

import errno
import os
import sys

from pylibbpf.errors import BpfError, ElfError
from pylibbpf.loader.binary import Binary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_offsets", "find", "places", "why_no_function", "why_no_usdt", "why_unclear"]

_NEAR = 3


def find(binary: str, pid: int | None, program: str) -> str:
    """The path of a binary: as it is, or by the name of a library or program.

    A library of a process is searched for among what that process has mapped, any other in the
    folders of the dynamic linker; a program on PATH.

    Raises:
        BpfError: ENOENT, there is none; ESRCH, there is no such process.
    """
    who = os.getpid() if pid == 0 else pid
    if who is not None and not os.path.exists(f"/proc/{who}"):
        raise BpfError(errno.ESRCH, "attach", program, f"there is no process {who}")
    if "/" in binary:
        if not os.path.exists(binary):
            why = f"there is no file {binary}"
            if who is not None and os.path.exists(f"/proc/{who}/root{binary}"):
                why += f" (but process {who} sees it, as /proc/{who}/root{binary})"
            raise BpfError(errno.ENOENT, "attach", program, why)
        return binary
    mapped = _mapped(who) if who is not None and _is_library(binary) else None
    if mapped is not None:
        for path in mapped:
            if _is_named(os.path.basename(path), binary) or _is_older(path, binary):
                inside = f"/proc/{who}/root{path}"
                return inside if os.path.exists(inside) else path
        # Not the one of this machine instead: the process may be in a container with its own.
        why = f"process {who} has mapped no library {binary} (by now): give its path"
        raise BpfError(errno.ENOENT, "attach", program, why)
    folders = _library_folders() if _is_library(binary) else _program_folders()
    for folder in folders:
        found = _in_folder(folder, binary)
        if found is not None:
            return found
    why = f"there is no file {binary!r}; it was searched for in {', '.join(folders)}"
    raise BpfError(errno.ENOENT, "attach", program, why)


def _is_library(name: str) -> bool:
    return name.startswith("lib") or ".so" in name


def _is_named(file: str, name: str) -> bool:
    """Whether a file is what a name means: ``libc`` is ``libc.so.6``."""
    return file == name or (".so" not in name and file.startswith(f"{name}.so"))


def _is_older(path: str, name: str) -> bool:
    """Whether it is a file that ``libc.so.6`` is a link to: ``libc-2.31.so``."""
    stem, _, rest = os.path.basename(path).partition("-")
    return rest[:1].isdigit() and ".so" in rest and name.partition(".so")[0] == stem


def _mapped(pid: int) -> list[str] | None:
    """The files that a process has mapped; None where this process may not see them."""
    found: dict[str, None] = {}
    try:
        with open(f"/proc/{pid}/maps", errors="surrogateescape") as file:
            for line in file:
                path = line.split(maxsplit=5)[5:]
                if path and path[0].startswith("/"):
                    found[path[0].rstrip("\n")] = None
    except OSError:
        return None
    return list(found)


def _library_folders() -> list[str]:
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    triplet = getattr(sys.implementation, "_multiarch", "")
    for root in ("/lib", "/usr/lib"):
        folders += [f"{root}/{triplet}" if triplet else "", f"{root}64", root]
    folders.append("/usr/local/lib")
    return list(dict.fromkeys(folder for folder in folders if os.path.isdir(folder)))


def _program_folders() -> list[str]:
    path = os.environ.get("PATH") or os.defpath
    return list(dict.fromkeys(folder for folder in path.split(":") if os.path.isdir(folder)))


def _in_folder(folder: str, name: str) -> str | None:
    exact = os.path.join(folder, name)
    if os.path.isfile(exact):
        return exact
    if not _is_library(name):
        return None
    # libc.so.6 before libc.so, which may be a text for the linker.
    files = sorted((each for each in os.listdir(folder) if _is_named(each, name)), key=len)
    for file in reversed(files):
        path = os.path.join(folder, file)
        with open(path, "rb") as opened:
            if opened.read(4) == b"\x7fELF":
                return path
    return None


def places(path: str, names: tuple[str, ...], program: str) -> list[list[int]]:
    """The places of each function in a file: several where versions share the name.

    libbpf 1.4 does not find names that have versions, as all of the C library have.

    Raises:
        BpfError: ENOENT, there is no such function; ENOEXEC, the file is not ELF.
    """
    why = why_no_function(path, names)
    if why is not None:
        raise BpfError(errno.ENOENT, "attach", program, why)
    with Binary(path) as binary:
        functions = [each for each in binary.functions() if not each.indirect]
    return [sorted({each.offset for each in functions if each.name == name}) for name in names]


# ---- why not


def check_offsets(path: str, offsets: tuple[int, ...], program: str) -> None:
    """Refuse offsets that are outside the code: the kernel takes them, and they never strike.

    Raises:
        BpfError: EINVAL, one is outside; ENOEXEC, the file is not ELF.
    """
    try:
        with Binary(path) as binary:
            code = binary.code()
    except ElfError as error:
        raise BpfError(errno.ENOEXEC, "attach", program, str(error)) from None
    except OSError as error:
        raise BpfError(
            error.errno or errno.EIO, "attach", program, f"{path} cannot be read"
        ) from None
    for offset in offsets:
        if not any(part.offset <= offset < part.offset + part.size for part in code):
            parts = ", ".join(f"{each.offset:#x}-{each.offset + each.size:#x}" for each in code)
            raise BpfError(
                errno.EINVAL,
                "attach",
                program,
                f"offset {offset:#x} is outside the code of {path} (that is at {parts})",
            )


def why_no_function(path: str, names: tuple[str, ...], pattern: str | None = None) -> str | None:
    """Why a probe on functions of a file fails, from the file's symbols; None if they are there."""
    try:
        with Binary(path) as binary:
            known = {each.name: each.indirect for each in binary.functions()}
            stripped = binary.stripped
    except ElfError as error:
        return str(error)
    except OSError as error:
        return f"{path}: {error.strerror}"
    hint = (
        "; the file is stripped: only functions that it exports have names, others are to be"
        " given by their offset"
        if stripped
        else ""
    )
    if pattern is not None:
        from fnmatch import fnmatchcase

        if any(fnmatchcase(name, pattern) for name in known):
            return None
        return f"no function of {path} fits {pattern!r}{hint}"
    missing = [name for name in names if name not in known]
    indirect = [name for name in names if known.get(name)]
    if indirect and not missing:
        return (
            f"{indirect[0]} of {path} is chosen when the program starts, among several for"
            " different processors (IFUNC): probe the one that is taken, by its name or offset"
        )
    if not missing:
        return None
    near = _near(missing[0], known)
    return f"{path} has no function {', '.join(missing)}{near}{hint}"


def why_unclear(path: str, name: str) -> str | None:
    """Why a function is not found by its name alone: several have it."""
    try:
        with Binary(path) as binary:
            found = sorted({each.offset for each in binary.functions() if each.name == name})
    except (ElfError, OSError):
        return None
    if len(found) < 2:
        return None
    spelled = ", ".join(f"{offset:#x}" for offset in found)
    return (
        f"{path} has several functions {name} (versions of it?): give the offset of one: {spelled}"
    )


def why_no_usdt(path: str, provider: str, name: str) -> str | None:
    """Why a USDT probe is not found: what there is instead; None if it is there."""
    try:
        with Binary(path) as binary:
            known = binary.usdt()
    except ElfError as error:
        return str(error)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not known:
        return f"{path} has no USDT probes at all (section .note.stapsdt)"
    if (provider, name) in known:
        return None
    spelled = [f"{each[0]}:{each[1]}" for each in known]
    near = _near(f"{provider}:{name}", spelled) or f"; it has {', '.join(spelled[:5])}"
    return f"{path} has no USDT probe {provider}:{name}{near}"


def _near(name: str, known: object) -> str:
    import difflib

    names: Iterator[str] = iter(known)  # type: ignore[call-overload]  # a dict or a list of str
    close = difflib.get_close_matches(name, names, _NEAR)
    return f"; near: {', '.join(close)}" if close else ""
