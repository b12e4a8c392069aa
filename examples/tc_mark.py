#!/usr/bin/env python3
"""Mark outgoing UDP packets to a port, and count packets by their marks.

    tc_mark.py eth0 --port 9999 --mark 42     until Ctrl-C
    tc_mark.py eth0 --seconds 5 --tcx         by links (Linux 6.6), not as filters of tc
    tc_mark.py --demo                         between two network namespaces of its own

Needs root, or CAP_BPF and CAP_NET_ADMIN (--netns and --demo: CAP_SYS_ADMIN, too). Two programs:
the first marks, the second counts. As filters of tc they run by priority, in tcx in the order of
the list. If this is killed, filters of tc stay: `pylibbpf detach --stale` removes them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Mark UDP packets to a port; count by mark.")
    parser.add_argument("interface", nargs="?", help="where packets go out")
    parser.add_argument("--port", type=int, default=9999, help="what to mark (default: 9999)")
    parser.add_argument("--mark", type=lambda text: int(text, 0), default=42, help="how")
    parser.add_argument("--netns", help="the interface's network namespace")
    parser.add_argument("--tcx", action="store_true", help="by links, on Linux 6.6 or later")
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
        print(f"tc_mark: {error}", file=sys.stderr)
        return 2
    except pylibbpf.Error as error:
        print(f"tc_mark: {error}", file=sys.stderr)
        return 1
    return 0


def watch(args: argparse.Namespace) -> None:
    """Mark, and show the counts once a second."""
    with pylibbpf.open_object(OBJECT) as obj:
        attach(obj, args, args.interface, args.netns)
        deadline = time.monotonic() + args.seconds if args.seconds else None
        while deadline is None or time.monotonic() < deadline:
            rest = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            time.sleep(max(0.0, rest))
            show(obj)


def attach(
    obj: pylibbpf.Object, args: argparse.Namespace, interface: str, netns: str | None
) -> None:
    """Load and attach both programs, the marking one first."""
    obj.globals["port"] = args.port
    obj.globals["mark_value"] = args.mark
    obj.load()
    for priority, name in enumerate(("mark", "count"), 1):
        program = obj.programs[name]
        if args.tcx:
            program.attach_tcx(interface, "egress", netns=netns)
        else:
            program.attach_tc(interface, "egress", priority=priority, netns=netns)
    how = "tcx" if args.tcx else "tc"
    print(f"UDP to port {args.port} is marked {args.mark} at {interface}, by {how}", flush=True)


def counts(obj: pylibbpf.Object) -> dict[int, int]:
    """How many packets had which mark. Each CPU counts for itself: this is the sum."""
    return {mark: packets.sum() for mark, packets in sorted(obj.map("marks").items())}


def show(obj: pylibbpf.Object) -> None:
    """Print one line."""
    said = (f"mark {mark}: {packets}" for mark, packets in counts(obj).items())
    print("  ".join(said) or "no packets", flush=True)


def demo(args: argparse.Namespace) -> None:
    """Send packets to the port and to its neighbour, and count their marks."""
    from cable import INTERFACE, cable, send

    with contextlib.ExitStack() as cleanup:
        near, _ = cleanup.enter_context(cable())
        obj = cleanup.enter_context(pylibbpf.open_object(OBJECT))
        attach(obj, args, INTERFACE, near)
        send(near, args.port, 20)
        send(near, args.port + 1, 30)
        print(f"sent 20 to port {args.port}, 30 to port {args.port + 1}")
        deadline = time.monotonic() + 10
        while sum(counts(obj).values()) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        show(obj)


if __name__ == "__main__":
    sys.exit(main())
