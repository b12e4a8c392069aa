"""Reading iterators."""

from __future__ import annotations

import os
from _thread import RLock

from pylibbpf.engine.fork import track
from pylibbpf.engine.kernel.check import check, failure
from pylibbpf.engine.kernel.library import load
from pylibbpf.errors import ClosedError


class KernelReading:
    """One run of an iterator; it holds the program by itself, whatever becomes of the link."""

    def __init__(self, name: str, link_fd: int) -> None:
        ffi, self._lib = load()
        self.name = name
        self._lock = RLock()
        self._reading = False
        self._reason: str | None = None
        # Closed when it is collected, too: whatever interrupts what follows leaves nothing.
        self._cell = ffi.gc(ffi.new("int *", -1), self._lib.plb_fd_close)
        check(self._lib.plb_fd_iter(self._cell, link_fd), "read iterator", name)
        track(self)

    def read(self, size: int) -> bytes:
        with self._lock:
            self._need_open()
            self._reading = True
            try:
                while True:
                    try:
                        return os.read(self._cell[0], size)
                    except BlockingIOError:
                        # A million objects of which none gave output: kernel/bpf/bpf_iter.c,
                        # MAX_ITER_OBJECTS. It goes on where it was.
                        self._need_open()
                    except OSError as error:
                        raise failure(error.errno or 0, "read iterator", self.name) from None
            finally:
                self._reading = False
                if self._reason:
                    self._lib.plb_fd_close(self._cell)

    def _need_open(self) -> None:
        if self._reason:
            raise ClosedError(f"reading of iterator {self.name!r} {self._reason}")

    def fileno(self) -> int:
        self._need_open()
        return int(self._cell[0])

    def close(self) -> None:
        self._reason = self._reason or "is closed"
        with self._lock:
            # In a signal handler, above a read of its own thread: that one closes on its way out.
            if not self._reading:
                self._lib.plb_fd_close(self._cell)

    def abandon(self) -> None:
        """In a forked child: the parent reads on."""
        self._reason = self._reason or (
            "belongs to the process that opened it, the parent of this one"
        )
        self._lock = RLock()
        self._lib.plb_fd_close(self._cell)
