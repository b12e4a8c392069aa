"""Attaching to a hook: which call of libbpf or of the kernel makes which attachment.

One file for each family of :mod:`pylibbpf.hook`, imported when a hook of that family is first
attached to.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.programs import KernelProgram
    from pylibbpf.hook import Hook

    _H = TypeVar("_H", bound=Hook)

__all__ = ["attach", "attaches"]

_attachers: dict[type[Hook], Callable[[KernelProgram, Any], LinkHandle]] = {}


def attaches(
    kind: type[_H],
) -> Callable[
    [Callable[[KernelProgram, _H], LinkHandle]], Callable[[KernelProgram, _H], LinkHandle]
]:
    """Register the decorated function as what attaches a program to hooks of ``kind``."""

    def register(
        function: Callable[[KernelProgram, _H], LinkHandle],
    ) -> Callable[[KernelProgram, _H], LinkHandle]:
        _attachers[kind] = function
        return function

    return register


def attach(program: KernelProgram, hook: Hook) -> LinkHandle:
    """Attach a loaded program to a hook."""
    kind = type(hook)
    if kind not in _attachers:
        import_module(f"{__name__}.{kind.__module__.rpartition('.')[2]}")
    return _attachers[kind](program, hook)
