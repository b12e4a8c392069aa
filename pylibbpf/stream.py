"""A ring or perf buffer as a stream of decoded records."""

from __future__ import annotations

import math
import os
import select
import threading
from collections import deque
from time import monotonic

from pylibbpf.engine.fork import track
from pylibbpf.errors import ClosedError
from pylibbpf.handle import Handle, Of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from pylibbpf.engine.abc import RecordSource
    from pylibbpf.events import RecordType
    from pylibbpf.handle import T
    from pylibbpf.streams import Streams

# A record that a program has reserved and not yet submitted makes the ring poll readable with
# nothing to take. It is looked at again after this many seconds.
UNSUBMITTED = 0.001
# The longest that one poll(2) or lock waits, in seconds; a longer wait is several of them.
_LONGEST = 86400.0


def seconds(value: float | None, what: str = "timeout") -> float | None:
    """A length of time as given by a caller: None and infinity mean for ever.

    Raises:
        TypeError: not a number.
        ValueError: not a number (NaN).
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a {what} is a number of seconds, not {type(value).__name__}")
    if math.isnan(value):
        raise ValueError(f"a {what} is a number of seconds, not NaN")
    return None if value == math.inf else max(value, 0)


class RecordStream(Of["T"], Handle):
    """Records of one map, in the order in which they were submitted.

    Iterating waits for records and decodes them; it ends when the stream is closed, from this
    thread or another, or, if ``timeout`` was given, when no record came for that many seconds.
    Ctrl-C ends a wait at once. Several threads may read: each record goes to one of them.

    Records are taken from the kernel a batch at a time, and what was taken is kept until it is
    read: an exception raised by a callback or a signal handler loses nothing.

    A record that is shorter than its type raises ``ValueError`` where it is read, and is gone
    then; the records behind it come next.
    """

    def __init__(
        self,
        owner: Streams,
        name: str,
        source: RecordSource,
        record_type: RecordType,
        timeout: float | None,
    ) -> None:
        self._owner = owner
        self._source = source
        # The number of the last batch that was taken, and what of it was not read yet: one
        # value, so that taking it is one assignment, which no signal handler can cut in two.
        self._batch: tuple[int, deque[Any]] = (0, deque())
        self._reading = threading.RLock()
        self._waking = threading.RLock()  # of whoever writes to or closes the eventfd
        self._inside = 0  # how many calls of the thread that holds the lock are reading
        self._reason: str | None = None
        self._finished = False
        self._forked = False
        self.timeout = seconds(timeout)
        """Seconds without a record after which iteration ends; None: never."""
        self.name = name
        """The map's name."""
        self.record_type = record_type
        """Which type the records are decoded as, and by which rule that was found."""
        codec = record_type.codec
        decode: Any = bytes if codec is None else codec.decode
        self.decode: Callable[[Any], T] = decode
        """From the bytes of one record to its value."""
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(source.fileno(), select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        track(self)

    # ---- reading

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._forked:
            self._check()  # this stream did not end, it is another's
        data = self._next(self.timeout)
        if data is None:
            raise StopIteration
        return self.decode(data)

    def read(self, timeout: float | None = None) -> T | None:
        """The next record, or None if none came within ``timeout`` seconds (None: for ever).

        None is also what a reader gets whose stream is closed while it waits.

        Raises:
            ClosedError: the stream was closed before.
            ValueError: the record is shorter than its type.
        """
        self._check()
        data = self._next(seconds(timeout))
        return None if data is None else self.decode(data)

    def read_bytes(self, timeout: float | None = None) -> bytes | None:
        """The next record as bytes; otherwise like :meth:`read`."""
        self._check()
        data: bytes | None = self._next(seconds(timeout))
        return data

    def consume(self) -> list[T]:
        """All records that are there now, without waiting.

        If one cannot be decoded, those before it are kept for the next call.
        """
        self._check()
        data: list[Any] = []
        records: list[T] = []
        try:
            while (record := self._next(0)) is not None:
                data.append(record)
                records.append(self.decode(record))
        except BaseException as error:
            # A record that cannot be decoded is gone; a signal handler's exception takes none.
            kept = data[: len(records)] if isinstance(error, ValueError) else data
            self._batch[1].extendleft(reversed(kept))
            raise
        return records

    def poll(self, callback: Callable[[T], object], timeout: float | None = None) -> int:
        """Wait up to ``timeout`` seconds for records and call ``callback`` with each there is.

        Returns how many records were handed over. What the callback raises ends the call and
        is raised here; the records behind that one come with the next call.
        """
        self._check()
        data = self._next(seconds(timeout))
        count = 0
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

    def _next(self, timeout: float | None) -> Any:
        """One record as it is kept (:meth:`_split`), or None: timed out, or closed meanwhile."""
        data = self._taken()
        if data is not None:
            return data
        deadline = None if timeout is None else monotonic() + timeout
        lock = self._reading  # a forked child has another one
        if not lock.acquire(timeout=-1 if timeout is None else min(timeout, _LONGEST)):
            return None
        try:
            self._inside += 1
            if self._inside > 1:
                return None  # a signal handler, above a read of its own thread
            # No "try" of its own in this loop: CPython 3.11 looks for the handler of what a
            # signal handler raises at the loop's end in front of the loop's first instruction,
            # and a "try" there would hide the "finally" below.
            data = self._taken()
            while data is None and not self._reason:
                if not self._take():
                    wait = None if deadline is None else deadline - monotonic()
                    if wait is not None and wait <= 0:
                        return None
                    self._wait(wait)
                data = self._taken()
            return data
        finally:
            self._inside -= 1
            if self._reason and not self._inside:
                self._finish()
            lock.release()

    def _taken(self) -> Any:
        """The next record of the batch that was taken last."""
        try:
            return self._batch[1].popleft()
        except IndexError:
            return None

    def _take(self) -> bool:
        """Move what the engine has into ``_batch``. True if there was something."""
        try:
            number, data, spans = self._source.drain()
        except ClosedError:
            if self._reason:
                return False
            raise
        if not spans:
            return False
        if number != self._batch[0]:
            self._batch = (number, deque(self._split(data, spans)))
        self._source.taken()
        return True

    def _split(self, data: bytes, spans: Sequence[int]) -> Iterable[Any]:
        """The records of a batch, each as it is kept until it is decoded."""
        return [data[at : at + length] for at, length in zip(spans[::2], spans[1::2], strict=True)]

    def _wait(self, wait: float | None) -> None:
        # poll(2) counts in milliseconds; a wait of a part of one must not spin.
        longest = None if wait is None else max(1, round(min(wait, _LONGEST) * 1000))
        readable = [fd for fd, _ in self._poll.poll(longest)]
        if readable and self._wake not in readable and not self._take():
            wake = select.poll()
            wake.register(self._wake, select.POLLIN)
            wake.poll(max(1, round(UNSUBMITTED * 1000)))

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
        """True after :meth:`close`, and in a forked child."""
        return self._reason is not None

    def close(self) -> None:
        """Stop reading and wake whoever waits. A second call does nothing."""
        if self._finished:
            return
        self._reason = self._reason or "is closed"
        with self._waking:
            if self._finished:
                return  # the reader, on its way out, has done it meanwhile
            os.eventfd_write(self._wake, 1)
        # The reader, if there is one, has been woken and leaves. If it is this very thread, in a
        # signal handler, the read that it interrupted finishes what is begun here.
        with self._reading:
            if not self._inside:
                self._finish()

    def _finish(self) -> None:
        """Give everything back; by whoever holds the lock last."""
        if self._finished:
            return
        self._source.close()
        self._batch[1].clear()
        streams = self._owner._streams
        if streams.get(self.name) is self:
            del streams[self.name]
        with self._waking:
            self._finished = True
            os.close(self._wake)

    def abandon(self) -> None:
        """In a forked child: the records are the parent's."""
        if not self._finished:
            self._forked = self._finished = True
            self._reason = "belongs to the process that opened it, the parent of this one"
            self._reading = threading.RLock()
            self._waking = threading.RLock()
            self._inside = 0
            self._batch = (0, deque())
            os.close(self._wake)

    def _check(self) -> None:
        if self._reason:
            raise ClosedError(f"{self._kind} {self.name!r} {self._reason}")

    _kind = "record stream"

    def __enter__(self) -> RecordStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._reason else ""
        return f"<{type(self).__name__} {self.name!r} of {self.record_type.name}{state}>"
