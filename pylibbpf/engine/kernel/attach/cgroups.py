"""Attaching to control groups."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.anchors import relative
from pylibbpf.engine.kernel.attach import attaches
from pylibbpf.engine.kernel.attach.types import attach_type
from pylibbpf.engine.kernel.cgroups import CgroupFd, mode_of, query
from pylibbpf.engine.kernel.info import program_by_id, program_info
from pylibbpf.engine.kernel.legacy import LegacyAttachment, Place, places
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.engine.kernel.query import called
from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.hook.cgroups import Cgroup
from pylibbpf.uapi.enums import AttachType, named
from pylibbpf.uapi.flags import (
    BPF_F_ALLOW_MULTI,
    BPF_F_ALLOW_OVERRIDE,
    BPF_F_PREORDER,
    BPF_F_REPLACE,
)
from pylibbpf.uapi.targets import CGROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.programs import KernelProgram

_MODES = {"exclusive": 0, "override": BPF_F_ALLOW_OVERRIDE, "multi": BPF_F_ALLOW_MULTI}


@attaches(Cgroup)
def cgroup(program: KernelProgram, hook: Cgroup) -> LinkHandle:
    kind = attach_type(program, CGROUP, hook.attach_type)
    flags, fd, id = relative(hook.anchor)
    if hook.preorder:
        flags |= BPF_F_PREORDER
    placed = fd is not None or id is not None or hook.expected_revision is not None
    facts = {
        "cgroup": hook.cgroup,
        "attach_type": named(AttachType, kind).name,  # type: ignore[attr-defined]  # one of CGROUP
        "ordered": bool(flags) or placed,
        "mode": hook.mode,
    }
    if hook.mode is not None:
        fields = {"relative_fd": fd, "relative_id": id, "expected_revision": hook.expected_revision}
        return _without_link(program, hook, kind, flags, fields, facts)
    where: dict[str, Any] = {}
    if placed:
        where["cgroup"] = {
            "relative_fd": fd or 0,
            "relative_id": id or 0,
            "expected_revision": hook.expected_revision or 0,
        }
    options, _keep = opts("bpf_link_create_opts", flags=flags or None, **where)
    with CgroupFd(hook.cgroup, "attach", program.name) as target:
        facts["cgroup_hook"] = (target, kind, BPF_F_ALLOW_MULTI)
        return program.link_to(target, kind, options, **facts)


def _without_link(
    program: KernelProgram,
    hook: Cgroup,
    kind: int,
    flags: int,
    fields: dict[str, int | None],
    facts: dict[str, Any],
) -> LinkHandle:
    assert hook.mode is not None
    if kind == AttachType.LSM_CGROUP and hook.mode != "multi":
        # What is there could be replaced unseen: the kernel tells no program's hook.
        raise NotSupportedError("programs of lsm_cgroup are attached in mode 'multi' only")
    flags |= _MODES[hook.mode]
    with CgroupFd(hook.cgroup, "attach", program.name) as fd, _Replaced(program, hook) as old:
        if hook.mode == "multi" and old is not None:
            fields["replace_prog_fd"] = old
            flags |= BPF_F_REPLACE
        elif hook.mode != "multi":
            _need_room(program, hook, fd, kind, old)
        options, _keep = opts("bpf_prog_attach_opts", flags=flags, **fields)
        place = CgroupPlace(CgroupFd(fd, "attach", program.name), kind, hook.mode, options)
        facts["cgroup_hook"] = (place.fd, kind, flags)
        return LegacyAttachment.make(program, place, **facts)


def _need_room(
    program: KernelProgram, hook: Cgroup, target: int, kind: int, replaced: int | None
) -> None:
    """Where one program has room the kernel lets a second one take its place, unasked."""
    there = query(target, kind, label=hook.cgroup)
    if not there.ids or mode_of(there.flags) != hook.mode:
        return  # the kernel refuses what does not fit
    if replaced is None:
        raise BpfError(
            errno.EEXIST,
            "attach",
            program.name,
            f"{called(there.ids)} is attached to the cgroup, and in mode {hook.mode!r} there is "
            "room for one: replace= names the program whose place this one is to take",
        )
    if there.ids != [program_info(replaced).id]:
        raise BpfError(
            errno.ENOENT,
            "attach",
            program.name,
            f"the program to be replaced is not attached to the cgroup: {called(there.ids)} is",
        )


class _Replaced:
    """A descriptor of the program that is to be replaced, or None."""

    def __init__(self, program: KernelProgram, hook: Cgroup) -> None:
        self._program = program
        self._which = hook.replace
        self._opened: program_by_id | None = None

    def __enter__(self) -> int | None:
        if not isinstance(self._which, int):
            return None if self._which is None else self._which.fd
        self._opened = program_by_id(self._which)
        fd = self._opened.__enter__()
        if fd is None:
            raise BpfError(
                errno.ENOENT,
                "attach",
                self._program.name,
                f"there is no program {self._which} to replace",
            )
        return fd

    def __exit__(self, *exception: object) -> None:
        if self._opened is not None:
            self._opened.__exit__(*exception)


@places
class CgroupPlace(Place):
    """An attach type of a cgroup, by a descriptor of its own."""

    kind = "cgroups.cgroup"

    def __init__(self, cgroup: CgroupFd, attach_type: int, mode: str, options: Any = None) -> None:
        self._cgroup = cgroup
        self._type = attach_type
        self._mode = mode
        self._options = options
        self._path = cgroup.path

    @property
    def fd(self) -> int:
        return self._cgroup.fd

    def facts(self) -> dict[str, Any]:
        return {
            "path": self._path,
            "inode": os.fstat(self.fd).st_ino,  # the cgroup's id, of which there is one ever
            "attach_type": self._type,
            "mode": self._mode,
        }

    @classmethod
    def find(cls, facts: dict[str, Any]) -> CgroupPlace:
        path = facts["path"]
        gone = LookupError(f"the cgroup {path} was removed")
        try:
            cgroup = CgroupFd(path, "find cgroup", path)
        except BpfError as error:
            if error.errno == errno.ENOENT and _in_cgroup2(path):
                raise gone from None
            raise
        if os.fstat(cgroup.fd).st_ino != facts["inode"]:
            cgroup.close()
            raise gone
        return cls(cgroup, facts["attach_type"], facts["mode"])

    def __str__(self) -> str:
        hook = named(AttachType, self._type)
        return f"cgroup {self._path} ({getattr(hook, 'name', hook)}, {self._mode})"

    def attach(self, mark: Any, program_fd: int) -> int:
        return self._call("plb_prog_attach", mark, program_fd, self._options)

    def detach(self, mark: Any, program_fd: int) -> int:
        # In a mode with room for one, the kernel detaches whatever is there, by whatever
        # descriptor (find_detach_entry() of kernel/bpf/cgroup.c).
        if self._mode != "multi" and not self.holds(program_info(program_fd).id):
            mark.made = 0
            return -errno.ENOENT
        return self._call("plb_prog_detach", mark, program_fd)

    def _call(self, name: str, mark: Any, program_fd: int, *options: Any) -> int:
        _, lib = load()
        return int(getattr(lib, name)(mark, program_fd, self.fd, self._type, *options))

    def holds(self, program_id: int) -> bool:
        try:
            return program_id in query(self.fd, self._type, label=self._path).ids
        except BpfError as error:
            if error.errno != errno.ENOENT:
                raise
            return False  # the cgroup was removed

    def close(self) -> None:
        self._cgroup.close()


def _in_cgroup2(path: str) -> bool:
    """Whether a path would be in a cgroup v2 file system that is mounted here."""
    best, kind = "", ""
    with open("/proc/self/mounts") as file:
        for line in file:
            _, where, what, *_ = line.split()
            if os.path.commonpath((where, path)) == where and len(where) >= len(best):
                best, kind = where, what
    return kind == "cgroup2"
