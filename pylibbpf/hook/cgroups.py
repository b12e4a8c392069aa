"""Hooks of control groups (cgroup v2)."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.hook.anchor import Anchor

__all__ = ["Cgroup"]


@dataclass(frozen=True, slots=True)
class Cgroup(Hook):
    """A cgroup, by its path or a descriptor of it.

    ``mode`` is that of an attachment without a link: "exclusive", "override" or "multi"; None is
    a link. ``replace`` is the program that makes room: one of ours, or a program's id.
    """

    cgroup: str | int
    attach_type: int | None = None
    mode: str | None = None
    replace: ProgramHandle | int | None = None
    anchor: Anchor | None = None
    preorder: bool = False
    expected_revision: int | None = None
