"""What of an object is a stream: ring and perf buffers, and the types of their records."""

from __future__ import annotations

import operator

from pylibbpf.errors import BpfError
from pylibbpf.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from typing import Any, Protocol

    from pylibbpf.btf.parse import Btf
    from pylibbpf.engine.abc import MapHandle, ObjectHandle, ProgramHandle
    from pylibbpf.events import RecordType
    from pylibbpf.isa.calls import OutputCall
    from pylibbpf.map import Map
    from pylibbpf.perfbuf import PerfBuffer
    from pylibbpf.recorder import FlightRecorder
    from pylibbpf.ringbuf import RingBuffer
    from pylibbpf.userring import UserRingBuffer

    class Stream(Protocol):
        """What is open on a map."""

        @property
        def closed(self) -> bool: ...
        def close(self) -> None: ...


# Pages of each CPU's part of a perf buffer, unless the caller says otherwise: 256 KiB.
_PERF_PAGES = 64
_MOST_PAGES = 1 << 20


class Streams(Handle):
    """The methods of :class:`Object` that open streams. Each map has one at a time."""

    _data: bytes
    _handle: ObjectHandle
    _lock: Any
    _streams: dict[str, Stream]
    _asked: dict[str, tuple[Any, ...]]

    if TYPE_CHECKING:

        @property
        def maps(self) -> Mapping[str, Map]: ...
        @property
        def _btf(self) -> Btf | None: ...
        def _check(self) -> None: ...
        def _need_loaded(self, operation: str, name: str) -> None: ...

    def ringbuf(
        self,
        name: str,
        type: str | None = None,
        *,
        raw: Collection[str] = (),
        timeout: float | None = None,
    ) -> RingBuffer:
        """The records of a ring buffer map, decoded; see :class:`RingBuffer`.

        ``type`` names the C type of the records (``"struct event"``) where the object does not
        say it itself; ``raw`` names fields to give as bytes. ``timeout``: seconds without a
        record after which iteration ends. A ring has one reader: asked again with the same
        arguments, this gives the open one. Linux 5.8.

        Raises:
            KeyError: no such map.
            TypeError: it is no ring buffer.
            ValueError: no such type, or the ring is being read with other arguments.
        """
        from pylibbpf.ringbuf import RingBuffer
        from pylibbpf.uapi.enums import MapType

        handle = self._need_stream(name, MapType.RINGBUF, "ring buffer", raw)
        stream = self._stream(
            name,
            (RingBuffer, type, tuple(raw), timeout),
            lambda: self.record_type(name, type, raw=raw),
            handle.open_ring,
            lambda source, found: RingBuffer(self, name, source, found, timeout),
        )
        assert isinstance(stream, RingBuffer)
        return stream

    def perfbuf(
        self,
        name: str,
        type: str | None = None,
        *,
        raw: Collection[str] = (),
        timeout: float | None = None,
        pages: int = _PERF_PAGES,
        cpus: Collection[int] | None = None,
        wakeup_events: int = 1,
        wakeup_watermark: int | None = None,
        with_cpu: bool = False,
    ) -> PerfBuffer:
        """The records of a perf event array, decoded; see :class:`PerfBuffer`.

        ``pages`` is the room for each CPU, in memory pages, a power of two. ``cpus`` are the
        CPUs to read (all that are online): a program that runs on another finds its output
        refused. A waiting reader is woken when ``wakeup_events`` records have come on a CPU, or
        ``wakeup_watermark`` bytes if that is given, and when the buffer is half full; a read's
        timeout gives what is there. ``with_cpu`` gives each record in a pair with its CPU.
        The rest is as for :meth:`ringbuf`. Privileges: CAP_PERFMON.
        """
        from pylibbpf.perfbuf import PerfBuffer
        from pylibbpf.uapi.enums import MapType

        chosen = _checked_room(pages, cpus)
        for what, number in (
            ("wakeup_events", wakeup_events),
            ("wakeup_watermark", 1 if wakeup_watermark is None else wakeup_watermark),
        ):
            if not 1 <= operator.index(number) < 1 << 32:
                raise ValueError(f"{what} is 1 or more, and of 32 bits, not {number}")
        if wakeup_watermark is not None and wakeup_events != 1:
            raise ValueError("a reader is woken by wakeup_events or wakeup_watermark, not both")
        handle = self._need_stream(name, MapType.PERF_EVENT_ARRAY, "perf buffer", raw)
        options = (timeout, pages, chosen, wakeup_events, wakeup_watermark, bool(with_cpu))
        stream = self._stream(
            name,
            (PerfBuffer, type, tuple(raw), *options),
            lambda: self.record_type(name, type, raw=raw),
            lambda: handle.open_perf(pages, chosen, wakeup_events, wakeup_watermark),
            lambda source, found: PerfBuffer(self, name, source, found, timeout, bool(with_cpu)),
        )
        assert isinstance(stream, PerfBuffer)
        return stream

    def flight_recorder(
        self,
        name: str,
        type: str | None = None,
        *,
        raw: Collection[str] = (),
        pages: int = _PERF_PAGES,
        cpus: Collection[int] | None = None,
    ) -> FlightRecorder:
        """The newest records of a perf event array, to be looked at when something happened.

        New records overwrite the oldest; see :class:`FlightRecorder`. The arguments are those of
        :meth:`perfbuf`.
        """
        from pylibbpf.recorder import FlightRecorder
        from pylibbpf.uapi.enums import MapType

        chosen = _checked_room(pages, cpus)
        handle = self._need_stream(name, MapType.PERF_EVENT_ARRAY, "flight recorder", raw)
        stream = self._stream(
            name,
            (FlightRecorder, type, tuple(raw), pages, chosen),
            lambda: self.record_type(name, type, raw=raw),
            lambda: handle.open_recorder(pages, chosen),
            lambda source, found: FlightRecorder(self, name, source, found),
        )
        assert isinstance(stream, FlightRecorder)
        return stream

    def user_ringbuf(self, name: str, type: str | None = None) -> UserRingBuffer:
        """A user ring buffer map, to send records to programs; see :class:`UserRingBuffer`.

        ``type`` names the C type of the records where the map's definition does not
        (``pylibbpf_record``); without one they are bytes. A ring has one producer: asked again
        with the same type, this gives the open one. Linux 6.1.

        Raises:
            KeyError: no such map.
            TypeError: it is no user ring buffer.
            ValueError: no such type, or the ring is open with another one.
        """
        from pylibbpf.uapi.enums import MapType
        from pylibbpf.userring import UserRingBuffer

        handle = self._need_stream(name, MapType.USER_RINGBUF, "user ring buffer", ())
        stream = self._stream(
            name,
            (UserRingBuffer, type),
            lambda: self.record_type(name, type),
            handle.open_user_ring,
            lambda source, found: UserRingBuffer(self, name, source, found),
        )
        assert isinstance(stream, UserRingBuffer)
        return stream

    def record_type(
        self, name: str, type: str | None = None, *, raw: Collection[str] = ()
    ) -> RecordType:
        """How records of the ring or perf buffer ``name`` are decoded, and by which rule.

        The rules, in turn: what the caller says (``type``), what the map's definition says (our
        macro ``pylibbpf_record``), DWARF where the object still has it, the value type of the
        map whose values are sent, the one BTF struct of the size that the programs send, else
        bytes.
        """
        from pylibbpf.events import Rule, record_type
        from pylibbpf.uapi.enums import MapType

        drained = self.maps[name].type == MapType.USER_RINGBUF
        if type is not None and not isinstance(type, str):
            raise TypeError(f"a record type is named by a str, not {type!r}")
        found = record_type(
            name,
            user=type,
            btf=self._btf,
            calls=() if drained else self._output_calls(),
            elf=lambda: self._data,
            raw=raw,
        )
        if drained and found.rule is Rule.BYTES:
            found.hint = "programs take records of any type from it: name yours with type="
        return found

    def _need_stream(self, name: str, kind: int, what: str, raw: Collection[str]) -> MapHandle:
        self._check()
        if isinstance(raw, str):
            raise TypeError(f"raw is a collection of names, not the str {raw!r}")
        found = self.maps[name]
        if found.type != kind:
            raise TypeError(f"map {name!r} is no {what}, but {found!r}")
        self._need_loaded(f"open {what}", name)
        return found._handle

    def _stream(
        self,
        name: str,
        asked: tuple[Any, ...],
        found: Callable[[], RecordType],
        open_source: Callable[[], Any],
        make: Callable[[Any, RecordType], Stream],
    ) -> Stream:
        """The open stream of a map, if it was asked for with the same arguments, or a new one."""
        with self._lock:
            known = self._streams.get(name)
            if known is not None and not known.closed:
                if self._asked[name] == asked:
                    return known
                raise ValueError(
                    f"{name!r} is being read already, with other arguments: close that reader first"
                )
            record_type = found()
            source = open_source()
            try:
                stream = make(source, record_type)
                self._asked[name] = asked
                self._streams[name] = stream
            except BaseException:
                source.close()
                raise
            return stream

    def _output_calls(self, name: str | None = None) -> Iterator[OutputCall]:
        """Where the loaded programs send records, from their relocated instructions.

        Only those of the program ``name``, if it is given.
        """
        from pylibbpf.isa.calls import output_calls
        from pylibbpf.isa.insn import decode

        by_fd = {each.fd: each.name for each in self._handle.maps if _has_fd(each)}
        for program in self._handle.programs:
            if not _has_fd(program) or name not in (None, program.name):
                continue  # not loaded: not relocated, and it sends nothing
            insns = decode(program.instructions())
            # BPF_LD | BPF_IMM | BPF_DW with src_reg BPF_PSEUDO_MAP_FD: imm is a descriptor.
            references = {
                index: by_fd[insn.imm]
                for index, insn in enumerate(insns)
                if insn.code == 0x18 and insn.src == 1 and insn.imm in by_fd
            }
            yield from output_calls(insns, references)


def _checked_room(pages: int, cpus: Collection[int] | None) -> tuple[int, ...] | None:
    """The CPUs, each once and in order."""
    if operator.index(pages) < 1 or pages & (pages - 1) or pages > _MOST_PAGES:
        raise ValueError(
            f"the pages of a perf buffer are a power of two from 1 to {_MOST_PAGES}, not {pages}"
        )
    if cpus is None:
        return None
    chosen = tuple(sorted({operator.index(cpu) for cpu in cpus}))
    if not chosen or chosen[0] < 0 or chosen[-1] >= 1 << 31:
        raise ValueError(f"cpus are the numbers of CPUs, one at least, not {list(cpus)}")
    return chosen


def _has_fd(handle: MapHandle | ProgramHandle) -> bool:
    try:
        return handle.fd >= 0
    except BpfError:
        return False
