#!/usr/bin/env python3
"""Show the files that processes open, live.

    opensnoop.py                 until Ctrl-C
    opensnoop.py --seconds 5     for five seconds
    opensnoop.py --uid 1000      of one user only (--pid: of one process; --failed: failures only)

Needs root, or CAP_BPF and CAP_PERFMON and a tracefs that may be read. `make run` is this with
--demo: beside a process that opens files, so that there is something to see.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pylibbpf
from pylibbpf.cli.mounts import private_mounts

OBJECT = Path(__file__).with_suffix(".bpf.o")
# A shell that opens two files (one of them is not there) every half second, by itself.
WORKLOAD = "while :; do : < /etc/os-release; : < /etc/pylibbpf-no-such-file; sleep 0.5; done"


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Show the files that processes open, live.")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until Ctrl-C")
    parser.add_argument("--pid", type=int, help="this process only")
    parser.add_argument("--uid", type=int, help="this user only")
    parser.add_argument("--failed", action="store_true", help="only what could not be opened")
    parser.add_argument("--demo", action="store_true", help="beside a process that opens files")
    args = parser.parse_args()
    try:
        snoop(args)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except pylibbpf.BpfPermissionError as error:
        print(f"opensnoop: {error}", file=sys.stderr)
        return show_object() if args.demo else 2
    except pylibbpf.Error as error:
        print(f"opensnoop: {error}", file=sys.stderr)
        # Without privilege nothing could be loaded, whatever else is missing.
        return show_object() if args.demo and os.geteuid() != 0 else 1
    return 0


def snoop(args: argparse.Namespace) -> None:
    """Load, attach and print until the time is over."""
    with pylibbpf.open_object(OBJECT) as obj, contextlib.ExitStack() as cleanup:
        obj.globals["target_pid"] = args.pid or 0
        if args.uid is not None:
            obj.globals["target_uid"] = args.uid
        obj.globals["failed_only"] = args.failed
        for program in obj.programs.values():
            # Some machines have no open(2), only openat(2): those programs are optional.
            program.autoload = True
        obj.load()
        events = obj.ringbuf("events")
        with contextlib.suppress(OSError):  # attach() says what is missing
            private_mounts(tracefs=True)
        attached = obj.attach()
        if args.demo:
            pid = cleanup.enter_context(workload())
            print(f"opensnoop: process {pid} (sh) opens files, to have some", file=sys.stderr)

        print(f"{'PID':>7} {'COMM':<16} {'RESULT':<8} FILE", flush=True)
        deadline = time.monotonic() + args.seconds if args.seconds else None
        for event in records(events, deadline):
            show(event)
        # What is still on its way: it ends, because nothing more can come.
        for link in attached.links:
            link.close()
        for event in events.consume():
            show(event)
        if obj.globals["dropped"]:
            print(f"opensnoop: {obj.globals['dropped']} events lost", file=sys.stderr)


def records(ring: pylibbpf.RingBuffer, deadline: float | None) -> Iterator[Any]:
    """Each record as it comes, until the time is over."""
    while deadline is None or time.monotonic() < deadline:
        event = ring.read(None if deadline is None else max(0, deadline - time.monotonic()))
        if event is not None:
            yield event


def show(event: Any) -> None:
    """Print one line."""
    result = event.ret if event.ret >= 0 else errno.errorcode.get(-event.ret, event.ret)
    print(f"{event.pid:>7} {event.comm:<16} {result!s:<8} {event.fname}", flush=True)


@contextlib.contextmanager
def workload() -> Iterator[int]:
    """Run the workload; give its process id."""
    with subprocess.Popen(["sh", "-c", WORKLOAD], stderr=subprocess.DEVNULL) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def show_object() -> int:
    """What works without privilege: looking into the object."""
    from pylibbpf.cli import main as pylibbpf_command

    print(
        "opensnoop: as another user the object can still be looked at: "
        f"pylibbpf inspect {OBJECT.parent.name}/{OBJECT.name}",
        file=sys.stderr,
        flush=True,
    )
    return pylibbpf_command(["inspect", str(OBJECT)])


if __name__ == "__main__":
    sys.exit(main())
