"""Iterators: programs whose output is read like a file."""

from __future__ import annotations

import io
import os

from pylibbpf.link import Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

    from _typeshed import WriteableBuffer

    from pylibbpf.engine.abc import ReadingHandle
    from pylibbpf.events import RecordType

__all__ = ["IterLink"]

# As much as the kernel has room for: kernel/bpf/bpf_iter.c, bpf_seq_read (8 pages).
_BUFFER = 32768


class IterLink(Link):
    """An attached iterator: SEC("iter/...").

    Every reading runs the program anew, once for each of the kernel's objects that it goes
    through, while it is read. What was opened reads on when the link is closed. One that is
    pinned (:meth:`pin`) can be read by anybody with ``cat``.
    """

    def open(self) -> io.BufferedReader:
        """Start a reading: a binary file, to be closed by the caller.

        Raises:
            ClosedError: the link is closed.
        """
        return io.BufferedReader(_Output(self._handle.iterate()), _BUFFER)

    def read_bytes(self) -> bytes:
        """All that the program writes, in one reading."""
        with self.open() as file:
            return file.read()

    def read_text(self) -> str:
        """The same as text (UTF-8), for programs that write with ``BPF_SEQ_PRINTF``."""
        return os.fsdecode(self.read_bytes())

    def record_type(self, type: str | None = None, *, raw: Collection[str] = ()) -> RecordType:
        """What a program's ``bpf_seq_write()`` writes, and by which rule that was found.

        The rules are those of :meth:`Object.record_type`, but for the map's definition: there is
        no map.
        """
        from pylibbpf.events import Rule, record_type
        from pylibbpf.isa.calls import SEQ_FILE

        if type is not None and not isinstance(type, str):
            raise TypeError(f"a record type is named by a str, not {type!r}")
        owner: Any = self._owner
        if not hasattr(owner, "_output_calls"):
            raise TypeError(
                f"{self!r} was not attached here, and its records' types are not known: read bytes"
            )
        found = record_type(
            SEQ_FILE,
            user=type,
            btf=owner._btf,
            calls=[call for call in owner._output_calls(self.name) if call.map == SEQ_FILE],
            elf=lambda: owner._data,
            raw=raw,
        )
        if found.rule is Rule.BYTES and found.hint is not None:
            found.hint = found.hint.partition("; name it")[0] + "; name it with type="
        return found

    def records(self, type: str | None = None, *, raw: Collection[str] = ()) -> Iterator[Any]:
        """The structs that the program writes with ``bpf_seq_write()``, one by one.

        ``type`` names their type in C (``"struct entry"``) where :meth:`record_type` finds none;
        ``raw`` names fields to give as bytes.

        Raises:
            TypeError: the type is not known.
            ValueError: no such type; or the output ends within a record.
        """
        found = self.record_type(type, raw=raw)
        codec = found.codec
        if codec is None:
            raise TypeError(
                f"the records of iterator {self.name!r} have no known type: {found.hint}"
            )
        if codec.flexible or not codec.size:
            raise TypeError(f"records of type {found.name} have no fixed size: read bytes")
        return self._decoded(codec)

    def _decoded(self, codec: Any) -> Iterator[Any]:
        size, decode = codec.size, codec.decode
        with self.open() as file:
            while data := file.read(size * max(1, _BUFFER // size)):
                whole = len(data) - len(data) % size
                for at in range(0, whole, size):
                    yield decode(data, at)
                if whole != len(data):
                    raise ValueError(
                        f"iterator {self.name!r} ends within a record: {codec.type_name} has "
                        f"{size} bytes, and the last {len(data) - whole}"
                    )

    def __enter__(self) -> IterLink:
        return self

    def __repr__(self) -> str:
        return f"<IterLink of {self.name!r}{', closed' if self.closed else ''}>"


class _Output(io.RawIOBase):
    """One reading, as a raw file."""

    def __init__(self, reading: ReadingHandle) -> None:
        self._reading = reading

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        with memoryview(buffer).cast("B") as view:
            data = self._reading.read(len(view))
            view[: len(data)] = data
        return len(data)

    def fileno(self) -> int:
        return self._reading.fileno()

    def close(self) -> None:
        if not self.closed:
            self._reading.close()
        super().close()
