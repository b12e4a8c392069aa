"""Perf buffers."""

from __future__ import annotations

from pylibbpf.stream import RecordStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.handle import T  # noqa: F401  # of the class below

__all__ = ["PerfBuffer"]


class PerfBuffer(RecordStream["T"]):
    """The records of a BPF_MAP_TYPE_PERF_EVENT_ARRAY map: ``obj.perfbuf("events")``.

    One buffer for each CPU: records of one CPU come in order, those of several CPUs do not.
    The kernel pads records to 4 modulo 8 bytes; what follows the record's type is ignored.
    """

    _kind = "perf buffer"

    @property
    def lost(self) -> int:
        """Records that the kernel could not store, since the buffer was opened."""
        return self._source.lost
