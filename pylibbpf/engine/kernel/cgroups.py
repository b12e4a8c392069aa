"""Control groups: opening one, and asking what is attached to it."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.info import program_by_id, program_info
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.errors import BpfError, BpfPermissionError, Error
from pylibbpf.uapi.enums import AttachType, named
from pylibbpf.uapi.flags import BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE, BPF_F_QUERY_EFFECTIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CgroupFd", "Query", "called", "mode_of", "program_names", "query", "tenant"]

# kernel/bpf/cgroup.c: BPF_CGROUP_MAX_PROGS.
_MOST = 64


class CgroupFd:
    """A descriptor of a cgroup: of the path's folder, opened for the block, or the caller's."""

    __slots__ = ("_cgroup", "_operation", "_subject", "fd")

    def __init__(self, cgroup: str | int, operation: str, subject: str | None) -> None:
        self._cgroup = cgroup
        self._operation = operation
        self._subject = subject
        self.fd = -1

    def __enter__(self) -> int:
        if isinstance(self._cgroup, int):
            return self._cgroup
        try:
            self.fd = os.open(self._cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            why = {
                errno.ENOENT: f"there is no cgroup {self._cgroup}",
                errno.ENOTDIR: f"a cgroup is a folder, and {self._cgroup} is none",
            }
            number = error.errno or errno.EIO
            cause = why.get(number, f"the cgroup {self._cgroup} cannot be opened")
            raise BpfError(number, self._operation, self._subject, cause) from None
        return self.fd

    def __exit__(self, *exception: object) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Query:
    """What BPF_PROG_QUERY says of one attach type at a cgroup."""

    __slots__ = ("flags", "ids", "names", "program_flags", "revision")

    def __init__(
        self, ids: list[int], flags: int, program_flags: list[int], revision: int | None
    ) -> None:
        self.ids = ids
        self.names: list[str | None] = [None] * len(ids)
        self.flags = flags
        self.program_flags = program_flags
        self.revision = revision


def query(
    fd: int, attach_type: int, *, effective: bool = False, label: str | int | None = None
) -> Query:
    """Ask which programs are attached: to this cgroup alone, or all that are in force there."""
    ffi, lib = load()
    room = _MOST
    while True:
        ids = ffi.new("__u32[]", room)
        flags = ffi.new("__u32[]", room)
        fields, _keep = opts(
            "bpf_prog_query_opts",
            query_flags=BPF_F_QUERY_EFFECTIVE if effective else 0,
            prog_ids=ids,
            prog_cnt=room,
        )
        # Programs of lsm_cgroup are at many hooks, each with its own flags. For other types the
        # kernel gives no array (before 6.0 it refuses one), nor for what is in force.
        several = attach_type == AttachType.LSM_CGROUP and not effective
        if several:
            fields.prog_attach_flags = flags
        rc = lib.bpf_prog_query_opts(fd, attach_type, fields)
        if rc == -errno.ENOSPC and fields.prog_cnt > room:
            room = int(fields.prog_cnt)
            continue
        hook = named(AttachType, attach_type)
        what = f"descriptor {label}" if isinstance(label, int) else label
        check(rc, "query cgroup", what, attach_type=getattr(hook, "name", str(hook)), cgroup=label)
        count = int(fields.prog_cnt)
        revision = int(fields.revision) or None
        shared = int(fields.attach_flags)
        each = list(ffi.unpack(flags, count)) if several and count else [shared] * count
        return Query(list(ffi.unpack(ids, count)) if count else [], shared, each, revision)


def mode_of(flags: int) -> str:
    """What BPF_F_ALLOW_* flags mean in a word."""
    if flags & BPF_F_ALLOW_MULTI:
        return "multi"
    return "override" if flags & BPF_F_ALLOW_OVERRIDE else "exclusive"


def program_names(ids: Sequence[int]) -> list[str | None]:
    """Names of programs; None where one is gone or this process may not look (CAP_SYS_ADMIN)."""
    names: list[str | None] = []
    for each in ids:
        try:
            with program_by_id(each) as fd:
                names.append(None if fd is None else program_info(fd).name)
        except BpfPermissionError:
            return [None] * len(ids)
    return names


def called(ids: Sequence[int]) -> str:
    """Programs by id, and by name where that may be seen."""
    words = [
        f"{number} ({name})" if name else f"{number}"
        for number, name in zip(ids, program_names(ids), strict=True)
    ]
    return f"program{'s' if len(words) > 1 else ''} {', '.join(words)}"


def tenant(fd: int, attach_type: int, flags: int) -> str | None:
    """Which program keeps one that comes with those flags out of a cgroup; None if none does.

    As hierarchy_allows_attach() and __cgroup_bpf_attach() of kernel/bpf/cgroup.c judge: programs
    at one cgroup are all of the same mode, and the nearest cgroup above that has programs decides
    for those below.
    """
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
