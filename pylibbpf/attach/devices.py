"""Attaching to network devices."""

from __future__ import annotations

import operator

from pylibbpf.arguments import integer, network_namespace
from pylibbpf.attach.anchor import anchor
from pylibbpf.attach.base import Attachable
from pylibbpf.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from pylibbpf.arguments import NetnsName
    from pylibbpf.attach.anchor import Neighbour
    from pylibbpf.engine.abc import ListHandle, TcHandle, XdpHandle
    from pylibbpf.program import Program

__all__ = ["TcLink", "TcxLink", "XdpLink"]


class XdpLink(Link):
    """An XDP program that is attached."""

    _handle: XdpHandle

    @property
    def mode(self) -> str | None:
        """How it runs now, by what the kernel says: ``"native"``, ``"generic"``, ``"offload"``.

        None where it is not attached any more: replaced, detached by others, or the interface
        is gone.

        Raises:
            ClosedError: the link is closed.
        """
        return self._handle.mode


class TcLink(Link):
    """A program that is attached as a filter of tc."""

    _handle: TcHandle

    @property
    def handle(self) -> int:
        """The filter's handle: the one asked for, or the one that the kernel chose."""
        return self._handle.handle

    @property
    def priority(self) -> int:
        """The filter's priority ("pref" of tc(8)); those of a lower number run first."""
        return self._handle.priority


class TcxLink(Link):
    """A program in the list of an interface's tcx or netkit hook."""

    _handle: ListHandle

    @property
    def revision(self) -> int:
        """The list's revision: it changes with the list. For ``expected_revision``; libbpf 1.3.

        Raises:
            NotSupportedError: this libbpf cannot ask for it.
        """
        return self._handle.list()[0]

    @property
    def order(self) -> tuple[int, ...]:
        """The ids of the list's programs, in the order in which they run; libbpf 1.3.

        Raises:
            NotSupportedError: this libbpf cannot ask for it.
        """
        return self._handle.list()[1]


class DeviceHooks(Attachable):
    """XDP, tc, tcx, netkit and netfilter.

    Interfaces are named by name or index. ``netns`` is the network namespace that the interface
    is in: a name of /run/netns, a path such as /proc/PID/ns/net, or a descriptor; None is that of
    the calling thread. To enter another one takes CAP_SYS_ADMIN.
    """

    def attach_xdp(
        self,
        interface: str | int,
        *,
        mode: Literal["native", "generic", "offload"] | None = None,
        netns: NetnsName = None,
        link: bool = True,
        replace: Program | bool = False,
    ) -> XdpLink:
        """Attach an XDP program to a network interface.

        ``mode``: ``"native"`` in the driver, ``"generic"`` behind it in the network stack, slower
        and everywhere, ``"offload"`` in the device; None lets the kernel choose native where the
        driver has it and generic elsewhere. The mode that was taken is the link's ``mode``.

        An interface has one slot for XDP (two with an offloading device). Several programs there
        take a dispatcher such as libxdp's, which this library does not have.

        With ``link=False`` it is attached by netlink: ``close()`` detaches it, if it is still
        there, but it outlives a process that is killed (see :func:`pylibbpf.stale`). Then
        ``replace`` may name the program that is there, of this object or another, to be replaced
        by this one without a gap; True replaces whatever is there, if anything. A program that a
        link holds can only be replaced through that link.

        Privileges: CAP_NET_ADMIN. Linux 5.9, by netlink any.

        Raises:
            BpfError: ENODEV, no such interface (names that are near are told); EBUSY or EEXIST,
                another program is attached (the text says which, as far as can be seen);
                EOPNOTSUPP, the driver has no such mode.
            TypeError: it is no XDP program.
        """
        from pylibbpf.hook.devices import Xdp
        from pylibbpf.uapi.network import XDP_MODES

        self._need_type("attach_xdp", "XDP")
        _need_interface(interface)
        if mode is not None and mode not in tuple(XDP_MODES):
            raise ValueError(f"mode is native, generic, offload or None, not {mode!r}")
        if replace is not False and link:
            raise ValueError(
                "replace goes with link=False: what a link holds is replaced through that link"
            )
        if not isinstance(replace, bool | Attachable):
            raise TypeError(f"replace is a program or a bool, not {type(replace).__name__}")
        netns = network_namespace(netns)
        there = replace if isinstance(replace, bool) else replace._handle
        return self._attach_as(XdpLink, Xdp(interface, netns, mode, link, there))

    def attach_tc(
        self,
        interface: str | int,
        direction: Literal["ingress", "egress"],
        *,
        handle: int | None = None,
        priority: int | None = None,
        replace: bool = False,
        netns: NetnsName = None,
    ) -> TcLink:
        """Attach as a filter of tc, in direct-action mode, at an interface's clsact qdisc.

        The qdisc is made if the interface has none, and removed with the last attachment of this
        process, if it was made here and no filter uses it. ``handle`` (32 bits) and ``priority``
        (1 to 65535, lower ones run first) are the kernel's choice where they are None. With
        ``replace``, which needs both, a filter that is there under them is replaced without a gap.

        ``close()`` detaches it, if it is still there, but it outlives a process that is killed
        (see :func:`pylibbpf.stale`). From Linux 6.6 on :meth:`attach_tcx` does not.

        Privileges: CAP_NET_ADMIN.

        Raises:
            BpfError: ENODEV, no such interface; EEXIST, another filter has that handle and
                priority.
            TypeError: it is no program of type SCHED_CLS.
        """
        from pylibbpf.hook.devices import Tc

        self._need_type("attach_tc", "SCHED_CLS")
        _need_interface(interface)
        _within("handle", handle, 32)
        _within("priority", priority, 16)
        if replace and (handle is None or priority is None):
            raise ValueError("replace needs handle and priority: they say which filter")
        netns = network_namespace(netns)
        hook = Tc(interface, netns, _egress(direction), handle, priority, bool(replace))
        return self._attach_as(TcLink, hook)

    def attach_tcx(
        self,
        interface: str | int,
        direction: Literal["ingress", "egress"],
        *,
        before: Neighbour = None,
        after: Neighbour = None,
        expected_revision: int | None = None,
        netns: NetnsName = None,
    ) -> TcxLink:
        """Attach to an interface's list of programs for a direction, by a link.

        It goes to the end of the list, or directly ``before`` or ``after`` another: its
        :class:`Link`, a :class:`Program`, the id of one, or ``"all"`` that are there. With
        ``expected_revision``, it is attached only if the list has not changed since it had that
        :attr:`~TcxLink.revision`. A program that returns TCX_NEXT (-1) leaves the packet to the
        next; filters of tc run after them.

        Privileges: CAP_NET_ADMIN. Linux 6.6; a neighbour or revision needs libbpf 1.3, the rest
        does not.

        Raises:
            BpfError: ENODEV, no such interface; EINVAL, this kernel has no tcx; ENOENT, the
                neighbour is not in the list; EEXIST, the program is in it; ESTALE, it has another
                revision; ERANGE, it is full (64 programs).
            NotSupportedError: libbpf is too old for a neighbour or a revision.
            TypeError: it is no program of type SCHED_CLS.
        """
        from pylibbpf.hook.devices import Tcx

        self._need_type("attach_tcx", "SCHED_CLS")
        _need_interface(interface)
        _within("expected_revision", expected_revision, 64)
        netns = network_namespace(netns)
        hook = Tcx(interface, netns, _egress(direction), anchor(before, after), expected_revision)
        return self._attach_as(TcxLink, hook)

    def attach_netkit(
        self,
        interface: str | int,
        *,
        peer: bool = False,
        before: Neighbour = None,
        after: Neighbour = None,
        expected_revision: int | None = None,
        netns: NetnsName = None,
    ) -> TcxLink:
        """Attach to a netkit pair: to what its primary device sends, or its ``peer``.

        ``interface`` is the primary device in both cases; the rest is as for :meth:`attach_tcx`.

        Privileges: CAP_NET_ADMIN. Linux 6.7.

        Raises:
            BpfError: ENXIO, it is no netkit device; EACCES, it is the pair's peer; EINVAL, this
                kernel has no netkit; and as for :meth:`attach_tcx`.
            NotSupportedError: libbpf is too old for a neighbour or a revision.
            TypeError: it is no program of type SCHED_CLS.
        """
        from pylibbpf.hook.devices import Netkit

        self._need_type("attach_netkit", "SCHED_CLS")
        _need_interface(interface)
        _within("expected_revision", expected_revision, 64)
        netns = network_namespace(netns)
        hook = Netkit(interface, netns, bool(peer), anchor(before, after), expected_revision)
        return self._attach_as(TcxLink, hook)

    def attach_netfilter(
        self,
        family: Literal["ipv4", "ipv6"],
        hook: Literal["prerouting", "input", "forward", "output", "postrouting"],
        priority: int,
        *,
        defrag: bool = False,
        netns: NetnsName = None,
    ) -> Link:
        """Attach to a hook of netfilter in a network namespace, by a link.

        The lower the ``priority`` (32 bits, signed, neither the least nor the greatest), the
        earlier it runs; no other BPF program may have the same at that hook. With ``defrag``,
        fragments are put together first, and the priority must be above -400. The program
        returns NF_DROP (0) or NF_ACCEPT (1).

        Privileges: CAP_NET_ADMIN. Linux 6.4, defrag 6.6; libbpf 1.3.

        Raises:
            BpfError: EBUSY, another BPF program has that priority; EINVAL, this kernel has no
                such hook.
            NotSupportedError: libbpf is too old.
            TypeError: it is no program of type NETFILTER.
        """
        from pylibbpf.hook.devices import Netfilter
        from pylibbpf.uapi.network import NETFILTER_FAMILIES, NETFILTER_HOOKS

        self._need_type("attach_netfilter", "NETFILTER")
        for what, value, table in (
            ("family", family, NETFILTER_FAMILIES),
            ("hook", hook, NETFILTER_HOOKS),
        ):
            if value not in tuple(table):
                raise ValueError(f"{what} is one of {', '.join(table)}, not {value!r}")
        if not hasattr(priority, "__index__"):
            raise TypeError(f"priority is an int, not {type(priority).__name__}")
        if not -(1 << 31) < operator.index(priority) < (1 << 31) - 1:
            raise ValueError(f"priority {priority} is out of range")
        netns = network_namespace(netns)
        return self._attach_to(
            Netfilter(
                NETFILTER_FAMILIES[family], NETFILTER_HOOKS[hook], priority, bool(defrag), netns
            )
        )


def _need_interface(interface: str | int) -> None:
    number = hasattr(interface, "__index__") and not isinstance(interface, bool)
    if not (number or isinstance(interface, str)):
        raise TypeError(f"an interface is a name or an index, not {type(interface).__name__}")


def _egress(direction: str) -> bool:
    if direction not in ("ingress", "egress"):
        raise ValueError(f"direction is ingress or egress, not {direction!r}")
    return direction == "egress"


def _within(what: str, value: int | None, bits: int) -> None:
    if value is not None:
        integer(what, value, bits, 1)
