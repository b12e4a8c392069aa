"""User ring buffers: records from Python to programs."""

from __future__ import annotations

import errno
import operator
import os
import select
from time import monotonic

from pylibbpf.engine.fork import track
from pylibbpf.errors import BpfError, ClosedError
from pylibbpf.handle import Handle
from pylibbpf.stream import UNSUBMITTED, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from pylibbpf.engine.abc import Reservation, UserRingHandle
    from pylibbpf.events import RecordType
    from pylibbpf.streams import Streams

    _R = TypeVar("_R")

__all__ = ["Room", "UserRingBuffer"]

# A drain may be told to wake nobody (BPF_RB_NO_WAKEUP): whoever waits looks after so many seconds.
_LOOK = 0.1


class _Event:
    """An eventfd that is closed when the last one who waits for it has let go of it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class UserRingBuffer(Handle):
    """A BPF_MAP_TYPE_USER_RINGBUF map, for sending: ``obj.user_ringbuf("requests")``.

    Programs take the records with ``bpf_user_ringbuf_drain()``, when they run. Several threads
    may send: each record goes in whole. Linux 6.1.
    """

    def __init__(
        self, owner: Streams, name: str, handle: UserRingHandle, record_type: RecordType
    ) -> None:
        self._owner = owner
        self._handle = handle
        self._reason: str | None = None
        self._wake = _Event(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self.name = name
        """The map's name."""
        self.record_type = record_type
        """Which type the records are encoded as, and by which rule that was found."""
        self.size = handle.size
        """Bytes of the ring; each record takes 8 more than it has, rounded up to 8."""
        track(self)

    def send(
        self, record: bytes | Mapping[str, Any] | tuple[Any, ...], timeout: float | None = 0
    ) -> None:
        """Write one record: bytes, or where its type is known a record, dict or tuple of it.

        Where the ring is full, wait up to ``timeout`` seconds (None: for ever) for a program to
        drain it.

        Raises:
            BpfError: ENOSPC, the ring is (still) full; E2BIG, the record never fits.
            ClosedError: the ring is closed, maybe meanwhile.
            TypeError, ValueError, OverflowError: the record does not fit its type.
        """
        data = self._encoded(record)
        self._until(lambda: self._handle.send(data) or None, seconds(timeout), len(data))

    def reserve(self, size: int | None = None, timeout: float | None = 0) -> Room:
        """Make room for a record of ``size`` bytes (those of the type), to be filled in.

        ::

            with ring.reserve(64) as room:
                room[:5] = b"hello"

        The record is submitted at the end of the block, or discarded if that raises. Records
        that are sent meanwhile come behind it, and wait for it. Waits like :meth:`send`.
        """
        if size is None:
            codec = self.record_type.codec
            if codec is None:
                raise TypeError(f"the records of {self.name!r} have no type: say how many bytes")
            size = codec.size
        if not 0 <= operator.index(size) < 1 << 32:
            raise ValueError(f"the size of a record is not negative, and of 32 bits, not {size}")
        return Room(self, size, seconds(timeout))

    @property
    def used(self) -> int:
        """Bytes in the ring that no program has drained yet, with the records' headers."""
        self._check()
        return self._handle.used()

    def fileno(self) -> int:
        """A descriptor that polls writable while the ring is not full. It belongs to the map."""
        self._check()
        return self._handle.fileno()

    def _encoded(self, record: Any) -> bytes:
        if isinstance(record, bytes | bytearray | memoryview):
            return bytes(record)
        codec = self.record_type.codec
        if codec is None:
            raise TypeError(
                f"the records of {self.name!r} are bytes, not {type(record).__name__}"
                f" ({self.record_type.hint})"
            )
        return codec.encode(record)

    def _until(self, attempt: Callable[[], _R | None], timeout: float | None, size: int) -> _R:
        """What ``attempt`` gives, as soon as there is room."""
        self._check()
        made = attempt()
        if made is not None:
            return made
        wake = self._wake
        poll = select.poll()
        poll.register(self._handle.fileno(), select.POLLOUT)
        poll.register(wake.fd, select.POLLIN)
        closing = select.poll()
        closing.register(wake.fd, select.POLLIN)
        deadline = None if timeout is None else monotonic() + timeout
        while made is None:
            wait = _LOOK if deadline is None else min(_LOOK, deadline - monotonic())
            if wait <= 0:
                raise self._full(size, timeout)
            poll.poll(max(1, round(wait * 1000)))
            self._check()
            made = attempt()
            if made is None:
                # It is writable with some room, and not as much as this needs.
                closing.poll(max(1, round(UNSUBMITTED * 1000)))
                self._check()
        return made

    def _full(self, size: int, timeout: float | None) -> BpfError:
        waited = f" after {timeout:g} s" if timeout else ""
        return BpfError(
            errno.ENOSPC,
            "send to user ring buffer",
            self.name,
            f"the ring has no room for {size} bytes{waited}: {self._handle.used()} of its "
            f"{self.size} wait for a program to drain them",
        )

    # ---- lifetime

    @property
    def closed(self) -> bool:
        """True after :meth:`close`, and in a forked child."""
        return self._reason is not None

    def close(self) -> None:
        """Stop sending and wake whoever waits. A second call does nothing.

        What was sent stays for programs to drain; what is reserved is discarded.
        """
        if self._reason is None or self._reason == "is closed":
            self._reason = "is closed"
            os.eventfd_write(self._wake.fd, 1)
            self._handle.close()
            streams = self._owner._streams
            if streams.get(self.name) is self:
                del streams[self.name]

    def abandon(self) -> None:
        """In a forked child: the ring is the parent's."""
        if self._reason is None:
            self._reason = "belongs to the process that opened it, the parent of this one"

    def _check(self) -> None:
        if self._reason:
            raise ClosedError(f"user ring buffer {self.name!r} {self._reason}")

    def __enter__(self) -> UserRingBuffer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._reason else ""
        return f"<UserRingBuffer {self.name!r} of {self.record_type.name}{state}>"


class Room:
    """A record that is being written; made by :meth:`UserRingBuffer.reserve`.

    What is written goes into the ring at the end of the block: the buffer is the caller's to
    keep, and harmless then.
    """

    def __init__(self, ring: UserRingBuffer, size: int, timeout: float | None) -> None:
        self._ring = ring
        self._size = size
        self._timeout = timeout
        self._view = memoryview(b"")
        self._reservation: Reservation | None = None

    def __enter__(self) -> memoryview:
        ring, size = self._ring, self._size
        if self._reservation is not None:
            raise RuntimeError("this record is being written already")
        self._view = memoryview(bytearray(size))
        self._reservation = ring._until(lambda: ring._handle.reserve(size), self._timeout, size)
        return self._view

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        reservation, self._reservation = self._reservation, None
        assert reservation is not None
        if kind is None:
            reservation.submit(bytes(self._view))
        else:
            reservation.discard()
