"""Attaching to network devices, and to netfilter."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.anchors import relative
from pylibbpf.engine.kernel.attach import attaches
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.netns import Interface, Netns
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.engine.kernel.tc import TcAttachment, TcFilter
from pylibbpf.engine.kernel.xdp import (
    DeviceLink,
    XdpAttachment,
    XdpKernelLink,
    XdpSlot,
    in_the_way,
)
from pylibbpf.errors import BpfError
from pylibbpf.hook.devices import Netfilter, Netkit, Tc, Tcx, Xdp
from pylibbpf.info import NetkitLinkInfo, TcxLinkInfo
from pylibbpf.uapi.enums import AttachType
from pylibbpf.uapi.network import BPF_F_NETFILTER_IP_DEFRAG, XDP_MODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.engine import KernelObject
    from pylibbpf.engine.kernel.programs import KernelProgram


class ListLink(DeviceLink):
    """A link in an interface's list of programs."""

    def __init__(
        self, owner: KernelObject, name: str, netns: Netns, interface: Interface, kind: int
    ) -> None:
        super().__init__(owner, name, netns, interface)
        self._kind = kind

    def list(self) -> tuple[int, tuple[int, ...]]:
        """The list's revision, and the ids of its programs in the order in which they run."""
        ffi, lib = load()
        with self._owner:
            info = self.info()
            assert isinstance(info, TcxLinkInfo | NetkitLinkInfo)
            room = 64  # net/core: no list is longer (BPF_MPROG_MAX)
            numbers = ffi.new("__u32[]", room)
            fields, _keep = opts("bpf_prog_query_opts", prog_ids=numbers, count=room, revision=0)
            rc = lib.plb_mprog_query(self.netns.entrance, info.ifindex, self._kind, fields)
            check(rc, "ask for the list of programs of", self.name)
            return int(fields.revision), tuple(numbers[0 : fields.count])


# A namespace that is open is closed with its attachment, or where there is none, when it is
# collected: no attachment loses it before it has used it to detach.


@attaches(Xdp)
def xdp(program: KernelProgram, hook: Xdp) -> LinkHandle:
    netns = Netns(hook.netns)
    interface = netns.interface(hook.interface)
    facts = {"section": "xdp", "mode": hook.mode, "interface": interface.name}
    if not hook.link:
        slot = XdpSlot(netns, interface, hook.mode, hook.replace)
        return XdpAttachment.make(program, slot, **facts)
    fields, _keep = opts("bpf_link_create_opts", flags=XDP_MODES.get(hook.mode or "", 0))
    link = XdpKernelLink(program.owner, program.name, netns, interface)
    try:
        return _by_link(program, link, interface.index, AttachType.XDP, fields, facts)
    except BpfError as error:
        in_the_way(netns, interface, error)
        raise


@attaches(Tc)
def tc(program: KernelProgram, hook: Tc) -> LinkHandle:
    netns = Netns(hook.netns)
    interface = netns.interface(hook.interface)
    place = TcFilter(netns, interface, hook.egress, hook.handle, hook.priority, hook.replace)
    return TcAttachment.make(program, place, section="tc")


@attaches(Tcx)
def tcx(program: KernelProgram, hook: Tcx) -> LinkHandle:
    kind = AttachType.TCX_EGRESS if hook.egress else AttachType.TCX_INGRESS
    return _in_list(program, hook, kind, "tcx")


@attaches(Netkit)
def netkit(program: KernelProgram, hook: Netkit) -> LinkHandle:
    kind = AttachType.NETKIT_PEER if hook.peer else AttachType.NETKIT_PRIMARY
    return _in_list(program, hook, kind, "netkit")


@attaches(Netfilter)
def netfilter(program: KernelProgram, hook: Netfilter) -> LinkHandle:
    where = {
        "pf": hook.family,
        "hooknum": hook.hook,
        "priority": hook.priority,
        "flags": BPF_F_NETFILTER_IP_DEFRAG if hook.defrag else 0,
    }
    fields, _keep = opts("bpf_link_create_opts", netfilter=where)
    netns = Netns(hook.netns)
    netns.need_entry()
    link = DeviceLink(program.owner, program.name, netns, None)
    facts = {"section": "netfilter", "defrag": hook.defrag}
    return _by_link(program, link, 0, AttachType.NETFILTER, fields, facts)


def _in_list(program: KernelProgram, hook: Tcx | Netkit, kind: int, name: str) -> LinkHandle:
    """Attach to a list of programs. libbpf 1.1 passes the attach type on, but nothing else."""
    flags, fd, id = relative(hook.anchor)
    where = {"relative_fd": fd, "relative_id": id, "expected_revision": hook.expected_revision}
    given = {field: value for field, value in where.items() if value is not None}
    options, _keep = opts("bpf_link_create_opts", flags=flags, **({name: given} if given else {}))
    netns = Netns(hook.netns)
    interface = netns.interface(hook.interface)
    link = ListLink(program.owner, program.name, netns, interface, kind)
    facts = {"section": name, "interface": interface.name}
    try:
        return _by_link(program, link, interface.index, kind, options, facts)
    except BpfError as error:
        # netkit_dev_fetch() of drivers/net/netkit.c: no privilege would help.
        if error.errno != errno.EACCES or not isinstance(hook, Netkit):
            raise
        raise BpfError(
            errno.EACCES,
            "attach",
            program.name,
            f"{interface.name} is the peer of a netkit pair: name the primary device, with "
            "peer=True for programs at the peer",
            log=error.log,
        ) from None


def _by_link(
    program: KernelProgram,
    link: DeviceLink,
    target: int,
    kind: int,
    fields: Any,
    facts: dict[str, Any],
) -> LinkHandle:
    return program.owner.attach_link(
        link,
        program.lib.plb_netns_link_create,
        link.netns.entrance,
        program.fd,
        target,
        kind,
        fields,
        **facts,
    )
