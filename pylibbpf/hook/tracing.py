"""Hooks of the kernel's own trace points."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

__all__ = ["RawTracepoint", "Tracepoint"]


@dataclass(frozen=True, slots=True)
class Tracepoint(Hook):
    """A tracepoint of tracefs (``events/CATEGORY/NAME``)."""

    category: str
    name: str
    cookie: int | None = None


@dataclass(frozen=True, slots=True)
class RawTracepoint(Hook):
    """A tracepoint with its raw arguments."""

    name: str
    cookie: int | None = None
