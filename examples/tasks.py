#!/usr/bin/env python3
"""Show the processes of this machine, as ps does: asked of the kernel by an iterator.

    tasks.py                   all processes, once
    tasks.py --threads         each thread
    tasks.py --pid 1234        of one process only
    tasks.py --seconds 5       again every second, for five seconds, with what each used meanwhile

Needs root, or CAP_BPF and CAP_PERFMON. --demo is beside a process that keeps a CPU busy.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Show the processes of this machine.")
    parser.add_argument("--threads", action="store_true", help="each thread, not each process")
    parser.add_argument("--pid", type=int, help="this process only")
    parser.add_argument("--seconds", type=float, default=0, help="show again, for so long")
    parser.add_argument("--demo", action="store_true", help="beside a process that is busy")
    args = parser.parse_args()
    try:
        with contextlib.ExitStack() as cleanup:
            if args.demo:
                pid = cleanup.enter_context(workload())
                print(f"tasks: process {pid} (sh) is busy, to have one", file=sys.stderr)
            show_tasks(args)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except pylibbpf.BpfPermissionError as error:
        print(f"tasks: {error}", file=sys.stderr)
        return 2
    except pylibbpf.Error as error:
        print(f"tasks: {error}", file=sys.stderr)
        return 1
    return 0


def show_tasks(args: argparse.Namespace) -> None:
    """Load, attach, and read as often as it is asked for."""
    with pylibbpf.open_object(OBJECT) as obj:
        obj.load()
        link = obj.programs["tasks"].attach_iter()
        before = {task.pid: task for task in link.records()}
        show(before, {}, args)
        end = time.monotonic() + args.seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(1, left))
            print(flush=True)
            now = {task.pid: task for task in link.records()}
            show(now, before, args)
            before = now


def show(now: dict[int, Any], before: dict[int, Any], args: argparse.Namespace) -> None:
    """Print a table; the CPU time is what was used since the table before, or in all."""
    used: dict[int, int] = {}
    threads: dict[int, int] = {}
    for task in now.values():
        old = before.get(task.pid)
        time_ns = task.user + task.system
        if old is not None and old.started == task.started:
            time_ns -= old.user + old.system
        whole = task.pid if args.threads else task.tgid
        used[whole] = used.get(whole, 0) + time_ns
        threads[task.tgid] = threads.get(task.tgid, 0) + 1
    print(f"{'PID':>7} {'PARENT':>7} {'USER':<12} {'THREADS':>7} {'CPU s':>9} COMM", flush=True)
    for task in sorted(now.values(), key=lambda task: (task.tgid, task.pid)):
        if not (args.threads or task.pid == task.tgid) or args.pid not in (None, task.tgid):
            continue
        comm = f"[{task.comm}]" if task.kernel else task.comm
        print(
            f"{task.pid:>7} {task.parent:>7} {user(task.uid):<12} {threads[task.tgid]:>7} "
            f"{used[task.pid] / 1e9:>9.3f} {comm}",
            flush=True,
        )


def user(uid: int) -> str:
    """The name of a user, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name[:12]
    except KeyError:
        return str(uid)


@contextlib.contextmanager
def workload() -> Iterator[int]:
    """Keep a CPU busy; give the process id."""
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as child:
        try:
            yield child.pid
        finally:
            child.kill()


if __name__ == "__main__":
    sys.exit(main())
