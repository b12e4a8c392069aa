"""Ring buffers."""

from __future__ import annotations

from pylibbpf.stream import RecordStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.handle import T  # noqa: F401  # of the class below

__all__ = ["RingBuffer"]


class RingBuffer(RecordStream["T"]):
    """The records of a BPF_MAP_TYPE_RINGBUF map (Linux 5.8): ``obj.ringbuf("events")``.

    A ring has one consumer: a second one for the same map raises until the first is closed.
    """

    _kind = "ring buffer"
