"""Control groups: opening one, and asking what is attached to it."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.check import failure
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.links import attaching
from pylibbpf.engine.kernel.opts import c_string
from pylibbpf.engine.kernel.query import Query, called
from pylibbpf.engine.kernel.query import query as programs_at
from pylibbpf.errors import BpfError, BpfPermissionError, Error
from pylibbpf.uapi.enums import AttachType, named
from pylibbpf.uapi.flags import BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE

__all__ = ["CgroupFd", "mode_of", "query", "tenant"]


class CgroupFd:
    """A cgroup that is held open until :meth:`close`, or for a block: ``fd`` stands for it.

    A caller's descriptor is opened once more, so that closing is ours in any case.
    """

    __slots__ = ("_cell",)

    def __init__(self, cgroup: str | int, operation: str, subject: str | None) -> None:
        ffi, lib = load()
        self._cell = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)
        path = f"/proc/self/fd/{cgroup}" if isinstance(cgroup, int) else cgroup
        with attaching:  # no child is forked while the descriptor is nobody's
            rc = lib.plb_fd_open(self._cell, c_string(path, "path"), os.O_RDONLY | os.O_DIRECTORY)
        if rc < 0 and isinstance(cgroup, int):
            raise failure(errno.EBADF, operation, subject, cgroup=cgroup)
        if rc < 0:
            why = {
                errno.ENOENT: f"there is no cgroup {cgroup}",
                errno.ENOTDIR: f"a cgroup is a folder, and {cgroup} is none",
            }
            cause = why.get(-rc, f"the cgroup {cgroup} cannot be opened")
            kind = BpfPermissionError if -rc in (errno.EACCES, errno.EPERM) else BpfError
            raise kind(-rc, operation, subject, cause)

    @property
    def fd(self) -> int:
        return int(self._cell[0])

    @property
    def path(self) -> str:
        """Where it is, by what the kernel says."""
        return os.readlink(f"/proc/self/fd/{self.fd}")

    def close(self) -> None:
        """Let go of it. A second call does nothing."""
        with attaching:
            load()[1].plb_fd_close(self._cell)

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *exception: object) -> None:
        self.close()


def query(
    fd: int, attach_type: int, *, effective: bool = False, label: str | int | None = None
) -> Query:
    """Ask which programs are attached: to this cgroup alone, or all that are in force there."""
    hook = named(AttachType, attach_type)
    return programs_at(
        fd,
        attach_type,
        "query cgroup",
        f"descriptor {label}" if isinstance(label, int) else label,
        effective=effective,
        cgroup=label,
        attach_type=getattr(hook, "name", str(hook)),
    )


def mode_of(flags: int) -> str:
    """What BPF_F_ALLOW_* flags mean in a word."""
    if flags & BPF_F_ALLOW_MULTI:
        return "multi"
    return "override" if flags & BPF_F_ALLOW_OVERRIDE else "exclusive"


def tenant(fd: int, attach_type: int, flags: int) -> str | None:
    """Which program keeps one that comes with those flags out of a cgroup; None if none does.

    As hierarchy_allows_attach() and __cgroup_bpf_attach() of kernel/bpf/cgroup.c judge: programs
    at one cgroup are all of the same mode, and the nearest cgroup above that has programs decides
    for those below.
    """
    if attach_type == AttachType.LSM_CGROUP:
        return None  # which of the LSM's hooks a program is at is not told
    modes = BPF_F_ALLOW_MULTI | BPF_F_ALLOW_OVERRIDE
    path = os.readlink(f"/proc/self/fd/{fd}")
    try:
        here = query(fd, attach_type)
    except Error:
        return None  # no right to ask, or the kernel does not know the type
    if here.ids and here.flags & modes != flags & modes:
        said = f"{called(here.ids)} {'is' if len(here.ids) == 1 else 'are'} attached to {path}"
        return f"{said} in mode {mode_of(here.flags)!r}, not {mode_of(flags)!r}"
    while True:
        above = os.path.dirname(path)
        try:
            with CgroupFd(above, "query cgroup", above) as folder:
                there = query(folder, attach_type)
        except Error:
            return None  # above the mount
        if there.flags & BPF_F_ALLOW_MULTI:
            return None
        if there.ids:
            if there.flags & BPF_F_ALLOW_OVERRIDE:
                return None
            return f"{called(there.ids)} is attached above, to {above}, in mode 'exclusive'"
        path = above
