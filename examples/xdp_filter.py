#!/usr/bin/env python3
"""Drop UDP packets to a port where they come in, and count them.

    xdp_filter.py eth0 --port 9999             until Ctrl-C
    xdp_filter.py eth0 --port 9999 --seconds 5
    xdp_filter.py --demo                       between two network namespaces of its own

Needs root, or CAP_BPF and CAP_NET_ADMIN (--netns and --demo: CAP_SYS_ADMIN, too). The filter is
held by a link: it is gone when this ends, however it ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")
VERDICTS = ("dropped", "passed UDP", "passed other")  # as in the program


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Drop UDP packets to a port, and count them.")
    parser.add_argument("interface", nargs="?", help="where packets come in")
    parser.add_argument("--port", type=int, default=9999, help="what to drop (default: 9999)")
    parser.add_argument("--mode", choices=("native", "generic"), help="default: the kernel's")
    parser.add_argument("--netns", help="the interface's network namespace")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until Ctrl-C")
    parser.add_argument("--demo", action="store_true", help="in namespaces of its own")
    args = parser.parse_args()
    if (args.interface is None) != args.demo:
        parser.error("name an interface, or say --demo")
    try:
        if args.demo:
            demo(args)
        else:
            watch(args)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except PermissionError as error:  # the library's, or that of making the demo's namespaces
        print(f"xdp_filter: {error}", file=sys.stderr)
        return 2
    except pylibbpf.Error as error:
        print(f"xdp_filter: {error}", file=sys.stderr)
        return 1
    return 0


def watch(args: argparse.Namespace) -> None:
    """Filter, and show the counts once a second."""
    with pylibbpf.open_object(OBJECT) as obj:
        attach(obj, args, args.interface, args.netns)
        deadline = time.monotonic() + args.seconds if args.seconds else None
        while deadline is None or time.monotonic() < deadline:
            rest = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            time.sleep(max(0.0, rest))
            show(counts(obj))


def attach(
    obj: pylibbpf.Object, args: argparse.Namespace, interface: str, netns: str | None
) -> None:
    """Load and attach; say in which mode it runs."""
    obj.globals["port"] = args.port
    obj.load()
    link = obj.programs["filter"].attach_xdp(interface, mode=args.mode, netns=netns)
    print(f"UDP to port {args.port} is dropped at {interface}, in {link.mode} mode", flush=True)


def counts(obj: pylibbpf.Object) -> dict[str, Any]:
    """What happened to how many frames and bytes. Each CPU counts for itself: this is the sum."""
    return {VERDICTS[index]: value.sum() for index, value in obj.map("verdicts").items()}


def show(found: dict[str, Any]) -> None:
    """Print one line."""
    said = (f"{name} {count.frames} ({count.bytes} bytes)" for name, count in found.items())
    print("  ".join(said), flush=True)


def demo(args: argparse.Namespace) -> None:
    """Send packets to the port and to its neighbour, and see what arrives."""
    from cable import INTERFACE, cable, listen, received, send

    with contextlib.ExitStack() as cleanup:
        near, far = cleanup.enter_context(cable())
        obj = cleanup.enter_context(pylibbpf.open_object(OBJECT))
        attach(obj, args, INTERFACE, far)
        blocked, open_ = (cleanup.enter_context(listen(far, args.port + n)) for n in (0, 1))
        send(near, args.port, 100)
        send(near, args.port + 1, 50)
        wait(obj, 150)
        print(f"sent 100 to port {args.port}, {received(blocked)} arrived")
        print(f"sent 50 to port {args.port + 1}, {received(open_)} arrived")
        show(counts(obj))


def wait(obj: pylibbpf.Object, udp: int) -> None:
    """Until that many UDP packets were seen; packets take their time."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = counts(obj)
        if found["dropped"].frames + found["passed UDP"].frames >= udp:
            break
        time.sleep(0.01)
    time.sleep(0.05)  # from the filter to the socket


if __name__ == "__main__":
    sys.exit(main())
