"""Attaching iterators."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.attach import attaches
from pylibbpf.engine.kernel.cgroups import CgroupFd
from pylibbpf.engine.kernel.copies import copied
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.needs import type_name
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.errors import BpfError, BpfPermissionError, NotSupportedError
from pylibbpf.hook.iterators import Iterator
from pylibbpf.info import IterLinkInfo
from pylibbpf.uapi.enums import MapType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.links import KernelLink
    from pylibbpf.engine.kernel.programs import KernelProgram


@attaches(Iterator)
def iterator(program: KernelProgram, hook: Iterator) -> KernelLink:
    if hook.cgroup is not None:
        with CgroupFd(hook.cgroup, "attach", program.name) as fd:
            return _attach(program, {"cgroup": {"cgroup_fd": fd, "order": hook.order}}, hook)
    if hook.cgroup_id is not None:
        where = {"cgroup": {"cgroup_id": hook.cgroup_id, "order": hook.order}}
        return _attach(program, where, hook)
    if hook.map is not None:
        return _attach(program, {"map": {"map_fd": hook.map.fd}}, hook)
    if hook.tid is None and hook.pid is None and hook.pidfd is None:
        return _attach(program, None, hook)
    _need_task(program, hook)
    task = {"tid": hook.tid or 0, "pid": hook.pid or 0, "pid_fd": hook.pidfd or 0}
    if hook.pidfd == 0:
        # The kernel takes 0 for none.
        with copied(0) as task["pid_fd"]:
            link = _attach(program, {"task": task}, hook)
    else:
        link = _attach(program, {"task": task}, hook)
    # Before 6.1 the kernel goes through all tasks, and does not say so.
    info = link.info()
    if isinstance(info, IterLinkInfo) and not (info.tid or info.pid):
        link.close()
        raise NotSupportedError(
            f"attach {program.name!r}: iterators of one task or process need Linux 6.1"
        )
    return link


def _attach(program: KernelProgram, where: dict[str, Any] | None, hook: Iterator) -> KernelLink:
    ffi, _ = load()
    info = None if where is None else ffi.new("union bpf_iter_link_info *", where)
    fields, _keep = opts(
        "bpf_iter_attach_opts",
        link_info=info,
        link_info_len=None if info is None else ffi.sizeof(info[0]),
    )
    try:
        return program.attach_by(
            program.lib.plb_attach_iter,
            fields,
            section=program.section,
            cgroup=hook.cgroup if hook.cgroup_id is None else f"id {hook.cgroup_id}",
            pidfd=hook.pidfd,
            iterated=None if hook.map is None else type_name(hook.map.type, MapType),
        )
    except BpfPermissionError as error:
        if error.errno != errno.EACCES or hook.map is None:
            raise
        # No privilege is missing: kernel/bpf/map_iter.c, bpf_iter_attach_map.
        cause = f"the program reads more of a key or value than those of {hook.map.name!r} have"
        raise BpfError(errno.EACCES, "attach", program.name, cause) from None


def _need_task(program: KernelProgram, hook: Iterator) -> None:
    """Complain of a task that is not there: the kernel looks for it only when it is read."""
    if hook.pidfd is not None:
        return  # that the kernel does look at
    number, what = (hook.tid, "thread") if hook.pid is None else (hook.pid, "process")
    assert number is not None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        cause = f"there is no {what} {number}"
        raise BpfError(errno.ESRCH, "attach", program.name, cause) from None
    except PermissionError:
        pass  # there it is
    except OverflowError:
        cause = f"there is no {what} {number}: that is no number of one"
        raise BpfError(errno.ESRCH, "attach", program.name, cause) from None
    if hook.pid is not None and not _leads(number):
        raise BpfError(
            errno.ESRCH,
            "attach",
            program.name,
            f"{number} is a thread of another process: name the process, or the thread by task=",
        )


def _leads(pid: int) -> bool:
    """Whether a process has this number, and not only one of its threads."""
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        # For a thread that does not lead: EINVAL before Linux 6.15, ENOENT from then on.
        return error.errno not in (errno.EINVAL, errno.ENOENT)
    os.close(fd)
    return True
