"""Which programs are attached to a cgroup, a network namespace or a map of sockets."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.info import program_by_id, program_info
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.errors import BpfPermissionError
from pylibbpf.uapi.enums import AttachType
from pylibbpf.uapi.flags import BPF_F_QUERY_EFFECTIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Query", "called", "program_names", "query"]

# At first: kernel/bpf/cgroup.c, BPF_CGROUP_MAX_PROGS.
_ROOM = 64


class Query:
    """What BPF_PROG_QUERY says of one attach type somewhere."""

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
    fd: int,
    attach_type: int,
    operation: str,
    what: str | None = None,
    /,
    *,
    effective: bool = False,
    **facts: Any,
) -> Query:
    """Ask what is attached to what the descriptor stands for; ``facts`` are for hints."""
    ffi, lib = load()
    room = _ROOM
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
        check(rc, operation, what, **facts)
        count = int(fields.prog_cnt)
        shared = int(fields.attach_flags)
        return Query(
            [int(number) for number in ids[0:count]],
            shared,
            [int(each) for each in flags[0:count]] if several else [shared] * count,
            int(fields.revision) or None,
        )


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
