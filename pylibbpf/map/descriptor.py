"""Values and keys that stand for something by its descriptor."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Opened", "descriptor", "program_fd"]


def descriptor(value: Any, what: str) -> int:
    """The descriptor of an object that has a ``fileno()``, or the number itself.

    Raises:
        TypeError: it is neither; ``what`` says what it should have been.
    """
    if type(value) is int:
        if not 0 <= value < 1 << 31:
            raise ValueError(f"{value} is no descriptor of {what}")
        return value
    fileno = getattr(value, "fileno", None)
    if fileno is None:
        raise TypeError(f"{what} is wanted, not {type(value).__name__}")
    return int(fileno())


def program_fd(value: Any) -> int:
    """The descriptor of a loaded program."""
    from pylibbpf.program import Program

    return value.fd if isinstance(value, Program) else descriptor(value, "a program")


class Opened:
    """A folder or file by path, or something that is open already, for the time of a block."""

    __slots__ = ("_mine", "_value", "_what")

    def __init__(self, value: Any, what: str) -> None:
        self._value = value
        self._what = what
        self._mine = -1

    def __enter__(self) -> int:
        if isinstance(self._value, str | bytes | os.PathLike):
            # O_PATH would be EBADF to the kernel's fget().
            self._mine = os.open(self._value, os.O_RDONLY | os.O_CLOEXEC)
            return self._mine
        return descriptor(self._value, self._what)

    def __exit__(self, *exception: object) -> None:
        if self._mine >= 0:
            os.close(self._mine)
