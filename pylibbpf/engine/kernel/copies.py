"""Copies of descriptors, for calls that may outlast what they were copied from."""

from __future__ import annotations

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.library import load

__all__ = ["copied"]


class copied:  # noqa: N801  # reads as a statement: with copied(fd) as fd
    """A copy of a descriptor, for the time of a block.

    C stores it, and it is closed when it is collected, too: a signal handler's exception may
    come right after the call that makes it.
    """

    __slots__ = ("_cell",)

    def __init__(self, fd: int) -> None:
        ffi, lib = load()
        self._cell = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)
        check(lib.plb_fd_copy(self._cell, fd), f"copy descriptor {fd}")

    def __enter__(self) -> int:
        return int(self._cell[0])

    def __exit__(self, *exception: object) -> None:
        load()[1].plb_fd_close(self._cell)
