"""Ground for what goes through sockets and network devices: a network of the run's own.

Rows run in a network namespace that the run has entered, so that none of them needs the right to
enter one; packets come from sockets that were opened before.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from guest.rows.ground import Ground, piece

__all__ = ["End", "Pair"]

BUSYBOX = "/run/guest/busybox"
ETH_P_IP = 0x0800
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

# A broadcast frame with an empty UDP packet to port 4242, which the programs of
# tests/objects/devices.bpf.c are about. Whoever gets it does not answer.
PACKET = (
    bytes.fromhex("ffffffffffff 020000006601 0800")
    + bytes.fromhex("4500001c00000000401100000a4c42010a4c42ff")
    + struct.pack("!HHHH", 4242, 4242, 8, 0)
)


@dataclass(frozen=True, slots=True)
class End:
    """A device, and a socket that sends and receives its frames of IPv4."""

    name: str
    frames: socket.socket


@dataclass(frozen=True, slots=True)
class Pair:
    """Two devices with a cable between them. Programs are attached to the near one."""

    near: End
    far: End

    def arrive(self) -> None:
        """Have the near end receive a packet, and wait until it has gone through there."""
        _carry(self.far, self.near)

    def leave(self) -> None:
        """Have the near end send a packet, and wait until it has come to the other."""
        _carry(self.near, self.far)


def _carry(sender: End, receiver: End) -> None:
    sender.frames.send(PACKET)
    while receiver.frames.recv(256)[: len(PACKET)] != PACKET:
        pass


@piece("network")
@contextlib.contextmanager
def network(ground: Ground) -> Iterator[None]:
    """A network namespace with a loopback interface; this thread stays in it until the end."""
    with open("/proc/thread-self/ns/net") as before:
        _call("unshare", _CLONE_NEWNET)
        try:
            _up("lo")
            yield
        finally:
            _call("setns", before.fileno(), _CLONE_NEWNET)


@piece("loopback")
@contextlib.contextmanager
def loopback(ground: Ground) -> Iterator[End]:
    """The loopback interface."""
    with _frames("lo") as frames:
        yield End("lo", frames)


@piece("veth")
@contextlib.contextmanager
def veth(ground: Ground) -> Iterator[Pair]:
    """A pair of devices that have native XDP."""
    with _pair("veth") as made:
        assert made is not None, "this kernel has no veth"
        yield made


@piece("netkit")
@contextlib.contextmanager
def netkit(ground: Ground) -> Iterator[Pair | None]:
    """A pair of netkit devices, the primary one near; None where the kernel has none."""
    with _pair("netkit") as made:
        yield made


@contextlib.contextmanager
def _pair(kind: str) -> Iterator[Pair | None]:
    name = f"{kind}-near"
    before = {each for _, each in socket.if_nameindex()}
    made = subprocess.run(
        [BUSYBOX, "ip", "link", "add", name, "type", kind],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        assert "upported" in made.stderr, made.stderr  # EOPNOTSUPP: "Not supported"
        yield None
        return
    try:
        (other,) = {each for _, each in socket.if_nameindex()} - before - {name}
        _up(name)
        _up(other)
        with _frames(name) as near, _frames(other) as far:
            yield Pair(End(name, near), End(other, far))
    finally:
        subprocess.run([BUSYBOX, "ip", "link", "del", name], check=True)


def _frames(device: str) -> socket.socket:
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    found.bind((device, ETH_P_IP))
    found.settimeout(60)
    return found


def _up(device: str) -> None:
    request = bytearray(struct.pack("16sh22x", device.encode(), 0))  # struct ifreq
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", request, 16)
        struct.pack_into("h", request, 16, flags | _IFF_UP)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


def _call(name: str, *arguments: int) -> None:
    """A function of the C library that Python has only from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
