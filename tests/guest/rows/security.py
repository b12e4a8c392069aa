"""Rows of the kernel's security hooks."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

from guest.rows.firing import fires_until_closed, opens
from guest.rows.ground import Ground
from guest.rows.row import Rows

rows = Rows("security")

_CONFIG = "BPF_LSM BPF_JIT"


@rows.row("lsm", config=_CONFIG)
def lsm(ground: Ground) -> None:
    with ground.loaded("traces", "lsm", target_pid=os.getpid()) as obj:
        link = obj.programs["lsm"].attach_lsm()
        fires_until_closed(link, lambda: obj.globals["hits"], opens)


@rows.row("lsm.s", since=(5, 11), config=_CONFIG)
def lsm_sleepable(ground: Ground) -> None:
    """It reads this process's memory, as only those that may sleep can."""
    number = ctypes.c_uint64(0xC0FFEE)
    place = ctypes.addressof(number)
    with ground.loaded("rows", "lsm_sleepable", target_pid=os.getpid(), address=place) as obj:
        link = obj.programs["lsm_sleepable"].attach_lsm()
        fires_until_closed(link, lambda: obj.globals["hits"], opens)
        assert obj.globals["found"] == 0xC0FFEE


def _binds() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))


@rows.row("lsm_cgroup", since=(6, 0), config=f"{_CONFIG} CGROUP_BPF")
def lsm_cgroup(ground: Ground) -> None:
    """At the first cgroup, in which all others are."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    top = next(where for _, where, kind, *_ in mounts if kind == "cgroup2")
    with ground.loaded("cgroups", "lsm_socket_bind") as obj:
        link = obj.programs["lsm_socket_bind"].attach_cgroup(top)
        fires_until_closed(link, lambda: obj.globals["lsm_socket_bind_calls"], _binds)
