"""What a row is: something that a kernel and a libbpf have or have not, and a way to try it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guest.rows.ground import Ground

__all__ = ["Row", "Rows"]

Exercise = Callable[[Ground], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tables in docs/kernels.md."""

    name: str
    group: str
    exercise: Exercise
    """Opens, loads, attaches, sees it fire, detaches, and sees that it fires no more.

    Also in a forked child that has given up its rights: what needs them is the ground's.
    """
    since: tuple[int, int] = (5, 10)
    """The first kernel that has it."""
    config: tuple[str, ...] = ()
    """The options that the kernel must be built with."""
    libbpf: tuple[int, int] = (1, 0)
    """The first libbpf with what our API calls."""
    needs: str | None = None
    """What a service with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN lacks for it: what the error
    must name. None where it works."""
    ground: tuple[str, ...] = ()
    """What must be made before: names of pieces of :class:`.ground.Ground`."""


class Rows(list[Row]):
    """The rows of a group, which register themselves."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.group = group

    def row(
        self,
        name: str,
        *,
        since: tuple[int, int] = (5, 10),
        config: str = "",
        libbpf: tuple[int, int] = (1, 0),
        needs: str | None = None,
        ground: str = "",
    ) -> Callable[[Exercise], Exercise]:
        """Register a function as a row's exercise; ``config`` and ``ground`` are lists of words."""

        def register(exercise: Exercise) -> Exercise:
            self.append(
                Row(
                    name,
                    self.group,
                    exercise,
                    since=since,
                    config=tuple(f"CONFIG_{word}" for word in config.split()),
                    libbpf=libbpf,
                    needs=needs,
                    ground=tuple(ground.split()),
                )
            )
            return exercise

        return register
