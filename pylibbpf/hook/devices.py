"""Hooks of network devices: XDP, tc, tcx, netkit, and netfilter beside them."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.hook.anchor import Anchor

__all__ = ["Netfilter", "Netkit", "Tc", "Tcx", "Xdp"]


@dataclass(frozen=True, slots=True)
class Device(Hook):
    """A hook at an interface, by name or index, of a network namespace (None: our own)."""

    interface: str | int
    netns: str | int | os.PathLike[str] | None = None


@dataclass(frozen=True, slots=True)
class Xdp(Device):
    """What runs first on each frame that an interface receives."""

    mode: str | None = None  # native, generic, offload; None: as the kernel chooses
    link: bool = True
    replace: ProgramHandle | bool = False  # with link=False: what may be there; True: anything


@dataclass(frozen=True, slots=True)
class Tc(Device):
    """A filter of the clsact qdisc."""

    egress: bool = False
    handle: int | None = None
    priority: int | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Tcx(Device):
    """The list of programs at an interface's ingress or egress (Linux 6.6)."""

    egress: bool = False
    anchor: Anchor | None = None
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Netkit(Device):
    """The list of programs of a netkit pair's primary device, or of its peer (Linux 6.7)."""

    peer: bool = False
    anchor: Anchor | None = None
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Netfilter(Hook):
    """A hook of netfilter in a network namespace (Linux 6.4)."""

    family: int
    hook: int
    priority: int
    defrag: bool = False
    netns: str | int | os.PathLike[str] | None = None
