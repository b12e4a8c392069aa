"""Hooks of iterators: what one goes through."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import MapHandle

__all__ = ["Iterator"]


@dataclass(frozen=True, slots=True)
class Iterator(Hook):
    """All that the program's SEC() names, or a part of it; one of these at most is given."""

    map: MapHandle | None = None
    tid: int | None = None
    pid: int | None = None
    pidfd: int | None = None
    cgroup: str | int | None = None
    cgroup_id: int | None = None
    order: int = 0
