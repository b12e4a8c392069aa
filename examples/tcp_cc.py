#!/usr/bin/env python3
"""Send data over TCP with a congestion control of our own, written in BPF (struct_ops).

    tcp_cc.py                  ten megabytes over loopback, in a network namespace of its own
    tcp_cc.py --megabytes 100
    tcp_cc.py --keep           register it, and leave it to others until Ctrl-C

It is registered under the name plb_textbook, which any socket of the machine may choose
(setsockopt TCP_CONGESTION), and gone when the program ends. Needs root, or CAP_BPF, CAP_PERFMON
and CAP_NET_ADMIN (and CAP_SYS_ADMIN for the namespace); Linux 5.13.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pylibbpf
from pylibbpf.uapi.flags import BPF_F_LINK

OBJECT = Path(__file__).with_suffix(".bpf.o")
NAME = b"plb_textbook"
_CLONE_NEWNET = 0x40000000


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="TCP with a congestion control in BPF.")
    parser.add_argument("--megabytes", type=int, default=10, help="how much is sent")
    parser.add_argument("--keep", action="store_true", help="register it until Ctrl-C")
    args = parser.parse_args()
    try:
        with pylibbpf.open_object(OBJECT) as obj:
            return keep(obj) if args.keep else demonstrate(obj, args.megabytes << 20)
    except pylibbpf.BpfPermissionError as error:
        print(f"tcp_cc: {error}", file=sys.stderr)
        return 2
    except (pylibbpf.Error, OSError) as error:
        print(f"tcp_cc: {error}", file=sys.stderr)
        return 1


def register(obj: pylibbpf.Object) -> pylibbpf.Link:
    """Load and register it: by a link where the kernel has them, which ends with this process."""
    textbook = obj.maps["textbook"]
    if kernel() >= (6, 4):
        textbook.flags |= BPF_F_LINK
    obj.load()
    (link,) = obj.attach().links
    return link


def kernel() -> tuple[int, int]:
    """Major and minor version of the running kernel."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor.partition("-")[0])


def demonstrate(obj: pylibbpf.Object, size: int) -> int:
    """Send ``size`` bytes with it, and show what it was asked."""
    with register(obj):
        own_network()
        took = send(size)
        print(f"sent {size >> 20} MB in {took:.2f} s with {NAME.decode()}")
        for name in ("connections", "acks", "losses", "largest"):
            print(f"{name:>12} {obj.globals[name]}")
    return 0


def keep(obj: pylibbpf.Object) -> int:
    """Let others use it until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with register(obj):
            print(f"registered as {NAME.decode()}, until Ctrl-C", flush=True)
            while True:
                time.sleep(1)
    except KeyboardInterrupt:
        print(f"used by {obj.globals['connections']} connections")
    return 0


def own_network() -> None:
    """Go into a new network namespace, whose loopback nobody else uses."""
    from pyroute2 import IPRoute

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace of its own: {os.strerror(number)}")
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")


def send(size: int) -> float:
    """Send that many bytes over loopback to ourselves; give the seconds it took."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, NAME)
        start = time.monotonic()
        client.connect(server.getsockname())
        reader = threading.Thread(target=receive, args=(server, size))
        reader.start()
        chunk = bytes(1 << 16)
        for _ in range(size // len(chunk)):
            client.sendall(chunk)
        client.shutdown(socket.SHUT_WR)
        reader.join()
        return time.monotonic() - start


def receive(server: socket.socket, size: int) -> None:
    """Take one connection, and all that comes."""
    peer, _ = server.accept()
    with peer:
        while peer.recv(1 << 16):
            pass


if __name__ == "__main__":
    sys.exit(main())
