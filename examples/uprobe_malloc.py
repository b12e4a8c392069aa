#!/usr/bin/env python3
"""Count the sizes that a process asks malloc(3) for, as a histogram.

    uprobe_malloc.py --pid 1234 --seconds 5    of that process, for five seconds
    uprobe_malloc.py --pid 1234                until Ctrl-C
    uprobe_malloc.py --demo --seconds 2        beside a process that asks for memory, to have one

The probe is on the C library that the process uses, wherever that lies (in a container, too), and
strikes in that process only. Needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")
BAR = 40
# Asks for 1000, 100,000 and 3,000,000 bytes a thousand times a second, until its input ends.
WORKLOAD = """
import select, sys
print(flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    bytearray(1000), bytearray(100_000), bytearray(3_000_000)
"""


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Count the sizes that malloc is asked for.")
    parser.add_argument("--pid", type=int, help="of this process")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until Ctrl-C")
    parser.add_argument("--library", default="libc.so.6", help="where malloc is (libc.so.6)")
    parser.add_argument("--demo", action="store_true", help="beside a process of our own")
    args = parser.parse_args()
    if (args.pid is None) != args.demo:
        parser.error("give one of --pid and --demo")
    try:
        watch(args)
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except pylibbpf.BpfPermissionError as error:
        print(f"uprobe_malloc: {error}", file=sys.stderr)
        return 2
    except pylibbpf.Error as error:
        print(f"uprobe_malloc: {error}", file=sys.stderr)
        return 1
    return 0


def watch(args: argparse.Namespace) -> None:
    """Load, attach, wait, and print."""
    with pylibbpf.open_object(OBJECT) as obj, contextlib.ExitStack() as cleanup:
        obj.load()
        pid = args.pid
        if args.demo:
            pid = cleanup.enter_context(workload())
            print(f"uprobe_malloc: process {pid} asks for memory, to have one", file=sys.stderr)
        link = obj.programs["on_malloc"].attach_uprobe(args.library, "malloc", pid=pid)
        print(f"uprobe_malloc: counting in process {pid}", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(args.seconds or float(1 << 30))
        link.close()
        show(obj)


def show(obj: pylibbpf.Object) -> None:
    """Print the histogram."""
    # One record for each CPU; what counts is their sum.
    slots = {
        bit: (sum(each.calls for each in cpus), sum(each.bytes for each in cpus))
        for bit, cpus in obj.map("sizes").items()
    }
    most = max(calls for calls, _ in slots.values())
    print(f"{'SIZE':>21} {'CALLS':>9} {'BYTES':>13}")
    for bit, (calls, size) in slots.items():
        if calls:
            bar = "#" * max(1, calls * BAR // most)
            first = 0 if bit == 0 else 1 << bit
            print(f"{first:>10} {2 << bit:>10} {calls:>9} {size:>13} {bar}", flush=True)
    if not most:
        print("uprobe_malloc: it asked for none meanwhile", file=sys.stderr)


@contextlib.contextmanager
def workload() -> Iterator[int]:
    """Run the workload; give its process id, once it is on its way."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKLOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        try:
            child.stdout.readline()
            yield child.pid
        finally:
            child.kill()


if __name__ == "__main__":
    sys.exit(main())
