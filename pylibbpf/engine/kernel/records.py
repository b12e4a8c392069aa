"""Ring buffers of the kernel engine: records drained in C, a batch at a time."""

from __future__ import annotations

from pylibbpf.engine.kernel.check import check
from pylibbpf.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from pylibbpf.engine.kernel.engine import KernelObject

# One batch: big enough that the cost of a call vanishes, small enough to stay in the cache.
_BATCH_BYTES = 64 * 1024
BATCH_RECORDS = 1024


class Source:
    """A stream of records; ``close()`` may be repeated, and interrupted.

    ``cell`` is the C struct of the stream, whose functions in the shim are named after it;
    ``free`` is what gives it back with its memory, if that is more than closing.
    """

    _what: str

    def __init__(
        self, owner: KernelObject, name: str, cell: str, free: Callable[[Any], None] | None = None
    ) -> None:
        ffi, lib = owner.ffi, owner.lib
        self._owner = owner
        self._ffi, self._lib = ffi, lib
        self._closed = False
        self.name = name
        self._batch = ffi.gc(ffi.new("struct plb_batch *"), lib.plb_batch_free)
        check(lib.plb_batch_open(self._batch, _BATCH_BYTES, BATCH_RECORDS), self._what, name)
        self._drain = getattr(lib, f"{cell}_drain")
        self._close = getattr(lib, f"{cell}_close")
        self._abandon = getattr(lib, f"{cell}_abandon")
        self._cell = ffi.gc(ffi.new(f"struct {cell} *"), free or self._close)
        self._cell.closed = 1  # until it is open

    def drain(self) -> tuple[int, bytes, Sequence[int]]:
        rc = self._drain(self._cell, self._batch)
        batch = self._batch
        if rc < 0:
            if self._closed:
                self.closed_error()
            check(rc, self._what, self.name)
        if not batch.count:
            return batch.number, b"", ()
        data = bytes(self._ffi.buffer(batch.data, batch.used))
        return batch.number, data, self._ffi.unpack(batch.spans, batch.count * 2)

    def taken(self) -> None:
        self._batch.count = 0

    def closed_error(self) -> NoReturn:
        self._owner.alive()
        raise ClosedError(f"{self._what} {self.name!r} is closed")

    def close(self) -> None:
        self._closed = True
        self._close(self._cell)
        self._owner.forget_source(self)

    def abandon(self) -> None:
        """In a forked child: the records are the parent's."""
        self._closed = True
        self._abandon(self._cell)


class KernelRing(Source):
    """A BPF_MAP_TYPE_RINGBUF, read through its memory."""

    _what = "ring buffer"

    def __init__(self, owner: KernelObject, name: str, fd: int, size: int) -> None:
        super().__init__(owner, name, "plb_ring")
        check(owner.lib.plb_ring_open(self._cell, fd, size), self._what, name)
        self._fd = fd
        owner.add_source(self)

    def fileno(self) -> int:
        return self._fd
