"""Which programs are attached to a control group."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pylibbpf.uapi.flags import BPF_F_ALLOW_MULTI, BPF_F_ALLOW_OVERRIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.attach.cgroups import HasFileno
    from pylibbpf.engine.abc import Engine

__all__ = ["CgroupProgram", "CgroupPrograms", "query_cgroup"]


@dataclass(frozen=True, slots=True)
class CgroupProgram:
    """A program that is attached to a cgroup.

    ``name`` is None where this process may not look (CAP_SYS_ADMIN). ``mode`` is ``"multi"``
    (as with a link), ``"override"`` or ``"exclusive"``, as for
    :meth:`~pylibbpf.Program.attach_cgroup`; None where what is in force was asked for.
    """

    id: int
    name: str | None
    mode: str | None


@dataclass(frozen=True, slots=True)
class CgroupPrograms:
    """The programs of one attach type at a cgroup, in the order in which they are asked.

    ``revision`` counts what was attached and detached there (Linux 6.17 and libbpf 1.3; else None).
    """

    programs: tuple[CgroupProgram, ...]
    revision: int | None


def query_cgroup(
    cgroup: str | os.PathLike[str] | int | HasFileno,
    attach_type: int,
    *,
    effective: bool = False,
    engine: str | Engine | None = None,
) -> CgroupPrograms:
    """Ask which programs of an :class:`AttachType` are attached to a cgroup.

    ``cgroup`` is the path of a folder in a cgroup v2 file system, or an open descriptor of one.
    With ``effective``, those of the cgroups above that are in force in this one are told as well.

    Privileges: CAP_NET_ADMIN; CAP_SYS_ADMIN for the names.

    Raises:
        BpfError: ENOENT, there is no such cgroup; EBADF, the folder is no cgroup v2; EINVAL,
            this kernel does not know the attach type.
    """
    from pylibbpf.arguments import integer
    from pylibbpf.attach.cgroups import target
    from pylibbpf.engine.select import select

    found = select(engine).query_cgroup(
        target(cgroup), integer("attach_type", attach_type, 32), effective
    )
    programs = zip(found.ids, found.names, found.program_flags, strict=True)
    return CgroupPrograms(
        tuple(
            CgroupProgram(number, name, None if effective else _mode(flags))
            for number, name, flags in programs
        ),
        found.revision,
    )


def _mode(flags: int) -> str:
    if flags & BPF_F_ALLOW_MULTI:
        return "multi"
    return "override" if flags & BPF_F_ALLOW_OVERRIDE else "exclusive"
