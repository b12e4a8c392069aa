"""tracefs and bpffs for one process, where the host has not mounted them.

The library mounts nothing. A command may, for itself: in a mount namespace of its own, so that
nobody else sees it and nothing is left behind.
"""

from __future__ import annotations

import ctypes
import os

TRACEFS = "/sys/kernel/tracing"
BPFFS = "/sys/fs/bpf"

_CLONE_NEWNS = 0x00020000
_MS_PRIVATE = 1 << 18


def tracefs_mounted() -> bool:
    """Whether libbpf would find tracefs: where it is mounted by itself, or below debugfs."""
    return any(
        os.path.isdir(f"{folder}/events") for folder in (TRACEFS, "/sys/kernel/debug/tracing")
    )


def bpffs_mounted() -> bool:
    """Whether /sys/fs/bpf is a BPF file system."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return any(line.split()[4] == BPFFS and " - bpf " in line for line in file)


def private_mounts(*, tracefs: bool = True, bpffs: bool = False) -> list[str]:
    """Mount what is missing in a mount namespace of this process; returns what was mounted.

    Privilege: CAP_SYS_ADMIN. Threads that run already keep the old view.

    Raises:
        OSError: the namespace could not be made, or the mount failed.
    """
    wanted = []
    if tracefs and not tracefs_mounted():
        wanted.append(("tracefs", TRACEFS))
    if bpffs and not bpffs_mounted():
        wanted.append(("bpf", BPFFS))
    if not wanted:
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    _call(libc.unshare(_CLONE_NEWNS), "unshare")
    for kind, place in wanted:
        # What is mounted on a shared mount appears in the other namespaces, too. Only the one
        # below is made private: "/" is no mount at all in a chroot.
        below = _mount_below(place)
        rc = libc.mount(None, below.encode(), None, ctypes.c_ulong(_MS_PRIVATE), None)
        _call(rc, f"make {below} a private mount")
        rc = libc.mount(kind.encode(), place.encode(), kind.encode(), ctypes.c_ulong(0), None)
        _call(rc, f"mount {kind}")
    return [place for _, place in wanted]


def _mount_below(place: str) -> str:
    """Where the file system is mounted that holds ``place``."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        points = [line.split()[4] for line in file]
    return max(
        (each for each in points if f"{place}/".startswith(each.rstrip("/") + "/")),
        key=len,
        default="/",
    )


def _call(rc: int, what: str) -> None:
    if rc:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
