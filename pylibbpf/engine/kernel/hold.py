"""What belongs to one thread at a time, and may be closed by another."""

from __future__ import annotations

from _thread import RLock  # threading takes 0.7 MB, and every load would pay it
from operator import attrgetter

from pylibbpf.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

__all__ = ["Held"]


class Held:
    """Base of what is held by ``with``: nothing else changes or closes it meanwhile.

    What is closed cannot be held. Who closes it takes the ``lock``, and looks at ``gone``.

    A signal handler may raise after any call, so also after one that took a lock: nobody would
    give that back, and every other thread would wait for ever. CPython runs handlers after calls
    that bytecode makes, where a loop jumps back and where a function begins. So the lock is taken
    by ``for``, which calls without a call in the bytecode, and given back by C.
    """

    what: str
    """Its kind, in a word."""
    name: str

    def __init__(self) -> None:
        self.lock = RLock()
        self.gone: str | None = None
        """Why it can no longer be used; None as long as it can."""

    def __enter__(self) -> Self:
        for _ in iter(self.lock.acquire, None):
            if self.gone:
                break
            return self
        self.lock.release()
        raise self.closed_error()

    if TYPE_CHECKING:

        def __exit__(self, *exception: object) -> None: ...

    else:
        # "with" looks it up before it enters.
        __exit__ = property(attrgetter("lock.__exit__"))

    def alive(self) -> None:
        """Raise ClosedError if it is closed."""
        if self.gone:
            raise self.closed_error()

    def closed_error(self) -> ClosedError:
        return ClosedError(f"{self.what} {self.name!r} {self.gone}")

    def abandon(self) -> None:
        """In a forked child, where a thread that held it may be gone."""
        self.gone = self.gone or "belongs to the process that opened it, the parent of this one"
        self.lock = RLock()
