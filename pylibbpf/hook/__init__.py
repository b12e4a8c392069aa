"""Hooks: what a program can be attached to, as data, the same for every engine.

One file for each family. The façade (:mod:`pylibbpf.attach`) makes a hook of the arguments of
``Program.attach_*()``, and an engine attaches to it: the kernel engine in
``engine/kernel/attach/``, a file of the same name for each one here.
"""

from __future__ import annotations

__all__ = ["Hook"]


class Hook:
    """Base of all hooks; each is a frozen, slotted dataclass."""

    __slots__ = ()
