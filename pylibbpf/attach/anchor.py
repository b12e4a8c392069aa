"""The arguments ``before`` and ``after`` of hooks at which many programs stand in order."""

from __future__ import annotations

from pylibbpf.arguments import integer
from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from pylibbpf.hook.anchor import Anchor
    from pylibbpf.link import Link
    from pylibbpf.program import Program

    # A program or its link, the id of a program, or all that are there.
    Neighbour: TypeAlias = Program | Link | int | Literal["all"] | None


def anchor(before: Neighbour, after: Neighbour) -> Anchor | None:
    """Where a program is to stand; None is where the kernel puts it, which is last."""
    if before is None and after is None:
        return None
    if before is not None and after is not None:
        raise ValueError("a program is placed either before or after another, not both")
    from pylibbpf.hook.anchor import Anchor
    from pylibbpf.link import Link

    name, of = ("after", after) if before is None else ("before", before)
    if of == "all":
        return Anchor(before is not None, None)
    if isinstance(of, Attachable | Link):
        return Anchor(before is not None, of._handle, isinstance(of, Link))
    if isinstance(of, int) and not isinstance(of, bool):
        return Anchor(before is not None, integer(f"{name}, the id of a program,", of, 32, 1))
    raise TypeError(
        f"{name} is a program, a link, the id of a program, or 'all', not {type(of).__name__}"
    )
