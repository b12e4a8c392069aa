"""The kernel engine's links: libbpf's ``bpf_link``."""

from __future__ import annotations

import errno
import os
from _thread import RLock

from pylibbpf.engine.fork import track
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.errors import BpfError, ClosedError, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    from pylibbpf.engine.abc import MapHandle
    from pylibbpf.engine.kernel.iterators import KernelReading
    from pylibbpf.engine.kernel.maps import KernelMap
    from pylibbpf.info import LinkInfo

    class Owner(Protocol):
        """What a link belongs to: an object, or a handle of its own."""

        ffi: Any
        lib: Any
        lock: RLock
        gone: str | None

        def __enter__(self) -> Owner: ...
        def __exit__(self, *exception: object) -> None: ...
        def forget(self, link: Any) -> None: ...


# What an attachment holds: while one of these is open anywhere, the program may stay attached.
_KINDS = ("anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:[perf_event]")
# Held by whoever makes or closes descriptors of these kinds, and over a fork: a child is never
# made in between, with a list of descriptors that does not fit.
attaching = RLock()
os.register_at_fork(
    before=attaching.acquire, after_in_parent=attaching.release, after_in_child=attaching.release
)


def close_attachments(numbers: Iterable[int]) -> None:
    """Close those of the descriptors that are still a link's or perf event's, and no other's."""
    found = _descriptors()
    for number in numbers:
        if found.get(number) in _KINDS:
            os.close(number)


class new_descriptors:  # noqa: N801  # reads as a statement: with new_descriptors() as made
    """The descriptors of links and perf events that are made within the block.

    Who enters it is ``attaching``, or another thread's would be among them.
    libbpf tells one descriptor of a link, or none (USDT), and keeps others. A forked child must
    close them all, or the program stays attached as long as the child lives.
    """

    __slots__ = ("_before", "_found")

    def __init__(self, found: list[int]) -> None:
        self._found = found

    def __enter__(self) -> None:
        self._before = _descriptors()

    def __exit__(self, *exception: object) -> None:
        for number, target in _descriptors().items() - self._before.items():
            if self._before and target in _KINDS:
                self._found.append(number)


def _descriptors() -> dict[int, str]:
    """This process's descriptors, and what each is of; none where /proc is not to be read."""
    found: dict[int, str] = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # the one that listed the folder, or another thread's
    return found


class KernelLink:
    """A ``bpf_link``, or the bare descriptor of one: an attachment that ends with it."""

    def __init__(self, owner: Owner, name: str) -> None:
        self._owner = owner
        self.name = name
        self.cell = owner.ffi.new("struct plb_link *", {"fd": -1})
        self.descriptors: list[int] = []
        self.pin_path: str | None = None
        self.map: KernelMap | None = None
        """The struct_ops map that it was last given here."""

    @property
    def owner(self) -> Owner:
        """What it closes with."""
        return self._owner

    @property
    def made(self) -> bool:
        """Whether there is a link in the cell."""
        return bool(self.cell.link != self._owner.ffi.NULL or self.cell.fd >= 0)

    @property
    def fd(self) -> int:
        with self._owner as owner:
            if not self.made:
                raise ClosedError(f"link of {self.name!r} is closed")
            if self.cell.fd >= 0:
                return int(self.cell.fd)
            fd = int(owner.lib.bpf_link__fd(self.cell.link))
            from pylibbpf.engine.kernel.pins import kind_of

            # Of a struct_ops map without a link libbpf gives the map's.
            if (self.descriptors and fd not in self.descriptors) or kind_of(fd) == "map":
                raise NotSupportedError(f"link of {self.name!r} has no descriptor of its own")
            return fd

    def need_link(self, operation: str) -> int:
        """The descriptor, if it is a link's: what the kernel's calls for links take."""
        from pylibbpf.engine.kernel.pins import kind_of

        try:
            fd = self.fd
        except NotSupportedError as error:
            raise NotSupportedError(f"{operation}: {error}") from None
        if kind_of(fd) == "perf event":
            raise NotSupportedError(
                f"{operation}: what is attached of {self.name!r} is a perf event without a link, "
                "which kernels before 5.15 know only (or a libbpf that was asked for it): it has "
                "no id, cannot be pinned, updated or asked, and ends with this process"
            )
        return fd

    # ---- what it is

    @property
    def id(self) -> int:
        from pylibbpf.engine.kernel.describe import type_and_id

        with self._owner:
            return type_and_id(self.need_link("link id"), self.name)[1]

    @property
    def type(self) -> int:
        from pylibbpf.engine.kernel.describe import type_and_id

        with self._owner:
            return type_and_id(self.need_link("link type"), self.name)[0]

    def info(self) -> LinkInfo:
        from pylibbpf.engine.kernel.describe import link_info

        with self._owner:
            return link_info(self.need_link("link info"), self.name)

    # ---- what can be done with it

    def iterate(self) -> KernelReading:
        from pylibbpf.engine.kernel.iterators import KernelReading

        with self._owner:
            return KernelReading(self.name, self.need_link("read iterator"))

    def update(self, program: Any, old: Any | None, flags: int) -> None:
        from contextlib import nullcontext

        from pylibbpf.engine.kernel.opts import opts
        from pylibbpf.uapi.flags import BPF_F_REPLACE

        # Copies, so that two objects are never held at once, in whichever order.
        with program.copy() as new_fd, nullcontext() if old is None else old.copy() as old_fd:
            if old is not None:
                flags |= BPF_F_REPLACE
            fields, _keep = opts("bpf_link_update_opts", flags=flags, old_prog_fd=old_fd)
            with self._owner as owner:
                fd = self.need_link("update link")
                rc = owner.lib.bpf_link_update(fd, new_fd, fields)
                kind = self.type if rc < 0 else 0
        if rc == -errno.EPERM and old is not None:
            there, given = self.info().prog_id, old.info().id
            if there != given:
                cause = f"program {there} is attached, not the old one that was given ({given})"
                raise BpfError(errno.EPERM, "update link", self.name, cause)
        check(rc, "update link", self.name, link_type=kind)

    def update_map(self, new: MapHandle, old: MapHandle | None) -> None:
        from pylibbpf.engine.kernel.struct_ops import update

        update(self, new, old)

    def detach(self) -> None:
        with self._owner as owner:
            rc = owner.lib.bpf_link_detach(self.need_link("force detach link"))
            kind = self.type if rc < 0 else 0
        check(rc, "force detach link", self.name, link_type=kind)

    def disconnect(self) -> None:
        owner = self._owner
        with owner, attaching:
            if not self.made:
                raise ClosedError(f"link of {self.name!r} is closed")
            keep = self.pin_path is None
            if keep:
                _left.descriptors += self.descriptors
            self.let_go(keep)
            self.descriptors = []
            owner.forget(self)

    def pin(self, path: str) -> None:
        with self._owner:
            if self.pin_path is not None:
                raise BpfError(
                    errno.EBUSY, "pin link", self.name, f"it is pinned at {self.pin_path} already"
                )
            from pylibbpf.engine.kernel.pins import pin

            pin(self.need_link("pin link"), path, "link", self.name)
            self.pin_path = os.path.abspath(path)

    def unpin(self) -> None:
        with self._owner:
            fd = self.need_link("unpin link")
            if self.pin_path is None:
                raise BpfError(errno.ENOENT, "unpin link", self.name, "it is not pinned")
            from pylibbpf.engine.kernel.describe import type_and_id
            from pylibbpf.engine.kernel.pins import unpin

            unpin(self.pin_path, "link", self.name, type_and_id(fd, self.name)[1])
            self.pin_path = None

    # ---- its end

    def let_go(self, keep: bool) -> None:
        """Give up the handle in C; with ``keep``, what holds the attachment stays open."""
        self._owner.lib.plb_link_disconnect(self.cell, keep)

    def destroy(self) -> int:
        """Detach, in C: gives 0 or a negative errno, and may be repeated."""
        return int(self._owner.lib.plb_link_destroy(self.cell))

    def close(self) -> None:
        owner = self._owner
        with owner.lock:
            if owner.gone:
                return
            with attaching, Capture() as capture:
                rc = self.destroy()
                self.descriptors = []
            owner.forget(self)
        check(rc, "detach", self.name, capture)
        capture.log()

    def abandon(self) -> None:
        """In a forked child: close the descriptors, detach nothing.

        The memory that libbpf has for the link is the child's copy; freeing it would detach.
        """
        close_attachments(self.descriptors)
        self.descriptors = []
        self._empty()

    def _empty(self) -> None:
        self.cell.link, self.cell.fd = self._owner.ffi.NULL, -1


class KernelLinks(KernelLink):
    """Several links that are one attachment, such as a perf event's on each CPU."""

    def __init__(self, owner: Owner, name: str, count: int) -> None:
        super().__init__(owner, name)
        ffi = owner.ffi
        self.cells = ffi.new("struct plb_link[]", [{"fd": -1}] * count)
        self.cell = ffi.new("struct plb_links *", {"each": self.cells, "count": count})

    @property
    def made(self) -> bool:
        null = self._owner.ffi.NULL
        return any(each.link != null or each.fd >= 0 for each in self.cells)

    @property
    def fd(self) -> int:
        with self._owner:
            if not self.made:
                raise ClosedError(f"link of {self.name!r} is closed")
            raise NotSupportedError(
                f"link of {self.name!r} is {len(self.cells)} links, with a descriptor each"
            )

    def let_go(self, keep: bool) -> None:
        for each in range(len(self.cells)):
            self._owner.lib.plb_link_disconnect(self._owner.ffi.addressof(self.cells, each), keep)

    def destroy(self) -> int:
        return int(self._owner.lib.plb_links_destroy(self.cell))

    def _empty(self) -> None:
        for each in self.cells:
            each.link, each.fd = self._owner.ffi.NULL, -1


class _Left:
    """Descriptors of links that were let go of and stay attached as long as this process lives."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        track(self)

    def abandon(self) -> None:
        """In a forked child, which is not to keep them attached after its parent's end."""
        close_attachments(self.descriptors)
        self.descriptors = []


_left = _Left()
