"""Ring and perf buffers of the kernel engine: records drained in C, a batch at a time."""

from __future__ import annotations

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.links import attaching
from pylibbpf.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylibbpf.engine.kernel.engine import KernelObject

# One batch: big enough that the cost of a call vanishes, small enough to stay in the cache.
_BATCH_BYTES = 64 * 1024
_BATCH_RECORDS = 1024


class Source:
    """A stream of records; ``close()`` may be repeated, and interrupted.

    ``cell`` is the C struct of the stream, whose functions in the shim are named after it.
    """

    def __init__(self, owner: KernelObject, name: str, what: str, cell: str) -> None:
        ffi, lib = owner.ffi, owner.lib
        self._owner = owner
        self._ffi = ffi
        self._what = what
        self._closed = False
        self.name = name
        self._batch = ffi.gc(ffi.new("struct plb_batch *"), lib.plb_batch_free)
        check(lib.plb_batch_open(self._batch, _BATCH_BYTES, _BATCH_RECORDS), what, name)
        self._drain = getattr(lib, f"{cell}_drain")
        self._close = getattr(lib, f"{cell}_close")
        self._abandon = getattr(lib, f"{cell}_abandon")
        self._cell = ffi.gc(ffi.new(f"struct {cell} *"), self._close)
        self._cell.closed = 1  # until it is open
        self._fd = -1

    def fileno(self) -> int:
        return self._fd

    def drain(self) -> tuple[int, bytes, Sequence[int]]:
        rc = self._drain(self._cell, self._batch)
        batch = self._batch
        if rc < 0:
            if self._closed:
                self._owner.alive()
                raise ClosedError(f"{self._what} {self.name!r} is closed")
            check(rc, self._what, self.name)
        if not batch.count:
            return batch.number, b"", ()
        data = bytes(self._ffi.buffer(batch.data, batch.used))
        return batch.number, data, self._ffi.unpack(batch.spans, batch.count * 2)

    def taken(self) -> None:
        self._batch.count = 0

    @property
    def lost(self) -> int:
        return int(self._batch.lost)

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

    def __init__(self, owner: KernelObject, name: str, fd: int, size: int) -> None:
        super().__init__(owner, name, "ring buffer", "plb_ring")
        check(owner.lib.plb_ring_open(self._cell, fd, size), self._what, name)
        self._fd = fd
        owner.add_source(self)


class KernelPerf(Source):
    """A BPF_MAP_TYPE_PERF_EVENT_ARRAY, read through libbpf's perf_buffer."""

    def __init__(self, owner: KernelObject, name: str, fd: int, pages: int) -> None:
        super().__init__(owner, name, "perf buffer", "plb_perf")
        with attaching, Capture() as capture:  # or a link takes its perf events for its own
            rc = owner.lib.plb_perf_open(self._cell, fd, pages)
        check(rc, self._what, name, capture, pages=pages)
        self._fd = int(owner.lib.plb_perf_fd(self._cell))
        owner.add_source(self)
