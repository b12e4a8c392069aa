"""Flight recorders: perf buffers that keep the newest records."""

from __future__ import annotations

import struct
from _thread import RLock
from typing import Any, NamedTuple

from pylibbpf.engine.fork import track
from pylibbpf.errors import ClosedError
from pylibbpf.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pylibbpf.engine.abc import RecorderHandle
    from pylibbpf.events import RecordType
    from pylibbpf.streams import Streams


__all__ = ["FlightRecorder", "Recorded", "samples"]


class Recorded(NamedTuple):
    """One record of a snapshot: when and where it was written, and its value."""

    time_ns: int
    cpu: int
    record: Any


# include/uapi/linux/perf_event.h: struct perf_event_header, and a sample of PERF_SAMPLE_TIME |
# PERF_SAMPLE_RAW behind it.
_HEADER = struct.Struct("=IHH")
_SAMPLE = struct.Struct("=QI")
_PERF_RECORD_SAMPLE = 9
_RAW = _HEADER.size + _SAMPLE.size


def samples(memory: bytes) -> Iterator[tuple[int, bytes]]:
    """Time and bytes of the records in a buffer that is written backward, the newest first.

    ``memory`` begins with the newest record. It ends where nothing was written yet (zeros), or
    where the newest records have overwritten a part of an old one, which is left out.
    """
    at = 0
    while at + _HEADER.size <= len(memory):
        kind, _, size = _HEADER.unpack_from(memory, at)
        if size < _HEADER.size or at + size > len(memory):
            return
        if kind == _PERF_RECORD_SAMPLE and size >= _RAW:
            time_ns, length = _SAMPLE.unpack_from(memory, at + _HEADER.size)
            yield time_ns, memory[at + _RAW : at + min(_RAW + length, size)]
        at += size


class FlightRecorder(Handle):
    """The newest records of a BPF_MAP_TYPE_PERF_EVENT_ARRAY: ``obj.flight_recorder("events")``.

    Programs write to it all the time, and new records overwrite the oldest (the kernel's
    overwritable, backward perf buffer; Linux 4.7). Nothing is read until :meth:`snapshot`.

    Several threads may use it, one after the other.
    """

    def __init__(
        self, owner: Streams, name: str, handle: RecorderHandle, record_type: RecordType
    ) -> None:
        self._owner = owner
        self._handle = handle
        self._lock = RLock()
        self._reason: str | None = None
        self._paused = False
        self.name = name
        """The map's name."""
        self.record_type = record_type
        """Which type the records are decoded as, and by which rule that was found."""
        codec = record_type.codec
        self.decode: Callable[[bytes], Any] = bytes if codec is None else codec.decode
        """From the bytes of one record to its value."""
        track(self)

    def snapshot(self) -> list[Recorded]:
        """The records that are there, of all CPUs, by the time at which they were written.

        The time is that of ``bpf_ktime_get_ns()`` (nanoseconds, CLOCK_MONOTONIC). The records
        stay: the next snapshot has them again, as far as they were not overwritten. Recording
        pauses for the time of the copy (milliseconds); what programs send meanwhile is lost, and
        counted.

        Raises:
            ValueError: a record is shorter than its type.
        """
        with self._lock:
            self._check()
            copies = self._handle.snapshot(resume=not self._paused)
        found = [
            (time_ns, cpu, data) for cpu, memory in copies for time_ns, data in _oldest(memory)
        ]
        found.sort(key=lambda each: each[0])  # stable: within a CPU they stay in order
        decode = self.decode
        return [Recorded(time_ns, cpu, decode(data)) for time_ns, cpu, data in found]

    def pause(self) -> None:
        """Keep what is there: programs' records are lost, and counted, until :meth:`resume`."""
        self._pause(True)

    def resume(self) -> None:
        """Record again."""
        self._pause(False)

    def _pause(self, pause: bool) -> None:
        with self._lock:
            self._check()
            self._handle.pause(pause)
            self._paused = pause

    @property
    def paused(self) -> bool:
        """Whether :meth:`pause` was called last."""
        return self._paused

    @property
    def cpus(self) -> tuple[int, ...]:
        """The CPUs that are recorded: those asked for, or those that were online."""
        return tuple(self._handle.cpus)

    @property
    def lost(self) -> int | None:
        """Records that came while it paused; None where the kernel does not say (before 6.0).

        What is overwritten does not count.
        """
        return sum(self._handle.lost().values()) if self._handle.exact else None

    @property
    def closed(self) -> bool:
        """True after :meth:`close`, and in a forked child."""
        return self._reason is not None

    def close(self) -> None:
        """Stop recording and forget what was recorded. A second call does nothing."""
        if self._reason is None or self._reason == "is closed":
            self._reason = "is closed"
            self._handle.close()
            streams = self._owner._streams
            if streams.get(self.name) is self:
                del streams[self.name]

    def abandon(self) -> None:
        """In a forked child: the records are the parent's."""
        if self._reason is None:
            self._reason = "belongs to the process that opened it, the parent of this one"
            self._lock = RLock()

    def _check(self) -> None:
        if self._reason:
            raise ClosedError(f"flight recorder {self.name!r} {self._reason}")

    def __enter__(self) -> FlightRecorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._reason else ""
        return f"<FlightRecorder {self.name!r} of {self.record_type.name}{state}>"


def _oldest(memory: bytes) -> list[tuple[int, bytes]]:
    return list(samples(memory))[::-1]
