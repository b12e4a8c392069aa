"""struct_ops maps in use: registered, swapped, and never the same one twice.

A kernel damages itself when a struct_ops map is registered while it is (Linux 6.18,
tcp_update_congestion_control(): the list of what is registered ends up linked to itself, BUG()).
So the ids of maps are compared here before the kernel is asked for anything, and the kernel is
asked to compare once more, under its lock (BPF_F_REPLACE with the map that is replaced).
"""

from __future__ import annotations

import errno
import os
from _thread import RLock

from pylibbpf.engine.kernel import describe
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load, version
from pylibbpf.engine.kernel.links import KernelLink
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.engine.kernel.part import Part
from pylibbpf.errors import BpfError, BpfPermissionError, ClosedError, NotSupportedError
from pylibbpf.uapi.enums import LinkType, MapType
from pylibbpf.uapi.flags import BPF_F_LINK, BPF_F_REPLACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.maps import KernelMap
    from pylibbpf.engine.kernel.openmap import OpenMap

__all__ = ["STATES", "attach", "refuse", "registered", "state", "update"]

# enum bpf_struct_ops_state (include/linux/bpf.h)
STATES = ("init", "in use", "to be freed", "ready")
_BY_LINK = (1, 2)  # the first libbpf that makes links of struct_ops maps

# Two threads must not both find that a map is not registered yet.
_lock = RLock()


def _renew() -> None:
    global _lock
    _lock = RLock()


os.register_at_fork(after_in_child=_renew)


def state(handle: KernelMap | OpenMap) -> str:
    """What the kernel says of a loaded struct_ops map: one of STATES.

    A value starts with a reference count and this, 4 bytes each (struct
    bpf_struct_ops_common_value).
    """
    value = handle.lookup(bytes(4)) or bytes(8)
    number = int.from_bytes(value[4:8], "little")
    return STATES[number] if number < len(STATES) else str(number)


def registered(map_id: int) -> int | None:
    """The id of a link by which the map is in use, as far as this process may look.

    Without CAP_SYS_ADMIN links cannot be listed: then only what is known otherwise counts.
    """
    from pylibbpf.engine.kernel.standing import Lone, ids

    try:
        for number in ids("link"):
            lone = Lone("link", str(number))
            try:
                kind, map_there = describe.struct_ops_link(lone.open(number))
            except BpfError as error:
                if error.errno == errno.ENOENT:
                    continue  # gone meanwhile
                raise
            finally:
                lone.close()
            if kind == LinkType.STRUCT_OPS and map_there == map_id:
                return number
    except BpfPermissionError:
        return None
    return None


def refuse(new: int, current: int, other: int | None, name: str, operation: str) -> None:
    """Raise if the map of id ``new`` is in use: by this link, whose map is ``current``, or another.

    This is what keeps the kernel whole; it looks at numbers only, so that a test can.
    """
    if new == current:
        raise BpfError(
            errno.EEXIST,
            operation,
            name,
            f"map {new} is the one that is in use by this link, and kernels do not survive having "
            "it put into its own place",
        )
    if other is not None:
        raise BpfError(
            errno.EBUSY, operation, name, f"map {new} is in use already, by link {other}"
        )


def attach(handle: KernelMap) -> KernelLink:
    """Register a struct_ops map, by a link where its flags have BPF_F_LINK."""
    owner, lib = handle.owner, handle.lib
    with _lock, owner:
        known = handle.in_use
        if known is not None and known.made:
            cause = "it is in use already: close its link first"
            raise BpfError(errno.EBUSY, "attach", handle.name, cause)
        by_link = bool(handle.flags & BPF_F_LINK)
        info = handle.info()
        refuse(info.id, 0, registered(info.id) if by_link else None, handle.name, "attach")
        if not by_link and state(handle) != "init":
            raise BpfError(
                errno.EBUSY,
                "attach",
                handle.name,
                f"its state is {state(handle)!r}: without BPF_F_LINK a struct_ops map is "
                "registered once; load the object again, or set BPF_F_LINK in the map's flags "
                "before load",
            )
        if not by_link:
            link = _register(handle, info)
        elif version() < _BY_LINK:
            link = owner.attach(handle.name, lib.plb_struct_ops_link, handle.pointer)
        else:
            link = owner.attach(handle.name, lib.plb_struct_ops_attach, handle.pointer)
        link.map = handle if by_link else None
        handle.in_use = link
        return link


def _register(handle: KernelMap, info: Any) -> KernelLink:
    """Register without a link. It outlives a process that is killed: it is written down first."""
    from pylibbpf.engine.kernel.attach.struct_ops import Registered, Registration
    from pylibbpf.engine.kernel.ledger import Record

    place = Registered(info.id, info.name)
    what = {"id": info.id, "tag": "", "name": handle.name, "load_time": 0}
    link = Registration(handle.owner, handle.name)
    link.record = record = Record(place.kind, place.facts(), what)
    record.write()
    try:
        return handle.owner.attach_link(link, handle.lib.plb_struct_ops_attach, handle.pointer)
    except BaseException:
        link.close()  # which takes it off the ledger
        raise


def update(link: KernelLink, new: Any, old: Any | None) -> None:
    """Put another struct_ops map in place of the one of the link."""
    what = "update link"
    _, lib = load()
    of_object = isinstance(new, Part)
    with _lock, link.owner, new.owner if of_object else _lock:
        fd = link.need_link(what)
        info: Any = describe.link_info(fd, link.name)
        if info.type != LinkType.STRUCT_OPS:
            raise BpfError(
                errno.EINVAL, what, link.name, "it is no struct_ops map's: update it with a program"
            )
        new_info = new.info()
        if new_info.type != MapType.STRUCT_OPS:
            raise BpfError(errno.EINVAL, what, link.name, f"map {new.name!r} is no struct_ops map")
        if not new_info.flags & BPF_F_LINK:
            raise BpfError(
                errno.EINVAL,
                what,
                link.name,
                f"map {new.name!r} was made without BPF_F_LINK: its section is .struct_ops.link, "
                "or its flags are set before load",
            )
        if info.map_id == 0:
            raise BpfError(errno.ENOLINK, what, link.name, "it is detached")
        refuse(new_info.id, info.map_id, registered(new_info.id), link.name, what)
        if old is not None and old.info().id != info.map_id:
            raise BpfError(
                errno.EPERM,
                what,
                link.name,
                f"map {info.map_id} is in use, not the old one that was given ({old.info().id})",
            )
        if state(new) == "init":
            _prepare(link, new)
            if state(new) == "init":
                # libbpf puts the value into the map and the map into the link in one call. The
                # map was new a moment ago: nobody else can have put it into this link.
                with Capture() as capture:
                    rc = lib.bpf_link__update_map(link.cell.link, new.pointer)
                check(rc, what, link.name, capture)
                link.map = new
                return
        rc = _replace(link, fd, new, old, info.map_id)
        check(rc, what, link.name, link_type=LinkType.STRUCT_OPS)
        link.map = new


def _prepare(link: KernelLink, new: Any) -> None:
    """Have libbpf put the value into a map that was never in use, if it can."""
    if not isinstance(new, Part):
        raise NotSupportedError(
            f"map {new.name!r} was opened by itself and never in use: only the object that made "
            "it knows its value"
        )
    if version() < _BY_LINK:
        check(new.lib.plb_struct_ops_prepare(new.pointer), "update link", link.name)
    elif link.cell.link == link.owner.ffi.NULL:
        raise NotSupportedError(
            f"link of {link.name!r} was opened by itself, and this libbpf puts the value of a "
            f"struct_ops map that was never in use (here {new.name!r}) only into links that it "
            "made in this process"
        )


def _replace(link: KernelLink, fd: int, new: Any, old: Any | None, current: int) -> int:
    """The kernel's call, by which it replaces the map of id ``current`` and no other."""
    _, lib = load()
    from pylibbpf.engine.kernel.standing import Lone

    expected = old if old is not None else link.map
    lone = Lone("map", f"id {current}")  # opened if there is no other descriptor of it
    try:
        try:
            if expected is not None and expected.info().id == current:
                old_fd = expected.fd
            else:
                old_fd = lone.open(current)
        except ClosedError:  # the map's object
            old_fd = lone.open(current)
        # The kernel has one place for both (union bpf_attr); old_map_fd is libbpf 1.2's.
        fields, _keep = opts("bpf_link_update_opts", flags=BPF_F_REPLACE, old_prog_fd=old_fd)
        return int(lib.bpf_link_update(fd, new.fd, fields))
    finally:
        lone.close()
