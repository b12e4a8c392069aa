"""Where among the programs of a hook a new one stands."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import LinkHandle, ProgramHandle

__all__ = ["Anchor"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """Directly before or after a program (by its handle or id) or a link; None: all of them."""

    before: bool
    of: ProgramHandle | LinkHandle | int | None
    link: bool = False
    """Whether ``of`` is a link."""
