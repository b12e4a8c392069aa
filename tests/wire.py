"""Two network namespaces and a cable between them, made by the test that asks for them."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

INTERFACE = "wire0"
NEAR, FAR = "10.76.66.1", "10.76.66.2"
_MAC_NEAR, _MAC_FAR = "02:00:00:00:66:01", "02:00:00:00:66:02"


class Wire:
    """``near`` and ``far`` are names of namespaces; each has an end of the cable, ``wire0``.

    No packet is on it but what a test sends: addresses are known on both sides, and there is no
    IPv6.
    """

    interface = INTERFACE

    def __init__(self, near: str, far: str, *, kind: str = "veth") -> None:
        self.near = near
        self.far = far
        self._kind = kind

    def make(self) -> None:
        from pyroute2 import NetNS

        # A cable comes into being with both ends where they belong, and without IPv6.
        for name in (self.near, self.far):
            with NetNS(name, flags=os.O_CREAT):
                pass
            self.within(name, _without_ipv6)
        with NetNS(self.near) as netns:
            if self._kind == "netkit":
                self._make_netkit(netns)
            else:
                netns.link(
                    "add",
                    ifname=INTERFACE,
                    kind=self._kind,
                    address=_MAC_NEAR,
                    peer={"ifname": INTERFACE, "net_ns_fd": self.far, "address": _MAC_FAR},
                )
        for name, own, other, mac in (
            (self.near, NEAR, FAR, _MAC_FAR),
            (self.far, FAR, NEAR, _MAC_NEAR),
        ):
            with NetNS(name) as netns:
                (index,) = netns.link_lookup(ifname=INTERFACE)
                netns.addr("add", index=index, address=own, prefixlen=24)
                netns.link("set", index=index, state="up")
                if self._kind != "netkit":  # whose Ethernet addresses are zero
                    netns.neigh("add", dst=other, lladdr=mac, ifindex=index, state=128)  # permanent

    def _make_netkit(self, netns: Any) -> None:
        """pyroute2 does not know how to say what the peer is to be: it is made, and then moved."""
        from pyroute2 import NetNS

        before = {each["index"] for each in netns.get_links()}
        netns.link("add", ifname=INTERFACE, kind="netkit")
        made = {each["index"]: each.get_attr("IFLA_IFNAME") for each in netns.get_links()}
        ((peer, name),) = (
            (index, name)
            for index, name in made.items()
            if index not in before and name != INTERFACE
        )
        netns.link("set", index=peer, net_ns_fd=self.far)
        with NetNS(self.far) as far:
            (index,) = far.link_lookup(ifname=name)
            far.link("set", index=index, ifname=INTERFACE)

    def remove(self) -> None:
        from pyroute2 import netns

        for name in (self.near, self.far):
            with contextlib.suppress(FileNotFoundError):
                netns.remove(name)

    def within(self, name: str, call: Callable[[], Any]) -> Any:
        """Call in a namespace, in a thread that ends there."""
        from pyroute2 import netns

        result: list[Any] = []

        def enter() -> None:
            netns.setns(name)
            try:
                result.append(call())
            except BaseException as error:
                result.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def index(self, name: str | None = None) -> int:
        """The index of an end of the cable; the near one's, unless the far namespace is named."""
        return int(self.within(name or self.near, lambda: socket.if_nametoindex(INTERFACE)))

    def send(self, count: int, port: int = 4242, *, back: bool = False) -> None:
        """Send UDP packets from the near end to the far one, or back."""
        name, to = (self.far, NEAR) if back else (self.near, FAR)
        with self.within(name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            for number in range(count):
                sock.sendto(b"%d" % number, (to, port))

    def listen(self, port: int = 4242) -> socket.socket:
        """A socket at the far end."""

        def bound() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((FAR, port))
            sock.settimeout(10)
            return sock

        sock = self.within(self.far, bound)
        assert isinstance(sock, socket.socket)
        return sock


@contextlib.contextmanager
def cable(kind: str = "veth") -> Iterator[Wire]:
    """Make one, and remove it."""
    tag = secrets.token_hex(3)
    wire = Wire(f"plb-{tag}-near", f"plb-{tag}-far", kind=kind)
    try:
        wire.make()
        yield wire
    finally:
        wire.remove()


def until(value: Callable[[], Any], expected: Any) -> None:
    """Wait for packets that are on their way."""
    deadline = time.monotonic() + 10
    while (found := value()) != expected:
        assert time.monotonic() < deadline, f"{found!r} instead of {expected!r}"
        time.sleep(0.005)


def _without_ipv6() -> None:
    for name in ("default", "all"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without it
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
