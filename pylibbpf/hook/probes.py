"""Hooks of functions, in the kernel and in programs of users."""

from __future__ import annotations

from dataclasses import dataclass

from pylibbpf.hook import Hook

__all__ = ["Kprobe", "KprobeMulti", "Ksyscall", "Uprobe", "UprobeMulti", "Usdt"]


@dataclass(frozen=True, slots=True)
class Kprobe(Hook):
    """A kernel function, by name or by address."""

    function: str | None
    address: int | None = None
    offset: int = 0
    retprobe: bool = False
    cookie: int | None = None
    mode: str = "default"


@dataclass(frozen=True, slots=True)
class KprobeMulti(Hook):
    """Many kernel functions: those that a pattern names, or a list of names or addresses."""

    pattern: str | None
    functions: tuple[str, ...] = ()
    addresses: tuple[int, ...] = ()
    cookies: tuple[int, ...] = ()
    retprobe: bool = False
    session: bool = False


@dataclass(frozen=True, slots=True)
class Ksyscall(Hook):
    """The kernel function of a system call, whatever its prefix on this machine."""

    name: str
    retprobe: bool = False
    cookie: int | None = None


@dataclass(frozen=True, slots=True)
class Uprobe(Hook):
    """A function, or a place by its offset, in a program or library.

    ``binary`` is a path, or the name of a library or program that is to be searched for.
    ``offset`` counts from the function, or from the start of the file where there is none.
    """

    binary: str
    function: str | None
    offset: int = 0
    retprobe: bool = False
    ref_ctr_offset: int = 0
    pid: int | None = None
    cookie: int | None = None
    mode: str = "default"


@dataclass(frozen=True, slots=True)
class UprobeMulti(Hook):
    """Many functions of a program or library."""

    binary: str
    pattern: str | None
    functions: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()
    ref_ctr_offsets: tuple[int, ...] = ()
    cookies: tuple[int, ...] = ()
    pid: int | None = None
    retprobe: bool = False
    session: bool = False


@dataclass(frozen=True, slots=True)
class Usdt(Hook):
    """A probe that a program's author has put in (user statically defined tracing)."""

    binary: str
    provider: str
    name: str
    pid: int | None = None
    cookie: int | None = None
