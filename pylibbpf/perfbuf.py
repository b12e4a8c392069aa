"""Perf buffers."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from pylibbpf.stream import RecordStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pylibbpf.engine.abc import PerfSource
    from pylibbpf.events import RecordType
    from pylibbpf.handle import T  # noqa: F401  # of the class below
    from pylibbpf.streams import Streams

__all__ = ["CpuRecord", "PerfBuffer"]


_R = TypeVar("_R")


class CpuRecord(NamedTuple, Generic[_R]):
    """A record, and the CPU on which it was written."""

    cpu: int
    record: _R


class PerfBuffer(RecordStream["T"]):
    """The records of a BPF_MAP_TYPE_PERF_EVENT_ARRAY map: ``obj.perfbuf("events")``.

    One buffer for each CPU: records of one CPU come in order, those of several CPUs do not.
    The kernel pads records to 4 modulo 8 bytes; what follows the record's type is ignored.

    With ``with_cpu`` each item is a :class:`CpuRecord`, a pair of the CPU and the record.
    """

    _kind = "perf buffer"
    _source: PerfSource

    def __init__(
        self,
        owner: Streams,
        name: str,
        source: PerfSource,
        record_type: RecordType,
        timeout: float | None,
        with_cpu: bool = False,
    ) -> None:
        super().__init__(owner, name, source, record_type, timeout)
        self.with_cpu = with_cpu
        """Whether records come in pairs with their CPU."""
        if with_cpu:
            decode, new = self.decode, tuple.__new__

            def pair(item: tuple[int, bytes]) -> Any:
                cpu, data = item
                return new(CpuRecord, (cpu, decode(data)))

            self.decode = pair

    def read_bytes(self, timeout: float | None = None) -> bytes | None:
        """The next record as bytes, without its CPU; otherwise like :meth:`read`."""
        data: Any = super().read_bytes(timeout)
        if data is not None and self.with_cpu:
            data = data[1]
        return data  # type: ignore[no-any-return]  # bytes, or None

    @property
    def cpus(self) -> tuple[int, ...]:
        """The CPUs that are read: those asked for, or those that were online."""
        return tuple(self._source.cpus)

    @property
    def lost(self) -> int:
        """Records that the kernel could not store, since the buffer was opened.

        Before Linux 6.0 the kernel tells of a loss with the next record that finds room on that
        CPU, and this knows of it once that record is read.
        """
        return sum(self._source.lost().values())

    @property
    def lost_by_cpu(self) -> Mapping[int, int]:
        """The same for each CPU that is read."""
        return dict(self._source.lost())

    def _split(self, data: bytes, spans: Sequence[int]) -> Iterable[Any]:
        records = super()._split(data, spans)
        return zip(self._source.origins(), records, strict=True) if self.with_cpu else records
