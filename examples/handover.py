#!/usr/bin/env python3
"""Count the packets of a control group, through restarts, without missing one.

    handover.py start  --cgroup DIR   count, and take over from whoever counts there already
    handover.py status --cgroup DIR   what each version has counted
    handover.py stop   --cgroup DIR   detach, and remove the pins

`start` attaches, pins the link and the map, and ends: the program goes on counting in the kernel.
Started again (after an update, say), it loads its own version of the program and puts it into the
pinned link in place of the old one. Each packet is seen by one of the two, none by both or none.
Pins are below /sys/fs/bpf, in a folder named after the cgroup (--pins: elsewhere). Needs root, or
CAP_BPF and CAP_NET_ADMIN; Linux 5.10.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pylibbpf

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> int:
    """Parse the arguments and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Count packets, through restarts.")
    parser.add_argument("what", choices=("start", "status", "stop"))
    parser.add_argument("--cgroup", type=Path, required=True, help="folder of the control group")
    parser.add_argument("--pins", type=Path, help="folder for the pins")
    args = parser.parse_args()
    pins = args.pins or Path("/sys/fs/bpf") / f"handover-{args.cgroup.stat().st_ino}"
    try:
        {"start": start, "status": status, "stop": stop}[args.what](args.cgroup, pins)
    except pylibbpf.BpfPermissionError as error:
        print(f"handover: {error}", file=sys.stderr)
        return 2
    except (pylibbpf.Error, OSError) as error:
        print(f"handover: {error}", file=sys.stderr)
        return 1
    return 0


def start(cgroup: Path, pins: Path) -> None:
    """Count from now on, in place of the version that counts now, if one does."""
    pins.mkdir(exist_ok=True)
    link_path = pins / "link"
    with pylibbpf.open_object(OBJECT) as obj:
        for name in ("seen", "next"):
            obj.maps[name].pin_path = os.fspath(pins / name)  # found there, or pinned there
        version = 0
        if (pins / "next").exists():
            with pylibbpf.open_map(pins / "next") as following:
                version = following[0]
        obj.globals["version"] = version
        obj.load()
        obj.map("next")[0] = version + 1
        program = obj.programs["count"]
        if link_path.exists():
            with pylibbpf.open_link(link_path) as link:
                link.update(program)
        else:
            program.attach_cgroup(cgroup).pin(link_path)
        print(f"version {version} counts (program {program.id})")


def status(cgroup: Path, pins: Path) -> None:
    """Show what each version has counted."""
    with pylibbpf.open_map(pins / "seen") as seen:
        counts = {version: packets for version, packets in seen.items() if packets}
    for version, packets in counts.items():
        print(f"version {version}: {packets} packets")
    print(f"all: {sum(counts.values())} packets")


def stop(cgroup: Path, pins: Path) -> None:
    """Detach, and leave nothing."""
    with pylibbpf.open_link(pins / "link") as link:
        link.unpin()
    for name in ("seen", "next"):
        (pins / name).unlink(missing_ok=True)
    pins.rmdir()


if __name__ == "__main__":
    sys.exit(main())
