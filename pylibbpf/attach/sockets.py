"""Attaching to sockets, to maps of sockets, and to network namespaces."""

from __future__ import annotations

from pylibbpf.arguments import descriptor, integer, network_namespace
from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    import socket as sockets

    from pylibbpf.link import Link
    from pylibbpf.map import Map


class SocketHooks(Attachable):
    """Sockets, maps of sockets, network namespaces."""

    def attach_sk_lookup(self, netns: str | os.PathLike[str] | int | None = None) -> Link:
        """Attach to the search for the listening socket, in a network namespace.

        The program of ``SEC("sk_lookup")`` is asked for each TCP connection and unconnected UDP
        packet that comes in. ``netns`` is a name (of ``ip netns``), a path or a descriptor; None
        is the namespace that this thread is in. Several programs are asked in the order in which
        they were attached.

        Privileges: none, once the program is loaded (its map of sockets needs CAP_NET_ADMIN).
        Linux 5.9.

        Raises:
            BpfError: there is no such network namespace.
            TypeError: it is no program of type SK_LOOKUP.
        """
        from pylibbpf.hook.sockets import SkLookup

        self._need_type("attach_sk_lookup", "SK_LOOKUP")
        return self._attach_to(SkLookup(network_namespace(netns)))

    def attach_flow_dissector(
        self, netns: str | os.PathLike[str] | int | None = None, *, link: bool = True
    ) -> Link:
        """Attach as what takes packets apart for the kernel, in a network namespace.

        A namespace has one flow dissector, and none while the first namespace of the machine has
        one, which then serves all. ``netns`` is as for :meth:`attach_sk_lookup`. With
        ``link=False`` the attachment is the older one, which the end of the process does not
        undo: ``close()`` does, and what a killed process left is found by ``pylibbpf detach
        --stale``.

        Privileges: none, once the program is loaded; without a link, in another namespace,
        CAP_SYS_ADMIN to enter it. Links need Linux 5.8.

        Raises:
            BpfError: there is no such network namespace; E2BIG or EEXIST, it has a flow
                dissector already, or the machine's first one has.
            TypeError: it is no program of type FLOW_DISSECTOR.
        """
        from pylibbpf.hook.sockets import FlowDissector

        self._need_type("attach_flow_dissector", "FLOW_DISSECTOR")
        return self._attach_to(FlowDissector(network_namespace(netns), link))

    def attach_socket(self, socket: sockets.socket | int) -> Link:
        """Attach to one socket, as a filter of what it receives.

        The program of ``SEC("socket")`` says how many bytes of a packet the socket gets, 0 to
        drop it. ``socket`` is the socket or its descriptor. The filter belongs to the socket: it
        goes with it, stays for those who share it, and another filter takes its place. The link
        does not keep the socket open.

        Privileges: none, once the program is loaded.

        Raises:
            BpfError: EPERM, the socket's filter is locked (SO_LOCK_FILTER); ENOTSOCK.
            TypeError: it is no program of type SOCKET_FILTER.
        """
        from pylibbpf.hook.sockets import SocketFilter

        self._need_type("attach_socket", "SOCKET_FILTER")
        return self._attach_to(SocketFilter(_socket(socket)))

    def attach_reuseport(self, socket: sockets.socket | int) -> Link:
        """Attach to a group of sockets that share a port, as what chooses among them.

        The program is one of ``SEC("sk_reuseport")``, which chooses from a map of type
        REUSEPORT_SOCKARRAY, or of ``SEC("socket")``, which returns the index of the socket in
        the group. ``socket`` is any one of the group, with SO_REUSEPORT set; the program
        serves all of them, until it is detached or the last of them is closed.

        Privileges: none, once the program is loaded. Linux 4.5 (``sk_reuseport``: 4.19);
        detaching 5.3.

        Raises:
            BpfError: the socket has no SO_REUSEPORT, or is of a kind that has no such groups.
            TypeError: it is no program of type SK_REUSEPORT or SOCKET_FILTER.
        """
        from pylibbpf.hook.sockets import Reuseport

        self._need_type("attach_reuseport", "SK_REUSEPORT", "SOCKET_FILTER")
        return self._attach_to(Reuseport(_socket(socket)))

    def attach_sockmap(
        self, map: Map, *, attach_type: int | None = None, link: bool | None = None
    ) -> Link:
        """Attach to what the sockets in a map send (``sk_msg``) or receive (``sk_skb``).

        ``map`` is of type SOCKMAP or SOCKHASH. It takes one program for each attach type, and
        sockets that are put into it afterwards. ``attach_type`` need be given only where SEC()
        leaves it open (``SEC("sk_skb")``).

        ``link`` True is an attachment of its own (Linux 6.10), which no other program takes
        the place of; False is the older one, which stays as long as the map does; None is a link
        where the kernel has it. ``close()`` detaches either.

        Privileges: none, once program and map are loaded.

        Raises:
            BpfError: the map is of another kind; EBUSY, a link is there already.
            TypeError: it is no program of type SK_SKB or SK_MSG.
        """
        from pylibbpf.hook.sockets import Sockmap
        from pylibbpf.map import Map

        self._need_type("attach_sockmap", "SK_SKB", "SK_MSG")
        if not isinstance(map, Map):
            raise TypeError(f"the map is one of obj.maps, not {type(map).__name__}")
        kind = None if attach_type is None else integer("attach_type", attach_type, 32)
        return self._attach_to(Sockmap(map._handle, kind, link))


def _socket(socket: sockets.socket | int) -> int:
    """The descriptor, and no reference: a link does not keep the socket open."""
    if isinstance(socket, int) and not isinstance(socket, bool):
        return descriptor("socket", socket)
    if hasattr(socket, "fileno"):
        return socket.fileno()
    raise TypeError(f"a socket is one, or its descriptor, not {type(socket).__name__}")
