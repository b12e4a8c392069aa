"""Two network namespaces with a cable between them, for the --demo of networking examples.

Nothing of it is in the host's own network, and it is gone afterwards.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from pyroute2 import NetNS, netns

NEAR, FAR = "10.76.65.1", "10.76.65.2"
INTERFACE = "demo0"

_T = TypeVar("_T")


@contextlib.contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Make them; give the names of both namespaces. Each has an interface ``demo0``."""
    near, far = (f"pylibbpf-demo-{os.getpid()}-{end}" for end in ("near", "far"))
    try:
        for name in (near, far):
            try:
                netns.create(name)
            except PermissionError as error:
                why = f"the demo makes network namespaces, which only root may ({error.strerror})"
                raise PermissionError(error.errno, why) from None
        with NetNS(near) as end:
            end.link(
                "add",
                ifname=INTERFACE,
                kind="veth",
                peer={"ifname": INTERFACE, "net_ns_fd": far},
            )
        for name, address in ((near, NEAR), (far, FAR)):
            with NetNS(name) as end:
                (index,) = end.link_lookup(ifname=INTERFACE)
                end.addr("add", index=index, address=address, prefixlen=24)
                end.link("set", index=index, state="up")
        yield near, far
    finally:
        for name in (near, far):
            with contextlib.suppress(FileNotFoundError):
                netns.remove(name)


def within(name: str, call: Callable[[], _T]) -> _T:
    """Call in a namespace, in a thread that ends there: this one stays where it is."""
    result: list[_T] = []

    def enter() -> None:
        netns.setns(name)
        result.append(call())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return result[0]


def send(near: str, port: int, count: int) -> None:
    """Send UDP packets from one end to the other."""

    def udp() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with within(near, udp) as sock:
        for number in range(count):
            sock.sendto(b"%d" % number, (FAR, port))


def listen(far: str, port: int) -> socket.socket:
    """A socket at the other end that does not wait."""

    def bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((FAR, port))
        sock.setblocking(False)
        return sock

    return within(far, bound)


def received(sock: socket.socket) -> int:
    """How many packets have come."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(64)
            count += 1
    return count
