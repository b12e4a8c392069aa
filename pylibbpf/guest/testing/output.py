"""What tests write leaves the guest as they write it: a panic loses what is only captured."""

from __future__ import annotations

import codecs
import io
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable

_LOOK = 0.1  # seconds
# Writes of Python's leave at once, but where there are more than so many, or so many a second.
_AT_ONCE = 200.0
_A_SECOND = 50.0

_shipper: Shipper | None = None


class _Live(io.TextIOWrapper):
    """Standard output where nothing captures it."""

    def write(self, text: str, /) -> int:
        written = super().write(text)
        if _shipper is not None:
            _shipper.nudge()
        return written


class _Sent:
    """How much of a file is on its way; a character may be written in two pieces."""

    def __init__(self) -> None:
        self.size = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")


class Shipper:
    """Hands on what arrives in the files that are standard output and error at the time.

    Outside of tests, or where pytest captures nothing, that is a file of ours, and its text is
    ``live``: to be shown. While a test is captured they are pytest's files, which pytest empties
    at the end of each phase.
    """

    def __init__(self, send: Callable[[str, bool], None]) -> None:
        self._send = send
        self._lock = threading.RLock()  # an interrupted test may write while we do
        self._own = -1
        self._sent: dict[tuple[int, int], _Sent] = {}  # by device and inode
        self._allowed = _AT_ONCE
        self._counted = time.monotonic()

    def redirect(self) -> None:
        """Make a file of ours standard output and error, and look after it from now on."""
        global _shipper
        with tempfile.TemporaryFile(buffering=0) as file:
            self._own = os.fstat(file.fileno()).st_ino
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        sys.stdout = _Live(io.FileIO(1, "w", closefd=False), write_through=True)
        sys.stderr = _Live(
            io.FileIO(2, "w", closefd=False), errors="backslashreplace", write_through=True
        )
        _shipper = self
        os.register_at_fork(after_in_child=_forget)
        threading.Thread(target=self._look, daemon=True).start()

    def watch_writes(self) -> None:
        """Hand on what Python writes at once, whichever class pytest captures it with."""
        kind = type(sys.stdout)
        if kind is _Live or kind is io.TextIOWrapper or not issubclass(kind, io.TextIOWrapper):
            return
        if getattr(kind.write, "ships", False) or not _regular(1):
            return
        write = kind.write

        def write_and_ship(self: io.TextIOWrapper, text: str, /) -> int:
            written = write(self, text)
            if _shipper is not None:
                _shipper.nudge()
            return written

        write_and_ship.ships = True  # type: ignore[attr-defined]  # a function's own attribute
        kind.write = write_and_ship  # type: ignore[method-assign,assignment]  # of pytest's class

    def nudge(self) -> None:
        """Something was written by Python."""
        now = time.monotonic()
        self._allowed = min(_AT_ONCE, self._allowed + (now - self._counted) * _A_SECOND)
        self._counted = now
        if self._allowed >= 1:
            self._allowed -= 1
            self.ship()

    def ship(self) -> None:
        """Hand on what has come since."""
        with self._lock:
            for number in (1, 2):
                self._ship(number)

    def _ship(self, number: int) -> None:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            return
        place = about.st_dev, about.st_ino
        sent = self._sent.get(place)
        if sent is None or about.st_size < sent.size:
            sent = self._sent[place] = _Sent()
        if about.st_size > sent.size:
            data = os.pread(number, about.st_size - sent.size, sent.size)
            sent.size += len(data)
            self._send(sent.decoder.decode(data), about.st_ino == self._own)

    def phase_ended(self) -> None:
        """A phase of a test is over: pytest has taken what it captured."""
        with self._lock:
            self._sent = {
                place: each for place, each in self._sent.items() if place[1] == self._own
            }
            self.ship()

    def _look(self) -> None:
        while _shipper is self:
            time.sleep(_LOOK)
            self.ship()


def _forget() -> None:
    global _shipper
    _shipper = None


def _regular(number: int) -> bool:
    return stat.S_ISREG(os.fstat(number).st_mode)
