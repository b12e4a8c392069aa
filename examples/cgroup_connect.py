#!/usr/bin/env python3
"""Run a command that cannot connect to some ports, and show when it tries.

    cgroup_connect.py --port 25 --port 587 -- ./nightly-job
    cgroup_connect.py --port 25 --seconds 60     # no command: put processes into the cgroup

The command runs in a cgroup of its own, made for it and removed at the end; connect(2) to one of
the ports fails there with EPERM, and everywhere else works. Needs root, or CAP_BPF, CAP_PERFMON,
CAP_NET_ADMIN and a cgroup that may be written to. --demo runs a command that tries, to have
something to see.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")
# Tries one port again and again.
WORKLOAD = """
import signal, socket, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
while True:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as one:
            try:
                one.connect((host, int(sys.argv[1])))
            except OSError:
                pass
    time.sleep(0.2)
"""


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Run a command that cannot connect to some ports.")
    parser.add_argument("--port", type=int, action="append", default=[], help="one that is refused")
    parser.add_argument("--seconds", type=float, default=0, help="how long; 0: until it ends")
    parser.add_argument("--demo", action="store_true", help="run a command that tries a port")
    parser.add_argument("command", nargs="*", help="what to run (none: until Ctrl-C)")
    args = parser.parse_args()
    if not args.port and not args.demo:
        parser.error("which --port?")
    try:
        return guard(args)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read our output has left. What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except pylibbpf.BpfPermissionError as error:
        print(f"cgroup_connect: {error}", file=sys.stderr)
        return 2
    except (pylibbpf.Error, OSError) as error:
        print(f"cgroup_connect: {error}", file=sys.stderr)
        return 1


def guard(args: argparse.Namespace) -> int:
    """Load, attach to a new cgroup, run the command in it; give its exit status."""
    with pylibbpf.open_object(OBJECT) as obj, contextlib.ExitStack() as cleanup:
        obj.load()
        if args.demo:
            args.port += [cleanup.enter_context(listening()).getsockname()[1]]
            args.command = [sys.executable, "-c", WORKLOAD, str(args.port[-1])]
        refused = obj.map("refused")
        for port in args.port:
            refused[port] = 0
        cgroup = cleanup.enter_context(new_cgroup())
        for name in ("connect4", "connect6"):
            obj.programs[name].attach_cgroup(cgroup)
        if args.demo:
            with socket.create_connection(("127.0.0.1", args.port[-1])):
                print("cgroup_connect: outside the cgroup, connected", file=sys.stderr)
        if not args.command:
            print(f"cgroup_connect: echo PID > {cgroup}/cgroup.procs", file=sys.stderr)

        events = obj.ringbuf("events")
        print(f"{'PID':>7} {'COMM':<16} {'PORT':>5} ADDRESS", flush=True)
        child = cleanup.enter_context(running(args.command, cgroup)) if args.command else None
        deadline = time.monotonic() + args.seconds if args.seconds else None
        while child is None or child.poll() is None:
            left = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
            if left <= 0:
                break
            event = events.read(left)
            if event is not None:
                show(event)
        for event in events.consume():
            show(event)
        total = sum(refused.values())
        print(f"cgroup_connect: {total} connections refused", file=sys.stderr)
        return (child.returncode or 0) if child is not None else 0


def show(event: Any) -> None:
    """Print one line."""
    if event.family == socket.AF_INET:
        address = socket.inet_ntop(socket.AF_INET, struct.pack("=I", event.ip4))
    else:
        address = socket.inet_ntop(socket.AF_INET6, struct.pack("=4I", *event.ip6))
    print(f"{event.pid:>7} {event.comm:<16} {event.port:>5} {address}", flush=True)


@contextlib.contextmanager
def new_cgroup() -> Iterator[Path]:
    """Make a cgroup below our own one; remove it, and what still runs in it, at the end."""
    prefix = f"cgroup_connect-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=own_cgroup()))
    try:
        yield folder
    finally:
        procs = folder / "cgroup.procs"
        while pids := procs.read_text().split():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            time.sleep(0.02)
        folder.rmdir()


def own_cgroup() -> Path:
    """The folder of the cgroup (v2) that we are in."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    where = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if where is None:
        raise OSError("there is no cgroup v2 here: mount -t cgroup2 cgroup2 FOLDER")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            own = Path(where + line.removeprefix("0::"))
            if own.is_dir():
                return own
    return Path(where)


@contextlib.contextmanager
def running(command: list[str], cgroup: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that is in the cgroup from its first moment."""
    enter = 'echo $$ > "$0" && exec "$@"'
    with subprocess.Popen(["sh", "-c", enter, cgroup / "cgroup.procs", *command]) as child:
        try:
            yield child
        finally:
            child.kill()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A server to connect to, on this machine only."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


if __name__ == "__main__":
    sys.exit(main())
