"""Traffic on loopback."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

__all__ = ["HOST", "in_vain", "tcp", "tcp_pair", "udp", "udp_to_oneself"]

HOST = "127.0.0.1"
TIMEOUT = 60


def tcp() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.settimeout(TIMEOUT)
    return found


def udp(port: int = 0, *, shared: bool = False) -> socket.socket:
    """A socket that has a port, which others may have with it if they share theirs."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.settimeout(TIMEOUT)
    if shared:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((HOST, port))
    return found


def udp_to_oneself() -> None:
    """Send a packet, and receive it."""
    with udp() as one:
        one.sendto(b"x", one.getsockname())
        assert one.recv(8) == b"x"


@contextlib.contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected."""
    with tcp() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        with tcp() as one:
            one.connect(listener.getsockname())
            other, _ = listener.accept()
            with other:
                other.settimeout(TIMEOUT)
                yield one, other


def in_vain() -> None:
    """Connect to a port where nobody listens."""
    with tcp() as one, contextlib.suppress(ConnectionRefusedError):
        one.connect((HOST, 9))
        raise AssertionError("somebody listens on port 9")
