"""Hooks of perf events."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

__all__ = ["PerfDescriptor", "PerfEvent"]


@dataclass(frozen=True, slots=True)
class PerfEvent(Hook):
    """An event that is to be opened: what it counts, and where.

    ``cpus`` None is every CPU that is online; with a ``pid``, wherever that thread runs.
    """

    name: str  # for messages
    type: int
    config: int
    config1: int = 0
    config2: int = 0
    period: int | None = None
    frequency: int | None = None
    cpus: tuple[int, ...] | None = None
    pid: int | None = None
    inherit: bool = False
    exclude_kernel: bool = False
    exclude_user: bool = False
    cookie: int | None = None
    enable: bool = True


@dataclass(frozen=True, slots=True)
class PerfDescriptor(Hook):
    """An event that the caller has opened."""

    fd: int
    cookie: int | None = None
    enable: bool = True
