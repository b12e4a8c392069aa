"""What ends the work on a relocation, before anybody knows which instruction asked."""

from __future__ import annotations

import errno

from pylibbpf.errors import BtfError

__all__ = ["DEPTH", "Budget", "Stop"]

# How deep types are followed: through arrays and pointers on one level, and levels of functions'
# parameters or nested members (libbpf 1.7: __bpf_core_types_are_compat, MAX_RESOLVE_DEPTH).
DEPTH = 32

# The types that match the largest of a kernel's need 2,000.
_EACH, _ALL = 100_000, 1_000_000


class Stop(Exception):
    """No answer: ``errno`` is what libbpf gives up with here, ``details`` are lines below."""

    def __init__(
        self, problem: str, number: int = errno.EINVAL, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.errno = number
        self.details = details


class Budget:
    """How many types may be looked at, for one relocation and for all of an object.

    What compilers write needs a few. Types that were made to keep us busy need 2**64.
    """

    __slots__ = ("_after", "left")

    def __init__(self) -> None:
        self._after = _ALL
        self.left = 0

    def start(self) -> None:
        """Begin with another relocation."""
        whole = self._after + max(0, self.left)
        self.left = min(_EACH, whole)
        self._after = whole - self.left

    def take(self, count: int = 1) -> None:
        """Raises: BtfError, where nothing is left."""
        self.left -= count
        if self.left < 0:
            raise BtfError("types nest in each other, or are called the same, without an end")
