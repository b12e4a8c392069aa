"""Hooks of sockets, of maps of sockets, and of network namespaces."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from pylibbpf.engine.abc import MapHandle

__all__ = ["FlowDissector", "Reuseport", "SkLookup", "SocketFilter", "Sockmap"]


@dataclass(frozen=True, slots=True)
class SkLookup(Hook):
    """Where the kernel looks for the listening socket of a packet, in a network namespace.

    ``netns`` is a name, a path or a descriptor; None is the one that this thread is in.
    """

    netns: str | int | os.PathLike[str] | None = None


@dataclass(frozen=True, slots=True)
class FlowDissector(Hook):
    """Where the kernel takes packets apart, in a network namespace."""

    netns: str | int | os.PathLike[str] | None = None
    link: bool = True


@dataclass(frozen=True, slots=True)
class SocketFilter(Hook):
    """What a socket gets to see, by the socket's descriptor."""

    socket: int


@dataclass(frozen=True, slots=True)
class Reuseport(Hook):
    """Which of the sockets that share a port gets a packet, by the descriptor of one of them."""

    socket: int


@dataclass(frozen=True, slots=True)
class Sockmap(Hook):
    """What the sockets in a map send or receive. ``link`` None: a link if the kernel has it."""

    map: MapHandle
    attach_type: int | None = None
    link: bool | None = None
