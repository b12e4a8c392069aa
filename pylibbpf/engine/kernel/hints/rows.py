"""What the rows of the table are made of, and the conditions that they share."""

from __future__ import annotations

import errno as _e
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pylibbpf.engine.kernel.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENOTSUPP = 524  # include/linux/errno.h: the kernel's own, unknown to the C library
UNSUPPORTED = (ENOTSUPP, _e.EOPNOTSUPP)

# Of the table of SEC() names; not known where the kernel is new enough.
TOO_OLD = 'SEC("{section}") needs Linux {needed}; this is {kernel}'

Facts = Mapping[str, "Any"]


@dataclass(frozen=True, slots=True)
class Hint:
    """A row: what an errno means for an operation, in a case that it knows."""

    operation: frozenset[str]  # words that the operation must have
    errnos: tuple[int, ...]
    text: str  # names the facts that must be known
    when: Callable[[Facts], bool] | None = None

    def fits(self, words: frozenset[str], errno: int, facts: Facts) -> bool:
        return (
            errno in self.errnos
            and self.operation <= words
            and (self.when is None or self.when(facts))
        )


def on(
    errnos: int | tuple[int, ...], text: str, when: Callable[[Facts], bool] | None = None
) -> Callable[[str], Hint]:
    """A row of an operation that is still to be named."""
    numbers = (errnos,) if isinstance(errnos, int) else errnos
    return lambda operation: Hint(frozenset(operation.split()), numbers, text, when)


def rows(operation: str, *rows: Callable[[str], Hint]) -> tuple[Hint, ...]:
    """The rows of one operation."""
    return tuple(row(operation) for row in rows)


# ---- conditions


def is_one_of(name: str, *values: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.get(name) in values


def knows(*names: str) -> Callable[[Facts], bool]:
    return lambda facts: all(facts.get(name) for name in names)


def hooked(*prefixes: str) -> Callable[[Facts], bool]:
    return lambda facts: str(facts.get("hook", "")).startswith(prefixes)


def lacks(hook: Callable[[Facts], bool], *paths: str) -> Callable[[Facts], bool]:
    """The hook is of this kind, and none of the paths exists on this machine."""
    return lambda facts: (
        hook(facts) and not any(os.path.exists(os.path.join(facts["root"], path)) for path in paths)
    )


def older(hook: str, major: int, minor: int) -> Callable[[Facts], bool]:
    """The hook is of this kind, and the running kernel is older than that."""
    return all_of(lambda facts: facts.get("hook") == hook, before(major, minor))


def before(major: int, minor: int) -> Callable[[Facts], bool]:
    """The running kernel is older than that."""

    def runs(facts: Facts) -> bool:
        release = str(facts["kernel"]).split(".")
        try:
            running = int(release[0]), int(release[1].partition("-")[0])
        except (ValueError, IndexError):
            return False
        return running < (major, minor)

    return runs


def mounted(kind: str) -> Callable[[Facts], bool]:
    """A file system of this type is mounted somewhere."""
    return lambda facts: Host(facts["root"]).mounted(kind) is not None


def all_of(*conditions: Callable[[Facts], bool]) -> Callable[[Facts], bool]:
    return lambda facts: all(condition(facts) for condition in conditions)


def no_power_of_two(number: object) -> bool:
    return isinstance(number, int) and (number <= 0 or number & (number - 1) != 0)
