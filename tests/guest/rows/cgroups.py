"""Rows of control groups: what their processes may do, and what they are seen doing."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from guest.rows.firing import fires_until_closed
from guest.rows.ground import Ground, piece
from guest.rows.row import Rows
from guest.rows.speech import in_vain, tcp, tcp_pair, udp_to_oneself

rows = Rows("control groups")

CGROUP2 = Path("/sys/fs/cgroup")


@piece("cgroup")
@contextlib.contextmanager
def cgroup(ground: Ground) -> Iterator[Path]:
    """A cgroup of the run's own; this process stays in it until the end."""
    folder = Path(tempfile.mkdtemp(prefix="pylibbpf-", dir=CGROUP2))
    folder.chmod(0o755)
    before = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
    pid = str(os.getpid())
    (folder / "cgroup.procs").write_text(pid)
    try:
        yield folder
    finally:
        (CGROUP2 / before / "cgroup.procs").write_text(pid)
        folder.rmdir()


def row(
    name: str,
    program: str,
    trigger: Callable[[], object],
    *,
    since: tuple[int, int] = (5, 10),
    libbpf: tuple[int, int] = (1, 0),
) -> None:
    """Register the row of one program of tests/objects/cgroups.bpf.c, which counts its calls."""

    @rows.row(name, config="CGROUP_BPF", ground="network cgroup", since=since, libbpf=libbpf)
    def exercise(ground: Ground) -> None:
        with ground.loaded("cgroups", program) as obj:
            link = obj.programs[program].attach_cgroup(ground["cgroup"])
            fires_until_closed(link, lambda: obj.globals[f"{program}_calls"], trigger)


def make_socket() -> None:
    tcp().close()


def connect() -> None:
    with tcp_pair():
        pass


def read_device() -> None:
    Path("/dev/null").read_bytes()


def read_sysctl() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").read_text()


def get_option() -> None:
    with tcp() as one:
        one.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)


def set_option() -> None:
    with tcp() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def unix_stream() -> None:
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind("\0pylibbpf-rows")
        one.listen()
        other.connect("\0pylibbpf-rows")


row("cgroup_skb.ingress", "ingress", udp_to_oneself)
row("cgroup_skb.egress", "egress", udp_to_oneself)
row("cgroup.sock_create", "sock_create", make_socket)
row("cgroup.connect4", "connect4", in_vain)
row("cgroup.connect_unix", "connect_unix", unix_stream, since=(6, 7))
row("cgroup.dev", "device", read_device)
row("cgroup.sysctl", "sysctl", read_sysctl)
row("cgroup.getsockopt", "getsockopt", get_option)
row("cgroup.setsockopt", "setsockopt", set_option)
row("sockops", "sock_ops", connect)
