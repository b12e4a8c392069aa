"""What is handed to the kernel, or to an emulator: programs in one piece, maps as created."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibbpf.btf.core import Resolution
    from pylibbpf.isa.insn import Insn
    from pylibbpf.spec import FunctionSpec, Line, MapKind, Reference

__all__ = ["RelocatedMap", "RelocatedObject", "RelocatedProgram"]


@dataclasses.dataclass(frozen=True, slots=True)
class RelocatedProgram:
    """A program with everything that it uses behind it, as BPF_PROG_LOAD gets it.

    Descriptors are left 0, and ``references`` says by instruction what belongs there: a map
    (MAP), an address in a map's value (DATA: map and offset, which is also in the second slot),
    a kernel symbol or function (EXTERN, with its module). Everything else is final.

    ``type`` and ``attach_type`` are the kernel's numbers (type 0: the SEC() name has none; of a
    USDT program, libbpf 1.3 and later set the attach type as they load it, where the kernel takes
    many probes in one link), ``flags`` those of BPF_PROG_LOAD. ``parts`` are the functions, as the
    object has them, and where each starts; ``functions`` are the BTF ids of their types, by
    instruction, empty where the object does not tell them all; ``lines`` count in instructions of
    the whole. ``core`` are the answers to CO-RE relocations, by instruction: why one was poisoned,
    too. ``kernel_type_id`` of a struct_ops program is the kernel's struct, in the BTF of
    ``module``.
    """

    name: str
    section: str
    type: int
    attach_type: int
    flags: int
    insns: tuple[Insn, ...] = dataclasses.field(repr=False)
    references: dict[int, Reference] = dataclasses.field(repr=False)
    parts: tuple[tuple[int, FunctionSpec], ...] = dataclasses.field(repr=False)
    functions: tuple[tuple[int, int], ...] = dataclasses.field(repr=False, default=())
    lines: tuple[Line, ...] = dataclasses.field(repr=False, default=())
    core: dict[int, Resolution] = dataclasses.field(repr=False, default_factory=dict)
    kernel_type_id: int = 0
    module: str = ""

    def origin(self, insn: int) -> tuple[FunctionSpec, int] | None:
        """Tell which function an instruction came from, and its number there."""
        at = bisect_right(self.parts, insn, key=lambda part: part[0]) - 1
        start, function = self.parts[at]
        return (function, insn - start) if 0 <= insn - start < function.insn_count else None

    def line(self, insn: int) -> Line | None:
        """Give the C line of an instruction."""
        at = bisect_right(self.lines, insn, key=lambda line: line.insn) - 1
        return self.lines[at] if at >= 0 else None


@dataclasses.dataclass(frozen=True, slots=True)
class RelocatedMap:
    """A map as it is created: sizes and flags as libbpf adjusts them.

    ``key_type_id`` and ``value_type_id`` are ids of the object's BTF, 0 where the kernel is told
    none. ``contents`` is what the map holds before the first program runs: the value of a map
    of data, of an arena from ``contents_offset`` on, of a struct_ops map in the kernel's layout
    (its functions still 0: ``values`` names them by their offset there). ``values`` of a map of
    maps or programs are index and name. ``frozen``: user space may not write it afterwards.
    ``created`` is False for a map that is only there to be created later on (``?.struct_ops``).
    """

    name: str
    kind: MapKind
    section: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    map_extra: int = 0
    numa_node: int = 0
    pinning: int = 0
    key_type_id: int = 0
    value_type_id: int = 0
    inner: RelocatedMap | None = None
    values: tuple[tuple[int, str], ...] = ()
    contents: bytes | None = dataclasses.field(repr=False, default=None)
    contents_offset: int = 0
    frozen: bool = False
    created: bool = True
    kernel_type_id: int = 0
    module: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class RelocatedObject:
    """All that a loader would give the kernel.

    ``programs`` come in the object's order. ``skipped`` are those that are not loaded, and why.
    ``modules`` are the kernel modules that functions are called in: an ``off`` of a call of a
    kernel function counts in it from 1.
    """

    license: str
    version: int
    programs: tuple[RelocatedProgram, ...]
    maps: tuple[RelocatedMap, ...]
    skipped: dict[str, str]
    modules: tuple[str, ...] = ()

    def program(self, name: str) -> RelocatedProgram | None:
        return next((p for p in self.programs if p.name == name), None)

    def map(self, name: str) -> RelocatedMap | None:
        return next((m for m in self.maps if m.name == name), None)
