"""Hooks of the kernel's own trace points."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

__all__ = ["Freplace", "Lsm", "RawTracepoint", "Trace", "Tracepoint"]


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


@dataclass(frozen=True, slots=True)
class Trace(Hook):
    """What the program was loaded for: a function or tracepoint in the kernel's BTF."""

    cookie: int | None = None


@dataclass(frozen=True, slots=True)
class Lsm(Hook):
    """The hook of the Linux security modules that the program was loaded for."""


@dataclass(frozen=True, slots=True)
class Freplace(Hook):
    """A global function of another BPF program, by that program's descriptor.

    Both None: what the program was loaded for.
    """

    fd: int | None = None
    function: str | None = None
