"""Storage that hangs on tasks, sockets, inodes and cgroups."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from pylibbpf.arguments import integer
from pylibbpf.handle import Of
from pylibbpf.map.base import Map, TypedMap
from pylibbpf.map.descriptor import Opened, descriptor
from pylibbpf.map.entries import Entries
from pylibbpf.uapi.flags import BPF_ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

    from pylibbpf.handle import Given, K, V

__all__ = [
    "CgroupStorage",
    "InodeStorage",
    "LocalStorage",
    "OldCgroupStorage",
    "PidFd",
    "SocketStorage",
    "TaskStorage",
]

_NO_KEY = object()


class PidFd(int):
    """A descriptor of a process, as :func:`os.pidfd_open` gives it, to be a key as such."""

    def fileno(self) -> int:
        return int(self)


class LocalStorage(Of["V"], TypedMap):
    """A value for each task, socket, inode or cgroup that has one; it goes with its owner.

    Values are read, written and deleted by key; the kernel has no list of them.
    """

    __iter__ = None

    def _opened(self, key: Any) -> AbstractContextManager[int]:
        raise NotImplementedError

    def __getitem__(self, key: Any) -> V:
        """The value that hangs on ``key``.

        Raises:
            KeyError: it has none.
        """
        return self.lookup_elem(key)

    def lookup_elem(self, key: Any, flags: int = 0) -> V:
        """The value that hangs on ``key``, with ``flags``: BPF_F_LOCK takes its spin lock.

        Raises:
            KeyError: it has none.
        """
        found = self._found(key, flags)
        if found is None:
            raise KeyError(key)
        value: V = self._coder.decode_value(found)
        return value

    def _found(self, key: Any, flags: int = 0) -> bytes | None:
        with self._opened(key) as fd:
            return self._handle.lookup(_key(fd), flags)

    def __setitem__(self, key: Any, value: Given[V]) -> None:
        """Hang a value on ``key``, or replace it."""
        self.update_elem(key, value)

    def update_elem(self, key: Any, value: Any, flags: int = BPF_ANY) -> None:
        """Add or replace, with ``flags``: BPF_NOEXIST only adds, BPF_EXIST only replaces.

        Raises:
            BpfError: EEXIST or ENOENT where the flags forbid it.
        """
        encoded = self._coder.encode_value(value)
        with self._opened(key) as fd:
            self._handle.update(_key(fd), encoded, flags)

    def __delitem__(self, key: Any) -> None:
        """Take the value off ``key``.

        Raises:
            KeyError: it has none.
        """
        with self._opened(key) as fd:
            there = self._handle.delete(_key(fd))
        if not there:
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._found(key) is not None

    def get(self, key: Any, default: Any = None) -> Any:
        """The value that hangs on ``key``, or ``default``."""
        found = self._found(key)
        return default if found is None else self._coder.decode_value(found)


def _key(fd: int) -> bytes:
    return fd.to_bytes(4, sys.byteorder)


class _Descriptor:
    """A descriptor that somebody else closes."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *exception: object) -> None:
        pass


class _Process:
    """A descriptor of a process, for the time of a block."""

    __slots__ = ("_fd", "_pid")

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> int:
        self._fd = os.pidfd_open(integer("a pid", self._pid, 31, 1))
        return self._fd

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)


class TaskStorage(LocalStorage["V"]):
    """A value for each task: ``storage[pid]``, or by :class:`PidFd`. Linux 5.11.

    A pid is that of a process (of its main thread). A process that does not exist is
    ``ProcessLookupError``.
    """

    def _opened(self, key: Any) -> AbstractContextManager[int]:
        if type(key) is int:
            return _Process(key)
        return _Descriptor(descriptor(key, "a pid, or a descriptor of a process"))


class SocketStorage(LocalStorage["V"]):
    """A value for each socket: ``storage[sock]``, by socket or descriptor. Linux 5.2."""

    def _opened(self, key: Any) -> AbstractContextManager[int]:
        return _Descriptor(descriptor(key, "a socket or its descriptor"))


class InodeStorage(LocalStorage["V"]):
    """A value for each inode: by path, open file or descriptor. Linux 5.10."""

    def _opened(self, key: Any) -> AbstractContextManager[int]:
        return Opened(key, "a file, its path or its descriptor")


class CgroupStorage(LocalStorage["V"]):
    """A value for each cgroup: by the path of its folder, or a descriptor of it. Linux 6.2."""

    def _opened(self, key: Any) -> AbstractContextManager[int]:
        return Opened(key, "a cgroup's path or descriptor")


class OldCgroupStorage(Entries["K", "V"], Mapping["K", "V"]):
    """Storage of programs that are attached to cgroups (cgroup_storage, percpu_cgroup_storage).

    The kernel calls it deprecated: :class:`CgroupStorage` is for all programs. Entries come and
    go with attachments; what is there can be read, and replaced.
    """

    __eq__ = Map.__eq__
    __hash__ = Map.__hash__
