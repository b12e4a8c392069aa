"""What can be done on a machine, as data: one class for every engine.

An :class:`Ability` is a verdict about one program type, map type, hook or right, with the
questions that were put to the kernel for it, and what it answered.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

__all__ = ["Ability", "Library", "Probe"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One question, and its answer."""

    call: str  # BPF_PROG_LOAD(xdp), read(/proc/config.gz)
    errno: int = 0  # 0: done

    @property
    def answer(self) -> str:
        """``ok``, or the name of the errno."""
        return "ok" if not self.errno else errno_name(self.errno)

    def __str__(self) -> str:
        return f"{self.call}: {self.answer}"


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether one thing can be done here, and if not, why not.

    ``kind`` is "program", "map", "hook" or "right". ``works`` is None where no probe can tell.
    ``reason`` says why it does not work, or what is open; it names a cause only where a probe
    shows it. ``mend`` is what helps, ``instead`` what does the like (hooks that work here); each
    may be empty. ``since`` is the kernel that brought it; ``libbpf``, for a hook, the first libbpf
    that knows its SEC() name.
    """

    kind: str
    name: str
    works: bool | None
    reason: str = ""
    mend: str = ""
    instead: str = ""
    since: str = ""
    libbpf: str = ""
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Library:
    """What the engine stands on: libbpf, and the extension that calls it."""

    extension: bool
    path: str | None
    version: tuple[int, int] | None
    problem: str  # why there is no libbpf or no extension; empty: there are both


def errno_name(number: int) -> str:
    """``EPERM`` for 1, as the kernel's source has it."""
    return _NAMES.get(number) or errno.errorcode.get(number, str(number))


# ENOTSUPP is the kernel's own; the C library calls EOPNOTSUPP by two names.
_NAMES = {524: "ENOTSUPP", errno.EOPNOTSUPP: "EOPNOTSUPP"}
