"""A ring or perf buffer as a stream of decoded records."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from time import monotonic

from pylibbpf.engine.fork import track
from pylibbpf.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pylibbpf.engine.abc import RecordSource
    from pylibbpf.events import RecordType
    from pylibbpf.object import Object

# A record that a program has reserved and not yet submitted makes the ring poll readable with
# nothing to take. It is looked at again after this many seconds.
_UNSUBMITTED = 0.001


class RecordStream:
    """Records of one map, in the order in which they were submitted.

    Iterating waits for records and decodes them; it ends when the stream is closed, from this
    thread or another, or, if ``timeout`` was given, when no record came for that many seconds.
    Ctrl-C ends a wait at once. Several threads may read: each record goes to one of them.

    Records are taken from the kernel a batch at a time, and what was taken is kept until it is
    read: an exception raised by a callback loses nothing.
    """

    def __init__(
        self,
        owner: Object,
        name: str,
        source: RecordSource,
        record_type: RecordType,
        timeout: float | None,
    ) -> None:
        self._owner = owner
        self._source = source
        self._pending: deque[bytes] = deque()
        self._reading = threading.RLock()
        self._closing = threading.Lock()
        self._closed: str | None = None
        self._lost = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(source.fileno(), select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        self.name = name
        """The map's name."""
        self.record_type = record_type
        """Which type the records are decoded as, and by which rule that was found."""
        self.timeout = timeout
        """Seconds without a record after which iteration ends; None: never."""
        codec = record_type.codec
        self.decode: Callable[[bytes], Any] = bytes if codec is None else codec.decode
        """From the bytes of one record to its value."""
        track(self)

    # ---- reading

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        data = self._next(self.timeout)
        if data is None:
            raise StopIteration
        return self.decode(data)

    def read(self, timeout: float | None = None) -> Any:
        """The next record, or None if none came within ``timeout`` seconds (None: for ever).

        None is also what a reader gets whose stream is closed while it waits.

        Raises:
            ClosedError: the stream was closed before.
        """
        self._check()
        data = self._next(timeout)
        return None if data is None else self.decode(data)

    def read_bytes(self, timeout: float | None = None) -> bytes | None:
        """The next record as bytes; otherwise like :meth:`read`."""
        self._check()
        return self._next(timeout)

    def consume(self) -> list[Any]:
        """All records that are there now, without waiting."""
        self._check()
        records = []
        while (data := self._next(0)) is not None:
            records.append(self.decode(data))
        return records

    def poll(self, callback: Callable[[Any], object], timeout: float | None = None) -> int:
        """Wait up to ``timeout`` seconds for records and call ``callback`` with each there is.

        Returns how many records were handed over. What the callback raises ends the call and
        is raised here; the records behind that one come with the next call.
        """
        self._check()
        count = 0
        data = self._next(timeout)
        while data is not None:
            count += 1
            callback(self.decode(data))
            data = self._next(0)
        return count

    @property
    def lost(self) -> int | None:
        """Records lost so far for want of room, or None where the kernel does not say.

        A perf buffer counts them. A ring buffer does not: there the program sees the failure of
        ``bpf_ringbuf_reserve`` or ``bpf_ringbuf_output``, and only it can count.
        """
        return None

    def _next(self, timeout: float | None) -> bytes | None:
        """The bytes of one record, or None: timed out, or closed meanwhile."""
        try:
            return self._pending.popleft()
        except IndexError:
            pass
        deadline = None if timeout is None else monotonic() + max(timeout, 0)
        if not self._reading.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            return None
        try:
            while True:
                try:
                    return self._pending.popleft()
                except IndexError:
                    pass
                if self._closed:
                    return None
                if self._take():
                    continue
                wait = None if deadline is None else deadline - monotonic()
                if wait is not None and wait <= 0:
                    return None
                self._wait(wait)
        finally:
            self._reading.release()

    def _take(self) -> bool:
        """Move what the engine has into ``_pending``. True if there was something."""
        try:
            data, spans, lost = self._source.drain()
        except ClosedError:
            if self._closed:
                return False
            raise
        self._lost += lost
        for i in range(0, len(spans), 2):
            start = spans[i]
            self._pending.append(data[start : start + spans[i + 1]])
        return bool(spans)

    def _wait(self, wait: float | None) -> None:
        # poll(2) rounds down to milliseconds; a wait of a part of one must not spin.
        ready = self._poll.poll(None if wait is None else max(1, round(wait * 1000)))
        readable = [fd for fd, _ in ready]
        if readable and self._wake not in readable and not self._take():
            self._pause(_UNSUBMITTED)

    def _pause(self, seconds: float) -> None:
        wake = select.poll()
        wake.register(self._wake, select.POLLIN)
        wake.poll(max(1, round(seconds * 1000)))

    # ---- lifetime

    def fileno(self) -> int:
        """A descriptor that polls readable when records wait in the kernel.

        For ``select``, ``selectors`` and event loops: when it is readable call
        :meth:`consume`. It belongs to the stream.

        Raises:
            ClosedError: the stream is closed.
        """
        self._check()
        return self._source.fileno()

    @property
    def closed(self) -> bool:
        """True after :meth:`close`, or in a forked child."""
        return self._closed is not None

    def close(self) -> None:
        """Stop reading and wake whoever waits. A second call does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = "is closed"
        os.eventfd_write(self._wake, 1)
        # The reader, if there is one, has been woken and leaves. Reentrant: a callback or a
        # signal handler of the reading thread itself may close.
        with self._reading:
            self._source.close()
            os.close(self._wake)
            self._pending.clear()
        self._owner._streams.pop(self.name, None)

    def abandon(self) -> None:
        """In a forked child: the records are the parent's."""
        if self._closed is None:
            self._closed = "belongs to the process that opened it, the parent of this one"
            os.close(self._wake)
            self._reading = threading.RLock()
            self._closing = threading.Lock()
            self._pending.clear()

    def _check(self) -> None:
        if self._closed:
            raise ClosedError(f"{self._kind} {self.name!r} {self._closed}")

    _kind = "record stream"

    def __enter__(self) -> RecordStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<{type(self).__name__} {self.name!r} of {self.record_type.name}{state}>"
