"""The kernel engine's links: libbpf's ``bpf_link``."""

from __future__ import annotations

import os
from _thread import RLock

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.errors import ClosedError, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibbpf.engine.kernel.engine import KernelObject

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

    libbpf tells one descriptor of a link, or none (USDT), and keeps others. A forked child must
    close them all, or the program stays attached as long as the child lives.
    """

    __slots__ = ("_before", "_found")

    def __init__(self, found: list[int]) -> None:
        self._found = found

    def __enter__(self) -> None:
        attaching.acquire()
        self._before = _descriptors()

    def __exit__(self, *exception: object) -> None:
        try:
            for number, target in _descriptors().items() - self._before.items():
                if self._before and target in _KINDS:
                    self._found.append(number)
        finally:
            attaching.release()


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

    def __init__(self, owner: KernelObject, name: str) -> None:
        self._owner = owner
        self.name = name
        self.cell = owner.ffi.new("struct plb_link *", {"fd": -1})
        self.descriptors: list[int] = []

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
            if self.descriptors and fd not in self.descriptors:
                raise NotSupportedError(f"link of {self.name!r} has no descriptor of its own")
            return fd

    def destroy(self) -> int:
        """Detach, in C: gives 0 or a negative errno, and may be repeated."""
        return int(self._owner.lib.plb_link_destroy(self.cell))

    def close(self) -> None:
        owner = self._owner
        try:
            owner.__enter__()
        except ClosedError:
            return
        try:
            with attaching, Capture() as capture:
                rc = self.destroy()
                self.descriptors = []
            owner.forget(self)
        finally:
            owner.__exit__()
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

    def __init__(self, owner: KernelObject, name: str, count: int) -> None:
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

    def destroy(self) -> int:
        return int(self._owner.lib.plb_links_destroy(self.cell))

    def _empty(self) -> None:
        for each in self.cells:
            each.link, each.fd = self._owner.ffi.NULL, -1
