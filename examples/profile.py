#!/usr/bin/env python3
"""Sample what the CPUs do, and print the stacks folded, as flame graphs want them.

    profile.py --seconds 10            for ten seconds, then print
    profile.py --pid 1234              one process only; until Ctrl-C
    profile.py --frequency 199         so many samples a second on each CPU (default 99)

Each line is a program's name, its frames from the outermost on, and how often they were seen.
Frames in the kernel have names (_k behind them), those of programs are addresses: [unknown] is
what keeps no frame pointers. Needs root, or CAP_BPF and CAP_PERFMON (and CAP_SYSLOG for names of
the kernel's functions). --demo is beside a process that keeps a CPU busy.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Sample what the CPUs do.")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until Ctrl-C")
    parser.add_argument("--pid", type=int, help="this process only")
    parser.add_argument("--frequency", type=int, default=99, help="samples a second, on each CPU")
    parser.add_argument("--demo", action="store_true", help="beside a process that is busy")
    args = parser.parse_args()
    try:
        profile(args)
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except pylibbpf.BpfPermissionError as error:
        print(f"profile: {error}", file=sys.stderr)
        return 2
    except pylibbpf.Error as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    return 0


def profile(args: argparse.Namespace) -> None:
    """Load, attach, wait, and print."""
    with pylibbpf.open_object(OBJECT) as obj, contextlib.ExitStack() as cleanup:
        obj.globals["target_pid"] = args.pid or 0
        obj.load()
        if args.demo:
            pid = cleanup.enter_context(workload())
            print(f"profile: process {pid} (dd) is busy, to have one", file=sys.stderr)
        # A clock that every machine has, virtual ones included.
        link = obj.programs["sample"].attach_perf_event("cpu-clock", frequency=args.frequency)
        print("profile: sampling", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(args.seconds or float(1 << 30))
        link.close()
        for stack, count in folded(obj).most_common():
            print(stack, count, flush=True)
        if obj.globals["dropped"]:
            print(f"profile: {obj.globals['dropped']} samples lost", file=sys.stderr)


def folded(obj: pylibbpf.Object) -> Counter[str]:
    """How often each stack was seen."""
    stacks = obj.map("stacks")
    symbols = Symbols()
    found: Counter[str] = Counter()
    for sample, count in obj.map("counts").items():
        frames = [sample.comm]
        if sample.user >= 0:
            frames += [f"{address:#x}" for address in reversed(stacks[sample.user])]
        else:
            frames.append("[unknown]")
        if sample.kernel >= 0:
            frames += [symbols.name(address) + "_k" for address in reversed(stacks[sample.kernel])]
        found[";".join(frames)] += count
    return found


class Symbols:
    """The kernel's functions by address, from /proc/kallsyms."""

    def __init__(self) -> None:
        known = []
        with open("/proc/kallsyms") as file:
            for line in file:
                address, kind, name, *_ = line.split()
                if kind in "tTwW" and int(address, 16):
                    known.append((int(address, 16), name))
        known.sort()
        self._addresses = [address for address, _ in known]
        self._names = [name for _, name in known]

    def name(self, address: int) -> str:
        """The function that an address is in."""
        at = bisect_right(self._addresses, address) - 1
        return self._names[at] if at >= 0 else f"{address:#x}"


@contextlib.contextmanager
def workload() -> Iterator[int]:
    """Keep a CPU busy, in the kernel; give the process id."""
    command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64k"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        try:
            yield child.pid
        finally:
            child.kill()


if __name__ == "__main__":
    sys.exit(main())
