"""Pins: names in a BPF file system, which keep a program, map or link without any process."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.opts import c_string
from pylibbpf.errors import BpfError, BpfPermissionError

__all__ = ["bpffs", "explain", "kind_of", "need_kind", "pin", "pinned_fd", "unpin", "why"]

# What /proc/self/fd shows of a descriptor (kernel/bpf/syscall.c, anon_inode_getfd). Links were
# spelled with a hyphen for one release, 5.7.
_KINDS = {
    "anon_inode:bpf-map": "map",
    "anon_inode:bpf-prog": "program",
    "anon_inode:bpf_link": "link",
    "anon_inode:bpf-link": "link",
    "anon_inode:[perf_event]": "perf event",
}


def kind_of(fd: int) -> str:
    """Whether a descriptor is a map's, a program's, a link's; "" where /proc does not tell."""
    try:
        return _KINDS.get(os.readlink(f"/proc/self/fd/{fd}"), "")
    except OSError:
        return ""


def pin(fd: int, path: str, what: str, name: str) -> None:
    """Pin what the descriptor is of."""
    _, lib = load()
    rc = lib.bpf_obj_pin(fd, c_string(path, "pin path"))
    explain(rc, f"pin {what}", name, path)


def pinned_fd(cell: object, path: str, what: str) -> None:
    """Open what is pinned at ``path`` into the cell, and make sure that it is a ``what``."""
    ffi, lib = load()
    rc = lib.plb_fd_open_pin(cell, c_string(path, "pin path"), ffi.NULL)
    explain(rc, f"open {what}", path, path)
    try:
        need_kind(cell[0], what, path)  # type: ignore[index]  # an int * of cffi
    except BpfError:
        lib.plb_fd_close(cell)
        raise


def need_kind(fd: int, what: str, path: str) -> None:
    """Raise unless the descriptor, of what is pinned at ``path``, is of a ``what``."""
    found = kind_of(fd)
    if found and found != what:
        raise BpfError(
            errno.EINVAL, f"open {what}", path, f"what is pinned there is a {found}, no {what}"
        )


def unpin(path: str, what: str, name: str, id: int) -> None:
    """Remove a pin, if that is what is pinned there: another's pin stays."""
    from pylibbpf.engine.kernel.describe import type_and_id

    ffi, lib = load()
    cell = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)
    try:
        # A program, map and link alike tell type and id first.
        pinned_fd(cell, path, what)
        if type_and_id(cell[0], name)[1] != id:
            raise BpfError(
                errno.EINVAL, f"unpin {what}", name, f"another {what} is pinned at {path}"
            )
    finally:
        lib.plb_fd_close(cell)
    try:
        os.unlink(path)
    except OSError as error:
        explain(-(error.errno or errno.EIO), f"unpin {what}", name, path)


def explain(rc: int, operation: str, name: str, path: str) -> None:
    """Raise what a failed call for a path means, by what there is at it."""
    if rc >= 0:
        return
    cause = why(operation.split()[0], -rc, path)
    if cause is not None:
        raise refusal(-rc)(-rc, operation, name, cause)
    check(rc, operation, name)


def refusal(number: int) -> type[BpfError]:
    """The class of the error: the file system refuses, too, for want of a right."""
    return BpfPermissionError if number == errno.EACCES else BpfError


def why(verb: str, number: int, path: str) -> str | None:
    """Why a pin cannot be made, opened or removed, as far as its path shows it."""
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        if number in (errno.ENOENT, errno.ENOTDIR):
            return f"there is no folder {folder}: make it first (os.makedirs)"
        return None
    mounted = bpffs(folder)
    if mounted is False:
        return (
            f"{folder} is not on a BPF file system, and only there can something be pinned: "
            "take a folder below /sys/fs/bpf (sudo mount -t bpf bpffs /sys/fs/bpf, if it is not "
            "mounted)"
        )
    if number == errno.EPERM and verb == "pin" and "." in name:
        # kernel/bpf/inode.c, bpf_lookup(): names with a dot are the kernel's own.
        return f"a name in a BPF file system has no dot in it: {name!r}"
    if number == errno.EEXIST:
        return f"something is pinned at {path} already: unpin it, or open it (open_map and so on)"
    if number == errno.ENOENT:
        return f"nothing is pinned at {path}"
    if number == errno.EACCES and not os.access(path if verb == "open" else folder, os.W_OK):
        which = path if verb == "open" else folder
        return f"this user may not write {which}: its owner and mode decide (chown, chmod)"
    return None


def bpffs(folder: str) -> bool | None:
    """Whether a folder is on a BPF file system; None where that cannot be told."""
    try:
        device = os.stat(folder).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                mount, _, about = line.partition(" - ")
                if mount.split()[2] == f"{os.major(device)}:{os.minor(device)}":
                    return about.split()[0] == "bpf"
    except OSError:
        return None
    return None
