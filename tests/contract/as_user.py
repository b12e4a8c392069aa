#!/usr/bin/env python3
"""Runs a command as user 65534 with the capabilities that are named, and no others.

    as_user.py BPF,PERFMON,NET_ADMIN COMMAND ...

As systemd does it (User=, AmbientCapabilities=), with setpriv, and in a network namespace of its
own, so that it may do to its loopback interface as it likes; PYLIBBPF_OTHER_NETNS is a descriptor
of the one that it came from. Needs root. Python may lie in a
home that only root can enter: in a mount namespace of the command's own, such a folder is then
replaced by one that holds nothing but the way to Python and to this checkout.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NOBODY = 65534
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    names = [each.lower() for each in sys.argv[1].split(",") if each]
    open_the_way(Path(each) for each in (sys.base_prefix, sys.prefix, Path(__file__).parents[2]))
    other = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.set_inheritable(other, True)
    os.environ["PYLIBBPF_OTHER_NETNS"] = str(other)
    check(_libc.unshare(_CLONE_NEWNET), "unshare")
    sets = ",".join(["-all", *(f"+{each}" for each in names)])
    os.execvp(
        "setpriv",
        [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            f"--inh-caps={sets}",
            f"--ambient-caps={sets}",
            *sys.argv[2:],
        ],
    )


def open_the_way(places) -> None:
    """Let other users reach these folders, in a mount namespace of this process."""
    barred: dict[Path, list[Path]] = {}
    for place in {each.resolve() for each in places}:
        for folder in reversed(place.parents):
            if not folder.stat().st_mode & 0o001:
                barred.setdefault(folder, []).append(place)
                break
    if not barred:
        return
    check(_libc.unshare(_CLONE_NEWNS), "unshare")
    mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)
    for folder, inside in barred.items():
        held = [(place, os.open(place, os.O_PATH)) for place in inside]
        mount("tmpfs", folder, "tmpfs", 0, "mode=755")
        for place, fd in held:
            place.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{fd}", place, None, _MS_BIND | _MS_REC)


def mount(source: str | None, place: Path, kind: str | None, flags: int, data: str = "") -> None:
    text = [None if each is None else each.encode() for each in (source, str(place), kind)]
    check(_libc.mount(*text, ctypes.c_ulong(flags), data.encode()), f"mount {place}")


def check(rc: int, what: str) -> None:
    if rc:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
