"""Ways to make hooks fire, and to see that they do and then do not."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pylibbpf

__all__ = ["calls", "fires_until_closed", "opens", "run", "until"]


class Closable(Protocol):
    def close(self) -> None: ...


def opens() -> None:
    """Call openat(2), fstat(2) and close(2)."""
    fd = os.open("/proc/self/comm", os.O_RDONLY)
    os.fstat(fd)
    os.close(fd)


def calls() -> None:
    """Call getpgid(2), by the C library's function."""
    os.getpgid(0)


def run(program: pylibbpf.Program, *arguments: int) -> int:
    """Run a raw_tp program with these arguments, as if its tracepoint had been passed."""
    words = struct.pack("=5Q", *arguments, *[0] * (5 - len(arguments)))
    found = program.test_run(ctx=words).retval
    return found - (1 << 32) if found >> 31 else found


def until(condition: Callable[[], object], what: str = "an event") -> None:
    """Wait for something that is on its way."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def fires_until_closed(
    link: Closable, count: Callable[[], int], trigger: Callable[[], object]
) -> None:
    """What is attached counts what the trigger does; closed, it does no more."""
    before = count()
    trigger()
    until(lambda: count() > before)
    link.close()
    after = count()
    trigger()
    assert count() == after, "detached, and still it counted"
