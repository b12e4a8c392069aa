"""What a forked child does with the handles that it inherits.

The descriptors of a parent's links, maps and rings are copied into every child. A child that
kept them would keep its parent's programs attached after the parent's end; one that detached
them would detach its parent's. So in the child every handle is abandoned: its descriptors are
closed, nothing is detached, and its use raises :class:`~pylibbpf.errors.ClosedError`.
"""

from __future__ import annotations

import os
import warnings
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Abandonable(Protocol):
        def abandon(self) -> None: ...


_handles: weakref.WeakSet[Abandonable] = weakref.WeakSet()


def track(handle: Abandonable) -> None:
    """Have ``handle.abandon()`` called in every child forked from now on."""
    _handles.add(handle)


def _abandon_all() -> None:
    for handle in list(_handles):
        try:
            handle.abandon()
        except OSError as error:
            # One that cannot be closed must not keep the others open.
            warnings.warn(f"{handle!r} in a forked child: {error}", ResourceWarning, stacklevel=1)
    _handles.clear()


os.register_at_fork(after_in_child=_abandon_all)
