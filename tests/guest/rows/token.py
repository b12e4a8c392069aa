"""The row of BPF tokens: what root of a user namespace may do where a bpffs is delegated to it.

The library asks for no token: libbpf takes one by itself from a delegated bpffs at /sys/fs/bpf.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path

from guest.rows.expect import kernel
from guest.rows.firing import calls, fires_until_closed
from guest.rows.ground import Ground, piece
from guest.rows.row import Rows

rows = Rows("token")

_SINCE = (6, 9)
_NEW_USER_AND_MOUNTS = 0x10000000 | 0x00020000
# include/uapi/asm-generic/unistd.h, and include/uapi/linux/mount.h
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
_SET_STRING, _CREATE, _EMPTY_PATH, _AT_FDCWD = 1, 6, 4, -100
_DELEGATED = ("delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(rc: int, what: str) -> int:
    if rc < 0:
        raise OSError(ctypes.get_errno(), what)
    return rc


class Container:
    """A process that is root in a user namespace of its own, and nothing outside of it."""

    def __init__(self, ground: Ground) -> None:
        self._socket, other = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            status = 1
            try:
                self._socket.close()
                _dwell(other, ground)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        other.close()
        try:
            self._delegate()
        except BaseException:
            self.close()
            raise

    def _delegate(self) -> None:
        """What only real root can: say which commands, maps and programs the bpffs stands for."""
        assert self._socket.recv(1), "no user namespace could be made"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{self._pid}/{name}").write_text("0 0 1")
        self._socket.send(b"m")
        _, (fd,), _, _ = socket.recv_fds(self._socket, 1, 1)
        try:
            if kernel() < _SINCE:  # nothing can be delegated; the file system takes any option
                self._socket.send(b"n")
                return
            for name in _DELEGATED:
                rc = _libc.syscall(_FSCONFIG, fd, _SET_STRING, name.encode(), b"any", 0)
                _check(rc, name)
            _check(_libc.syscall(_FSCONFIG, fd, _CREATE, None, None, 0), "create the bpffs")
            mount = _check(_libc.syscall(_FSMOUNT, fd, 0, 0), "fsmount")
            socket.send_fds(self._socket, [b"d"], [mount])
            os.close(mount)
        finally:
            os.close(fd)

    def ask(self) -> None:
        """Have it try the row; raises what that did."""
        self._socket.send(b"?")
        with self._socket.makefile("rb") as answer:
            error = pickle.load(answer)
        if error is not None:
            raise error

    def close(self) -> None:
        self._socket.close()
        os.waitpid(self._pid, 0)


def _dwell(parent: socket.socket, ground: Ground) -> None:
    """The life of the process in the user namespace."""
    _check(_libc.unshare(_NEW_USER_AND_MOUNTS), "unshare")
    parent.send(b"u")
    assert parent.recv(1)
    fd = _check(_libc.syscall(_FSOPEN, b"bpf", 0), "fsopen")
    socket.send_fds(parent, [b"f"], [fd])
    _, mounts, _, _ = socket.recv_fds(parent, 1, 1)
    os.close(fd)
    for mount in mounts:
        to = b"/sys/fs/bpf"
        _check(_libc.syscall(_MOVE_MOUNT, mount, b"", _AT_FDCWD, to, _EMPTY_PATH), "move_mount")
    while parent.recv(1):
        try:
            _fires(ground)
            said: BaseException | None = None
        except Exception as error:
            said = error
        parent.sendall(pickle.dumps(said))


@piece("container")
@contextlib.contextmanager
def _container(ground: Ground) -> Iterator[Container]:
    container = Container(ground)
    try:
        yield container
    finally:
        container.close()


def _fires(ground: Ground) -> None:
    with ground.loaded("traces", "raw_tp", target_pid=os.getpid()) as obj:
        link = obj.programs["raw_tp"].attach_raw_tracepoint("sys_enter")
        fires_until_closed(link, lambda: obj.globals["hits"], calls)


@rows.row("BPF token", since=_SINCE, libbpf=(1, 4), config="USER_NS", ground="container")
def token(ground: Ground) -> None:
    ground["container"].ask()
