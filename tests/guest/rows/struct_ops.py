"""Rows of kernel structs of functions that programs stand for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from guest.rows.firing import fires_until_closed, until
from guest.rows.ground import Ground
from guest.rows.row import Rows

import pylibbpf
from pylibbpf.uapi.flags import BPF_F_LINK

rows = Rows("struct_ops")

_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
_NAME = b"plb_test_name00"


@contextlib.contextmanager
def _congestion_control(ground: Ground, name: str, flags: int) -> Iterator[pylibbpf.Object]:
    """The object under a name of its own, since names are the whole machine's."""
    data = (ground.objects / "struct_ops.bpf.o").read_bytes()
    data = data.replace(_NAME, name.encode().ljust(len(_NAME), b"_"))
    with pylibbpf.open_object(data, engine="kernel") as obj:
        for each in ("first", "second", "third"):
            obj.maps[each].flags |= flags
        obj.load()
        yield obj


def _sends(name: str) -> None:
    """Send data over loopback by a socket with this congestion control, if there is one."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        with contextlib.suppress(FileNotFoundError):  # detached, there is none of the name
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        client.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            for _ in range(8):
                client.sendall(bytes(1 << 12))
                left = 1 << 12
                while left:
                    left -= len(peer.recv(left))


def _controls(ground: Ground, name: str, flags: int) -> None:
    with _congestion_control(ground, name, flags) as obj:
        name = name.ljust(len(_NAME), "_")
        link = obj.maps["first"].attach()
        assert name in _AVAILABLE.read_text().split()

        def acks() -> int:
            return int(obj.globals["first_acks"])

        before = acks()
        _sends(name)
        until(lambda: acks() > before)
        link.close()
        # With a link it is gone after an RCU grace period.
        until(lambda: name not in _AVAILABLE.read_text().split(), "the name to go")
        after = acks()
        _sends(name)
        assert acks() == after


@rows.row("struct_ops (tcp_cc)", config="BPF_JIT")
def tcp_cc(ground: Ground) -> None:
    _controls(ground, "plb_rows_map", 0)


@rows.row("struct_ops.link", since=(6, 4), config="BPF_JIT")
def link(ground: Ground) -> None:
    _controls(ground, "plb_rows_link", BPF_F_LINK)


_SCHED_EXT = 7  # include/uapi/linux/sched.h


def _is_scheduled() -> None:
    """A child asks for the scheduler, waits a little for its turn, and ends."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.sched_setscheduler(0, _SCHED_EXT, os.sched_param(0))
            for _ in range(5):
                os.sched_yield()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


@rows.row("sched_ext", since=(6, 12), config="SCHED_CLASS_EXT BPF_JIT")
def sched_ext(ground: Ground) -> None:
    with ground.opened("sched_ext", "running", "stopping") as obj:
        obj.maps["counted"].flags |= BPF_F_LINK
        obj.load()
        state = Path("/sys/kernel/sched_ext/state")
        link = obj.maps["counted"].attach()
        assert state.read_text().strip() == "enabled"
        fires_until_closed(link, lambda: obj.globals["runs"], _is_scheduled)
        assert obj.globals["stops"] > 0
        until(lambda: state.read_text().strip() == "disabled", "the scheduler to go")
