#!/usr/bin/env python3
"""Listen on a range of ports with one socket.

    sk_lookup.py --ports 7000-7999             until Ctrl-C
    sk_lookup.py --ports 7000-7999 --seconds 5

Each connection is greeted, and shown with the port that it was for. Needs root, or CAP_BPF,
CAP_PERFMON and CAP_NET_ADMIN. --demo does it in a network namespace of its own, where it makes
some connections, to have something to see.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")
# Connects to each port of the range, to the one before and the one behind it.
WORKLOAD = """
import signal, socket, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
first, last = int(sys.argv[1]), int(sys.argv[2])
for port in range(first - 1, last + 2):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as one:
            print(f"sk_lookup: port {port} says {one.recv(100).decode()}", file=sys.stderr)
    except ConnectionRefusedError:
        print(f"sk_lookup: port {port} is closed", file=sys.stderr)
"""


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Listen on a range of ports with one socket.")
    parser.add_argument("--ports", type=ports, default=(7000, 7003), help="FIRST-LAST")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until Ctrl-C")
    parser.add_argument("--demo", action="store_true", help="by itself, with some connections")
    args = parser.parse_args()
    try:
        serve(args)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except pylibbpf.BpfPermissionError as error:
        print(f"sk_lookup: {error}", file=sys.stderr)
        return 2
    except (pylibbpf.Error, OSError) as error:
        print(f"sk_lookup: {error}", file=sys.stderr)
        return 1
    return 0


def ports(text: str) -> tuple[int, int]:
    """``7000-7999`` as two numbers."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def serve(args: argparse.Namespace) -> None:
    """Load, attach, and take connections until the time is over."""
    first, last = args.ports
    with pylibbpf.open_object(OBJECT) as obj, contextlib.ExitStack() as cleanup:
        obj.globals["first_port"], obj.globals["last_port"] = first, last
        obj.load()
        if args.demo:
            own_network()
        # Bound to a port of the kernel's choice: it gets those of the range all the same.
        listener = cleanup.enter_context(socket.create_server(("", 0)))
        obj.map("listener")[0] = listener
        obj.programs["steer"].attach_sk_lookup()

        print(f"{'PORT':>5} FROM", flush=True)
        if args.demo:
            cleanup.enter_context(workload(first, last))
        deadline = time.monotonic() + args.seconds if args.seconds else None
        for connection, peer in connections(listener, deadline):
            with connection:
                port = connection.getsockname()[1]
                connection.sendall(f"hello, you asked for {port}".encode())
                print(f"{port:>5} {peer}", flush=True)
        print(f"sk_lookup: {obj.globals['steered']} connections steered", file=sys.stderr)


def connections(
    listener: socket.socket, deadline: float | None
) -> Iterator[tuple[socket.socket, str]]:
    """Each connection as it comes, until the time is over."""
    while deadline is None or time.monotonic() < deadline:
        listener.settimeout(None if deadline is None else max(0.01, deadline - time.monotonic()))
        try:
            connection, (host, port) = listener.accept()
        except TimeoutError:
            return
        yield connection, f"{host}:{port}"


@contextlib.contextmanager
def workload(first: int, last: int) -> Iterator[None]:
    """Make connections, in another process."""
    with subprocess.Popen([sys.executable, "-c", WORKLOAD, str(first), str(last)]) as child:
        try:
            yield
        finally:
            child.kill()


def own_network() -> None:
    """Leave for a network namespace of our own, which has nothing but a loopback interface."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "a network namespace of its own needs CAP_SYS_ADMIN")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh22x", b"lo", 1)  # struct ifreq, IFF_UP
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


if __name__ == "__main__":
    sys.exit(main())
