"""XDP at an interface: by a link, or by netlink."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.info import program_info
from pylibbpf.engine.kernel.legacy import LegacyAttachment, Place, places
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.links import KernelLink
from pylibbpf.engine.kernel.netns import Interface, Netns
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.errors import BpfError, BpfPermissionError
from pylibbpf.info import XdpLinkInfo
from pylibbpf.uapi.network import XDP_MODES, XDP_UPDATE_IF_NOEXIST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.engine.kernel.engine import KernelObject

__all__ = ["DeviceLink", "XdpAttachment", "XdpKernelLink", "XdpSlot", "in_the_way"]


def attached(netns: Netns, ifindex: int) -> dict[str, int]:
    """The program's id in each mode in which one is attached.

    Raises:
        BpfError: ENODEV, the interface is gone.
    """
    _, lib = load()
    fields, _keep = opts("bpf_xdp_query_opts")
    rc = lib.plb_xdp_query(netns.entrance, ifindex, fields)
    check(rc, "ask for the XDP programs of interface", str(ifindex))
    found = {
        "native": fields.drv_prog_id,
        "generic": fields.skb_prog_id,
        "offload": fields.hw_prog_id,
    }
    return {mode: int(number) for mode, number in found.items() if number}


def mode_of(netns: Netns, ifindex: int, program_id: int) -> str | None:
    """The mode in which a program runs there, or None."""
    try:
        found = attached(netns, ifindex)
    except BpfError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return next((mode for mode, number in found.items() if number == program_id), None)


def in_the_way(netns: Netns, interface: Interface, error: BpfError) -> None:
    """Have the error of an attach that found the slot taken say by what."""
    if error.errno not in (errno.EBUSY, errno.EEXIST):
        return
    from pylibbpf.engine.kernel.holders import describe

    try:
        found = attached(netns, interface.index)
    except BpfError:
        return  # what there is to say has been said
    if not found:
        return
    said = " and ".join(f"{describe(number)} in {mode} mode" for mode, number in found.items())
    error.cause = (
        f"XDP has one place at {interface.name}, and there is {said}. Detach that first, or "
        "replace it: by its link's update where a link holds it, else with link=False and "
        "replace=True. Several programs at one interface need a dispatcher, such as libxdp's"
    )


class DeviceLink(KernelLink):
    """A link at an interface of some network namespace."""

    def __init__(
        self, owner: KernelObject, name: str, netns: Netns, interface: Interface | None
    ) -> None:
        super().__init__(owner, name)
        self.netns = netns
        self.interface = interface

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.netns.close()

    def disconnect(self) -> None:
        super().disconnect()
        self.netns.close()

    def abandon(self) -> None:
        super().abandon()
        self.netns.close()


class XdpKernelLink(DeviceLink):
    """A link that holds an XDP program."""

    @property
    def mode(self) -> str | None:
        with self._owner:
            info = self.info()
            assert isinstance(info, XdpLinkInfo)
            return mode_of(self.netns, info.ifindex, info.prog_id) if info.ifindex else None


@places
class XdpSlot(Place):
    """An interface's slot for XDP, by netlink."""

    kind = "devices.xdp"

    def __init__(
        self,
        netns: Netns,
        interface: Interface,
        mode: str | None,
        replace: ProgramHandle | bool = False,
    ) -> None:
        self.netns = netns
        self.interface = interface
        self.mode = mode
        self._replace = replace

    def facts(self) -> dict[str, Any]:
        return {
            "netns": self.netns.facts(),
            "ifindex": self.interface.index,
            "interface": self.interface.name,
            "mode": self.mode,
        }

    @classmethod
    def find(cls, facts: dict[str, Any]) -> Place:
        netns = Netns.find(facts["netns"])
        try:
            interface = netns.interface(int(facts["ifindex"]))
        except BaseException:
            netns.close()
            raise
        return cls(netns, interface, facts["mode"])

    def __str__(self) -> str:
        mode = f", {self.mode}" if self.mode else ""
        return f"XDP{mode} at interface {self.interface.name}{self.netns.where()}"

    def attach(self, mark: Any, program_fd: int) -> int:
        _, lib = load()
        flags, old = XDP_MODES.get(self.mode or "", 0), None
        if self._replace is False:
            flags |= XDP_UPDATE_IF_NOEXIST
        elif self._replace is not True:
            old = self._replace.fd
        fields, _keep = opts("bpf_xdp_attach_opts", old_prog_fd=old)
        where = self.netns.entrance, self.interface.index
        return int(lib.plb_xdp_attach(mark, *where, program_fd, flags, fields))

    def detach(self, mark: Any, program_fd: int) -> int:
        # The kernel compares (5.7): what has replaced it in this moment stays.
        rc = self._detach(mark, program_fd)
        # Another program, or another's link; a driver may give the same number for a reason
        # of its own.
        if rc in (-errno.EEXIST, -errno.EBUSY) and not self.holds(program_info(program_fd).id):
            return -errno.ENOENT
        return rc

    def remove(self, mark: Any, program_id: int) -> int:
        try:
            return super().remove(mark, program_id)
        except BpfPermissionError:
            # To open programs by id takes CAP_SYS_ADMIN, to detach only CAP_NET_ADMIN: then it is
            # this process, and not the kernel, that compares.
            if not self.holds(program_id):
                return -errno.ENOENT
            return self._detach(mark, None)

    def _detach(self, mark: Any, expected: int | None) -> int:
        _, lib = load()
        fields, _keep = opts("bpf_xdp_attach_opts", old_prog_fd=expected)
        flags = XDP_MODES.get(self.mode or "", 0)
        where = self.netns.entrance, self.interface.index
        return int(lib.plb_xdp_detach(mark, *where, flags, fields))

    def explain(self, error: BpfError) -> None:
        in_the_way(self.netns, self.interface, error)

    def holds(self, program_id: int) -> bool:
        return mode_of(self.netns, self.interface.index, program_id) is not None

    def close(self) -> None:
        self.netns.close()


class XdpAttachment(LegacyAttachment):
    """An XDP program that was attached by netlink."""

    place: XdpSlot

    @property
    def mode(self) -> str | None:
        with self._owner:
            self._need_open()
            identity = program_info(self._program.fd)
            return mode_of(self.place.netns, self.place.interface.index, identity.id)
