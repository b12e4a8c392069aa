"""Filters of tc, at the clsact qdisc of an interface."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.info import program_info
from pylibbpf.engine.kernel.legacy import LegacyAttachment, Place, places
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.netns import Interface, Netns
from pylibbpf.engine.kernel.opts import opts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.errors import BpfError


__all__ = ["TcAttachment", "TcFilter"]

# enum bpf_tc_attach_point
_INGRESS, _EGRESS = 1, 2
# enum bpf_tc_flags
_REPLACE = 1 << 0

# The qdiscs that this process made, by the namespace's inode and the interface's index: removed
# when nothing uses them any more.
_made: set[tuple[int, int]] = set()
os.register_at_fork(after_in_child=_made.clear)


class Filter:
    """What a direction of an interface has: a filter, of BPF or another kind."""

    __slots__ = ("handle", "kind", "priority", "program_id")

    def __init__(self, found: Any) -> None:
        ffi, _ = load()
        self.kind = os.fsdecode(ffi.string(found.kind))
        self.handle = int(found.handle)
        self.priority = int(found.priority)
        self.program_id = int(found.prog_id)


@places
class TcFilter(Place):
    """A filter, under a handle and a priority; None until the kernel has chosen them."""

    kind = "devices.tc"

    def __init__(
        self,
        netns: Netns,
        interface: Interface,
        egress: bool,
        handle: int | None,
        priority: int | None,
        replace: bool = False,
    ) -> None:
        ffi, _ = load()
        self.netns = netns
        self.interface = interface
        self.egress = egress
        self.handle = handle
        self.priority = priority
        self._replace = replace
        self._made_qdisc = ffi.new("int *")
        self._drop_qdisc = False
        self._point = _EGRESS if egress else _INGRESS

    @property
    def _key(self) -> tuple[int, int]:
        return self.netns.inode, self.interface.index

    def facts(self) -> dict[str, Any]:
        return {
            "netns": self.netns.facts(),
            "ifindex": self.interface.index,
            "interface": self.interface.name,
            "direction": "egress" if self.egress else "ingress",
            "handle": self.handle,
            "priority": self.priority,
            "qdisc": self._key in _made,
        }

    @classmethod
    def find(cls, facts: dict[str, Any]) -> Place:
        netns = Netns.find(facts["netns"])
        try:
            found = cls(
                netns,
                netns.interface(int(facts["ifindex"])),
                facts["direction"] == "egress",
                facts["handle"],
                facts["priority"],
            )
        except BaseException:
            netns.close()
            raise
        found._drop_qdisc = bool(facts["qdisc"])
        return found

    def __str__(self) -> str:
        direction = "egress" if self.egress else "ingress"
        which = f", priority {self.priority} handle {self.handle:#x}" if self.handle else ""
        return f"tc {direction}{which} at interface {self.interface.name}{self.netns.where()}"

    def _hook(self) -> tuple[Any, list[Any]]:
        return opts("bpf_tc_hook", ifindex=self.interface.index, attach_point=self._point)

    def attach(self, mark: Any, program_fd: int) -> int:
        _, lib = load()
        rc = lib.plb_tc_make_clsact(self._made_qdisc, self.netns.entrance, self.interface.index)
        if rc < 0:
            return int(rc)
        hook, _keep = self._hook()
        fields, _keep2 = opts(
            "bpf_tc_opts",
            prog_fd=program_fd,
            flags=_REPLACE if self._replace else None,
            handle=self.handle,
            priority=self.priority,
        )
        rc = lib.plb_tc_attach(mark, self.netns.entrance, hook, fields)
        if rc >= 0:
            self.handle, self.priority = int(fields.handle), int(fields.priority)
            if self._made_qdisc[0]:
                _made.add(self._key)
        return int(rc)

    def detach(self, mark: Any, program_fd: int) -> int:
        return self.remove(mark, program_info(program_fd).id)

    def remove(self, mark: Any, program_id: int) -> int:
        """Detach by the program's id, which is all that is needed here."""
        _, lib = load()
        hook, _keep = self._hook()
        for each in self.filters():
            if each.program_id == program_id and self._fits(each):
                rc = lib.plb_tc_detach(
                    mark, self.netns.entrance, hook, each.handle, each.priority, program_id
                )
                return int(rc)
        mark.made = 0
        return -errno.ENOENT

    def _fits(self, found: Filter) -> bool:
        return self.handle in (None, found.handle) and self.priority in (None, found.priority)

    def filters(self) -> list[Filter]:
        """All filters of this direction.

        Raises:
            BpfError: ENODEV, the interface is gone.
        """
        ffi, lib = load()
        room = 64
        while True:
            found = ffi.new("struct plb_tc_filter[]", room)
            where = self.netns.entrance, self.interface.index
            rc = lib.plb_tc_filters(*where, self._point, found, room)
            total = check(rc, "list the filters of interface", self.interface.name)
            if total <= room:
                break
            room = total * 2
        return [Filter(found[index]) for index in range(total)]

    def explain(self, error: BpfError) -> None:
        if error.errno != errno.EEXIST:
            return
        from pylibbpf.engine.kernel.holders import describe

        for each in self.filters():
            if self.handle == each.handle and self.priority == each.priority:
                what = describe(each.program_id) if each.program_id else f"a {each.kind} filter"
                error.cause = (
                    f"under priority {each.priority} and handle {each.handle:#x} there is {what}: "
                    "take others, leave them to the kernel, or replace it (replace=True)"
                )

    def holds(self, program_id: int) -> bool:
        return any(each.program_id == program_id and self._fits(each) for each in self.filters())

    def tidy(self) -> None:
        if not (self._made_qdisc[0] or self._drop_qdisc or self._key in _made):
            return
        _, lib = load()
        # Whoever attaches between its look at the filters and its removal of the qdisc loses: a
        # qdisc has no count of its users.
        if lib.plb_tc_drop_clsact(self.netns.entrance, self.interface.index) != 0:
            # Removed, or gone already with the interface.
            self._made_qdisc[0] = 0
            self._drop_qdisc = False
            _made.discard(self._key)

    def close(self) -> None:
        self.netns.close()


class TcAttachment(LegacyAttachment):
    """A program that was attached as a filter."""

    place: TcFilter

    @property
    def handle(self) -> int:
        self._need_open()
        return self.place.handle or 0

    @property
    def priority(self) -> int:
        self._need_open()
        return self.place.priority or 0
