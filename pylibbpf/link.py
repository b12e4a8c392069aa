"""Attachments."""

from __future__ import annotations

import os

from pylibbpf.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.info import LinkInfo
    from pylibbpf.map import Map
    from pylibbpf.program import Program

    class Owner(Protocol):
        """What keeps links: an object, or a link that was opened by itself."""

        _links: dict[int, Link]

        @property
        def closed(self) -> bool: ...


__all__ = ["Link"]


class Link(Handle):
    """A program that is attached (or a struct_ops map that is in use).

    It stays attached until :meth:`close`, the end of a ``with`` block, the object's close, or
    the end of the process, however that comes about: the kernel detaches when the last
    descriptor goes. A link that is pinned (:meth:`pin`) stays attached beyond all of these, until
    its pin is removed. A link keeps its object alive.

    All but ``name``, ``closed`` and :meth:`close` raise ``NotSupportedError`` for attachments
    that are no link to the kernel: USDT, tc without tcx, XDP and cgroups with flags, sockmaps by
    the old call, struct_ops maps without ``.link``, and, before Linux 5.15, kprobes, uprobes,
    tracepoints and perf events.
    """

    def __init__(self, owner: Owner, handle: LinkHandle, name: str) -> None:
        self._owner = owner
        self._handle = handle
        self._closed = False
        self.name = name
        """Name of the program or struct_ops map."""

    @property
    def closed(self) -> bool:
        """True after :meth:`close` or :meth:`disconnect`, here or by way of the object."""
        return self._closed or self._owner.closed

    @property
    def fd(self) -> int:
        """The link's descriptor; close-on-exec, and owned by the link.

        Raises:
            ClosedError: the link is closed.
            NotSupportedError: it has none of its own (USDT, struct_ops without a link).
        """
        return self._handle.fd

    @property
    def id(self) -> int:
        """The kernel's number of the link: no other link has it. Linux 5.8."""
        return self._handle.id

    @property
    def type(self) -> int:
        """What kind of link it is: a :class:`LinkType`, a plain int if it has no name."""
        from pylibbpf.uapi.enums import LinkType, named

        return named(LinkType, self._handle.type)

    @property
    def pin_path(self) -> str | None:
        """Where :meth:`pin` pinned it, or ``open_link()`` found it; None: nowhere."""
        return self._handle.pin_path

    def info(self) -> LinkInfo:
        """What the kernel tells of it: a class of :mod:`pylibbpf.info` for each type of link.

        No privilege is needed. Linux 5.8; what came later is said there.
        """
        return self._handle.info()

    def update(
        self, new: Program | Map, *, old: Program | Map | None = None, flags: int = 0
    ) -> None:
        """Put another program in place of the attached one, without a moment without either.

        ``new`` is a loaded program of the same type and attach type, of this or another object;
        the kernel keeps it as long as the link lives. With ``old`` nothing is changed unless
        that is the program attached now. For links to cgroups, XDP, network namespaces, tcx and
        netkit; others cannot be updated. Linux 5.7 (cgroup, netns), 5.9 (XDP).

        The link of a struct_ops map takes a map instead: of the same struct_ops and, for TCP
        congestion control, of the same ``name``. Linux 6.4, libbpf 1.2; CAP_SYS_ADMIN, unless
        ``old`` is given or the attached map is one that this link was given here.

        Raises:
            BpfError: EINVAL, links of this type cannot be updated or the program does not fit;
                EPERM, ``old`` is not what is attached; ENOLINK, it is detached; EEXIST, the map
                is the one that is in use.
        """
        from pylibbpf.map import Map

        if isinstance(new, Map):
            if old is not None and not isinstance(old, Map):
                raise TypeError(f"old is a map as the new one is, not {old!r}")
            if flags:
                raise ValueError("the update of a struct_ops map takes no flags")
            self._handle.update_map(new._handle, None if old is None else old._handle)
            return
        from pylibbpf.program import Program

        for each in (new, *(() if old is None else (old,))):
            if not isinstance(each, Program):
                raise TypeError(f"a link is updated with a program or map, not {each!r}")
        assert old is None or isinstance(old, Program)
        self._handle.update(new._handle, None if old is None else old._handle, flags)

    def detach(self) -> None:
        """Detach now, wherever else the link is open or pinned; the link itself stays open.

        Its ``info()`` tells ``ifindex``, ``cgroup_id`` and the like as 0 then. For links to
        cgroups, XDP, network namespaces, tcx, netkit; struct_ops since Linux 6.10. Linux 5.9.

        Raises:
            BpfError: EOPNOTSUPP, links of this type end with their last descriptor only.
        """
        self._handle.detach()

    def disconnect(self) -> None:
        """Let go of the link without detaching; it counts as closed then.

        One that is pinned stays attached until its pin is removed. One that is not stays until
        the end of this process, whatever becomes of the object: nothing but that, or
        :func:`pylibbpf.links` and :meth:`detach`, ends it. A struct_ops map that was registered
        without a link stays registered, even after this process.
        """
        self._handle.disconnect()
        self._closed = True
        self._owner._links.pop(id(self), None)

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin it: it stays attached, without any process, until the file ``path`` is removed.

        ``path`` is below a BPF file system (/sys/fs/bpf), in a folder that exists; its name has
        no dot. ``pylibbpf.open_link(path)`` gives it to another process. Linux 5.7.

        Raises:
            BpfError: the path cannot be, and why; EBUSY, the link is pinned already.
        """
        self._handle.pin(os.fsdecode(path))

    def unpin(self) -> None:
        """Remove its pin. It stays attached as long as it is open here (or pinned elsewhere).

        Raises:
            BpfError: ENOENT, it is not pinned; EINVAL, another link is pinned there by now.
        """
        self._handle.unpin()

    def close(self) -> None:
        """Detach, unless it is pinned. A second call does nothing.

        Raises:
            BpfError: the kernel refused to detach; the link is closed all the same.
        """
        self._closed = True
        try:
            self._handle.close()
        finally:
            self._owner._links.pop(id(self), None)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Link of {self.name!r}{', closed' if self.closed else ''}>"


# AttachType.TRACE_ITER: enumerations take 3 ms to import, and obj.attach() does without them.
_TRACE_ITER = 28


def link_class(attach_type: int | None) -> type[Link]:
    """The class that fits the link of a program of this expected attach type."""
    if attach_type == _TRACE_ITER:
        from pylibbpf.iterator import IterLink

        return IterLink
    return Link
