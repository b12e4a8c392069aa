"""Ring buffers."""

from __future__ import annotations

from pylibbpf.stream import RecordStream

__all__ = ["RingBuffer"]


class RingBuffer(RecordStream):
    """The records of a BPF_MAP_TYPE_RINGBUF map (Linux 5.8): ``obj.ringbuf("events")``.

    A ring has one consumer: a second one for the same map raises until the first is closed.
    """

    _kind = "ring buffer"
