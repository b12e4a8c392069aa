"""The arguments of ``@pytest.mark.bpf_guest``: which kernels and features a test needs."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

USAGE = 'bpf_guest(kernel=">=6.6", features=["kprobe_multi"]), both optional'

_COMPARISONS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_BOUND = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+){0,2})\s*", re.ASCII)


class MarkError(ValueError):
    """A mark's arguments are wrong; the text says what is allowed."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One comparison with a kernel's version, to as many numbers as it names.

    So ``<=6.12`` and ``==6.12`` take 6.12.94, as people who name kernels by two numbers mean it.
    """

    comparison: str
    version: tuple[int, ...]

    def allows(self, release: str) -> bool:
        """Whether the kernel of a release such as ``6.12.94-amd64`` is within the bound."""
        numbers = version_of(release)[: len(self.version)]
        return _COMPARISONS[self.comparison](numbers, self.version)

    def __str__(self) -> str:
        return self.comparison + ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class Needs:
    """What a marked test needs of its kernel."""

    kernel: tuple[Bound, ...] = ()
    features: tuple[str, ...] = ()

    def refusal(self, release: str) -> str | None:
        """Why the test cannot run on the kernel of a release, as far as its version tells."""
        if all(bound.allows(release) for bound in self.kernel):
            return None
        wanted = ",".join(map(str, self.kernel))
        return f"needs Linux {wanted}; this kernel is {release}"


def needs(args: Sequence[object], kwargs: Mapping[str, object]) -> Needs:
    """Read the arguments of a mark.

    Raises:
        MarkError: they are none that the mark takes.
    """
    if args:
        raise MarkError(f"takes no positional arguments, not {args[0]!r}: {USAGE}")
    unknown = [name for name in kwargs if name not in ("kernel", "features")]
    if unknown:
        raise MarkError(f"has no argument {unknown[0]!r}: {USAGE}")
    return Needs(_bounds(kwargs.get("kernel")), _features(kwargs.get("features")))


def _bounds(given: object) -> tuple[Bound, ...]:
    if given is None:
        return ()
    found = []
    for part in given.split(",") if isinstance(given, str) else [given]:
        match = _BOUND.fullmatch(part) if isinstance(part, str) else None
        if match is None:
            raise MarkError(
                f'kernel={given!r}: give comparisons with a version, such as ">=6.6" or '
                '">=6.1,<7" (>=, <=, ==, !=, >, <)'
            )
        found.append(Bound(match[1], tuple(map(int, match[2].split(".")))))
    return tuple(found)


def _features(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list | tuple | set | frozenset):
        raise MarkError(f'features={given!r}: give a list of names, such as ["kprobe_multi"]')
    for name in given:
        if not isinstance(name, str):
            raise MarkError(f"features={given!r}: {name!r} is no name of a feature")
    return tuple(given)


def version_of(release: str) -> tuple[int, ...]:
    """The numbers that a release begins with, at least three: 7.2-rc1 is (7, 2, 0)."""
    match = re.match(r"\d+(?:\.\d+)*", release, re.ASCII)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    return tuple(numbers + [0] * (3 - len(numbers)))
