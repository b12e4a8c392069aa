"""A child that is another user, or may do less than its parent, and what becomes of it there.

A fork, not a new Python: in an emulated guest starting one takes seconds, and there are many
things to try.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import pickle
import pkgutil
import platform
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.as_user import open_the_way

import pylibbpf

__all__ = [
    "NOBODY",
    "PLACES",
    "SERVICE",
    "Child",
    "attempt",
    "filter_calls",
    "preload",
    "reachable",
    "user",
]

NOBODY = 65534
SERVICE = ("BPF", "PERFMON", "NET_ADMIN")

_TIMEOUT = 200  # less than a test may take in a guest, so that it is told
_BITS = {"NET_ADMIN": 12, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = (
    4,
    8,
    22,
    38,
    47,
)
_PR_CAP_AMBIENT_RAISE, _SECCOMP_MODE_FILTER = 2, 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def preload() -> None:
    """Import what the library imports when it is needed: else each child does so for itself."""
    for name in ("attach", "btf", "engine", "explain", "hook", "map", "uapi"):
        package = importlib.import_module(f"pylibbpf.{name}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)


def attempt(body: Callable[[], Any], *become: Callable[[], None]) -> Any:
    """What ``body`` returns in a child, after it has called each of ``become``; or its error.

    An error of this library is given back, not raised; any other exception, a crash and a hang
    fail the test.
    """
    with Child(lambda _: body(), *become) as child:
        return child.ask(0)


class Child:
    """A forked child that has become something, and does what it is asked for by number.

    It is forked when it is first asked, and again after it has crashed or hung: what others ask
    is not lost with it.
    """

    def __init__(self, do: Callable[[int], Any], *become: Callable[[], None]) -> None:
        self._do = do
        self._become = become
        self._pid = 0
        self._socket: socket.socket | None = None

    def ask(self, number: int) -> Any:
        """What ``do(number)`` returns there, or its error. See :func:`attempt`."""
        if self._socket is None:
            self._fork()
        assert self._socket is not None
        self._socket.sendall(struct.pack("=Q", number))
        data = self._answer()
        if not data:
            status = self.close()
            raise AssertionError(f"the child ended without an answer (wait status {status:#x})")
        kind, value = pickle.loads(data)  # our own child's
        if kind == "lost":
            self.close()
        assert kind == "done", value
        return value

    def _fork(self) -> None:
        sys.stdout.flush()
        self._socket, other = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._socket.close()
            gc.freeze()  # what a collection touches would have to be copied
            try:
                _live(other, self._do, self._become)
            finally:
                os._exit(0)
        other.close()
        self._socket.settimeout(_TIMEOUT)

    def _answer(self) -> bytes:
        assert self._socket is not None
        try:
            header = _receive(self._socket, 8)
            return _receive(self._socket, *struct.unpack("=Q", header)) if header else b""
        except TimeoutError:
            os.kill(self._pid, signal.SIGKILL)
            self.close()
            raise AssertionError(f"the child hung for {_TIMEOUT} seconds, and was killed") from None

    def close(self) -> int:
        """End the child; gives its wait status."""
        if self._socket is None:
            return 0
        self._socket.close()
        self._socket = None
        return os.waitpid(self._pid, 0)[1]

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _live(
    parent: socket.socket, do: Callable[[int], Any], become: tuple[Callable[[], None], ...]
) -> None:
    ready = False
    while question := _receive(parent, 8):
        try:
            for each in () if ready else become:
                each()
            ready = True
            try:
                said: tuple[str, Any] = ("done", do(*struct.unpack("=Q", question)))
            except pylibbpf.Error as error:
                said = ("done", error)
            data = pickle.dumps(said)
        except BaseException:
            data = pickle.dumps(("failed" if ready else "lost", traceback.format_exc()))
        parent.sendall(struct.pack("=Q", len(data)) + data)
        if not ready:
            return  # half of what it was to become: the next one is asked of another child


def _receive(one: socket.socket, size: int) -> bytes:
    """So many bytes; none where the other end is closed."""
    data = b""
    while len(data) < size:
        try:
            piece = one.recv(size - len(data))
        except ConnectionError:  # it ended before it had read what was sent
            return b""
        if not piece:
            return b""
        data += piece
    return data


# ---- what a child becomes


def user(*capabilities: str) -> Callable[[], None]:
    """Become user 65534 with these capabilities alone, as by User= and AmbientCapabilities=."""
    bits = sum(1 << _BITS[name] for name in capabilities)

    def become() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        low, high = bits & 0xFFFFFFFF, bits >> 32
        _check(_libc.capset(header, struct.pack("=6I", *(low,) * 3, *(high,) * 3)), "capset")
        for name in capabilities:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _BITS[name])
        # A process that changed its user may not read its own /proc (no dump of it is allowed).
        _prctl(_PR_SET_DUMPABLE, 1)

    return become


# What a child must reach that has become another user: Python, its packages, this checkout.
PLACES = (Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[1])


def reachable(*places: Path) -> Callable[[], None]:
    """Let other users reach these folders, in a mount namespace of the child; before it is one."""
    return lambda: open_the_way(places)


# x86-64 and aarch64: numbers of the calls, and AUDIT_ARCH_* of include/uapi/linux/audit.h
_CALLS = {
    "x86_64": (0xC000003E, {"bpf": 321, "perf_event_open": 298}),
    "aarch64": (0xC00000B7, {"bpf": 280, "perf_event_open": 241}),
}
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # include/uapi/linux/bpf_common.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # include/uapi/linux/seccomp.h


def filter_calls(number: int, *names: str) -> Callable[[], None]:
    """Refuse system calls by a seccomp filter, as container runtimes do."""

    def become() -> None:
        arch, calls = _CALLS[platform.machine()]
        code = [(_LOAD_WORD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _ALLOW)]
        code.append((_LOAD_WORD, 0, 0, 0))
        for name in names:
            code.append((_JUMP_EQUAL, 0, 1, calls[name]))
            code.append((_RETURN, 0, 0, _ERRNO | number))
        code.append((_RETURN, 0, 0, _ALLOW))
        text = b"".join(struct.pack("=HBBI", *each) for each in code)
        held = ctypes.create_string_buffer(text, len(text))
        program = struct.pack("@HP", len(code), ctypes.addressof(held))
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program)

    return become


def _prctl(*arguments: int | bytes) -> None:
    words = [each if isinstance(each, bytes) else ctypes.c_ulong(each) for each in arguments]
    words += [ctypes.c_ulong(0)] * (5 - len(words))
    _check(_libc.prctl(*words), f"prctl {arguments[0]!r}")


def _check(rc: int, what: str) -> None:
    if rc:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
