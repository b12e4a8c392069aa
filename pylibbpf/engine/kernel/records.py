"""Ring and perf buffers of the kernel engine: records drained in C, a batch at a time."""

from __future__ import annotations

from pylibbpf.engine.kernel.check import check, check_pointer
from pylibbpf.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pylibbpf.engine.kernel.engine import KernelObject

# One batch: big enough that the cost of a call vanishes, small enough to stay in the cache.
_BATCH_BYTES = 64 * 1024
_BATCH_RECORDS = 1024


class _Source:
    def __init__(self, owner: KernelObject, name: str) -> None:
        ffi, lib = owner._ffi, owner._lib
        self._owner = owner
        self._ffi = ffi
        self._lib = lib
        self.name = name
        self._closed = False
        batch = check_pointer(lib.plb_batch_new(_BATCH_BYTES, _BATCH_RECORDS), "buffer", name)
        self._batch = ffi.gc(batch, lib.plb_batch_free)
        owner.add_source(self)  # type: ignore[arg-type]  # only its two subclasses are made

    def _take(self, rc: int, operation: str) -> tuple[bytes, Sequence[int], int]:
        if rc < 0:
            if self._closed:
                self._owner.alive()
                raise ClosedError(f"{operation} {self.name!r} is closed")
            check(rc, operation, self.name)
        batch = self._batch
        if not batch.count:
            return b"", (), batch.lost
        data = bytes(self._ffi.buffer(batch.data, batch.used))
        return data, self._ffi.unpack(batch.spans, batch.count * 2), batch.lost


class KernelRing(_Source):
    """A BPF_MAP_TYPE_RINGBUF, read through its memory."""

    def __init__(self, owner: KernelObject, name: str, fd: int, ring: Any) -> None:
        super().__init__(owner, name)
        self._fd = fd
        self._ring = self._ffi.gc(ring, self._lib.plb_ring_free)

    def fileno(self) -> int:
        return self._fd

    def drain(self) -> tuple[bytes, Sequence[int], int]:
        return self._take(self._lib.plb_ring_drain(self._ring, self._batch), "ring buffer")

    def close(self) -> None:
        self._closed = True
        self._lib.plb_ring_close(self._ring)
        self._owner.forget_source(self)

    def abandon(self) -> None:
        # Unmapping in the child leaves the parent's mapping alone.
        self._closed = True


class KernelPerf(_Source):
    """A BPF_MAP_TYPE_PERF_EVENT_ARRAY, read through libbpf's perf_buffer."""

    def __init__(self, owner: KernelObject, name: str, perf: Any) -> None:
        super().__init__(owner, name)
        self._perf = self._ffi.gc(perf, self._lib.plb_perf_free)
        self._fd = int(self._lib.plb_perf_fd(perf))

    def fileno(self) -> int:
        return self._fd

    def drain(self) -> tuple[bytes, Sequence[int], int]:
        return self._take(self._lib.plb_perf_drain(self._perf, self._batch), "perf buffer")

    def close(self) -> None:
        self._closed = True
        self._lib.plb_perf_close(self._perf)
        self._owner.forget_source(self)

    def abandon(self) -> None:
        self._closed = True
        self._lib.plb_perf_abandon(self._perf)
