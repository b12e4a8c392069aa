#!/usr/bin/env python3
"""Show who makes the most system calls: a list every so often, by process or by call.

    syscount.py                          every second, until Ctrl-C
    syscount.py --interval 5 --count 1   one list, after five seconds
    syscount.py --syscalls --pid 1234    which calls one process makes, by number

Needs root, or CAP_BPF and CAP_PERFMON.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Show who makes the most system calls.")
    parser.add_argument("--interval", type=float, default=1, help="seconds between two lists")
    parser.add_argument("--count", type=int, help="how many lists (default: until Ctrl-C)")
    parser.add_argument("--top", type=int, default=10, help="how many lines a list has")
    parser.add_argument("--pid", type=int, default=0, help="this process only")
    parser.add_argument("--syscalls", action="store_true", help="by system call, not by process")
    args = parser.parse_args()
    try:
        count(args)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except pylibbpf.BpfPermissionError as error:
        print(f"syscount: {error}", file=sys.stderr)
        return 2
    except pylibbpf.Error as error:
        print(f"syscount: {error}", file=sys.stderr)
        return 1
    return 0


def count(args: argparse.Namespace) -> None:
    """Load, attach and print lists."""
    with pylibbpf.open_object(OBJECT) as obj:
        obj.globals["target_pid"] = args.pid
        obj.globals["by_syscall"] = args.syscalls
        obj.load()
        obj.attach()
        counts = obj.map("syscalls" if args.syscalls else "processes")
        for number in itertools.count(1):
            time.sleep(args.interval)
            # A value is a tuple: each CPU counts for itself.
            totals = {key: sum(value) for key, value in counts.items()}
            counts.clear()
            ranking = sorted(totals, key=totals.__getitem__, reverse=True)[: args.top]
            lines = ["    CALLS  SYSCALL" if args.syscalls else "    CALLS      PID COMM"]
            for key in ranking:
                who = f"{key:>7}" if args.syscalls else f"{key.pid:>7} {key.comm}"
                lines.append(f"{totals[key]:>9}  {who}")
            print("\n".join(lines), flush=True)
            if number == args.count:
                return
            print()


if __name__ == "__main__":
    sys.exit(main())
