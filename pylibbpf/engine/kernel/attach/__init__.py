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

__all__ = ["attach", "attaches", "explain", "explains"]

_explainers: dict[type[Hook], Callable[[Any, int], str | None]] = {}
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


def explains(
    kind: type[_H],
) -> Callable[[Callable[[_H, int], str | None]], Callable[[_H, int], str | None]]:
    """Register the decorated function as what knows why attaching to hooks of ``kind`` failed.

    It is given the hook and the errno, and gives the cause in words, or None where the errno's
    hints say it better.
    """

    def register(function: Callable[[_H, int], str | None]) -> Callable[[_H, int], str | None]:
        _explainers[kind] = function
        return function

    return register


def attach(program: KernelProgram, hook: Hook) -> LinkHandle:
    """Attach a loaded program to a hook."""
    kind = type(hook)
    if kind not in _attachers:
        _import_family(kind)
    return _attachers[kind](program, hook)


def explain(hook: Hook, number: int) -> str | None:
    """Why attaching to a hook failed with this errno; None where nothing particular is known."""
    kind = type(hook)
    if kind not in _attachers:
        _import_family(kind)
    return _explainers[kind](hook, number) if kind in _explainers else None


def _import_family(kind: type[Hook]) -> None:
    import_module(f"{__name__}.{kind.__module__.rpartition('.')[2]}")
