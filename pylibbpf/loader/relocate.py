"""Relocate an object without libbpf: the same instructions, one by one, that it would load.

The order of things is that of libbpf 1.7's bpf_object_prepare (libbpf.c): externs, struct_ops,
CO-RE in every function once, then for each program the functions it uses behind it
(bpf_object__relocate_calls), then what refers to maps and the kernel (bpf_object__relocate_data).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pylibbpf.btf.types import Void
from pylibbpf.errors import ElfError, NotSupportedError, RelocationError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn
from pylibbpf.loader import created
from pylibbpf.loader.kconfig import Kconfig, Layout
from pylibbpf.loader.ksyms import Symbols
from pylibbpf.loader.link import Linked, Linker
from pylibbpf.loader.maps import ARENA_SECTION
from pylibbpf.loader.relocated import RelocatedMap, RelocatedObject, RelocatedProgram
from pylibbpf.spec import ExternKind, MapKind, Reference, ReferenceKind
from pylibbpf.uapi.sections import section

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pylibbpf.spec import ExternSpec, FunctionSpec, Line, ObjectSpec

__all__ = ["RelocatedMap", "RelocatedObject", "RelocatedProgram", "relocate"]

SUBPROGRAMS = ".text"

# What libbpf puts in place of instructions that must not be reached; the verifier's message has
# the number (POISON_LDIMM64_MAP_BASE, POISON_CALL_KFUNC_BASE), and to it comes the index of the
# map or extern.
POISON_MAP = 2001000000
POISON_KFUNC = 2002000000

# The kernel takes a million instructions of one program; all programs together of a real object
# have a hundredth of this.
_MOST = 1_000_000
_MOST_IN_ALL = 8_000_000


def relocate(
    spec: ObjectSpec,
    *,
    target: object = None,
    kernel: object = None,
    kconfig: Kconfig | str | None = None,
    symbols: Symbols | Mapping[str, int] | None = None,
    programs: Collection[str] | None = None,
    without_maps: Collection[str] = (),
    cpus: int | None = None,
) -> RelocatedObject:
    """Do to an object what libbpf does between opening it and handing it to the kernel.

    ``target`` are the types that CO-RE relocations are answered by. ``kernel`` are the types of
    the kernel that is to run the programs, for its symbols, functions and struct_ops: the same
    unless given. ``kconfig`` is its configuration: a :class:`Kconfig`, or a text in the form of
    ``.config`` that goes before this kernel's own. ``symbols`` are its addresses by name. What is
    not given is asked of this kernel, and only if the object needs it.

    ``programs`` are the names of those to load, all unless given, those in sections with ``?``
    too. The maps ``without_maps`` are not created (bpf_map__set_autocreate): an instruction that
    uses one becomes a call that no kernel accepts. ``cpus`` is the number of possible CPUs.

    Needs no privilege, except what reading this kernel's symbols needs.

    Raises:
        ElfError: the object is one that libbpf does not load.
        BtfError: its types, or the kernel's, are damaged or missing where they are needed.
        RelocationError: the kernel lacks what it asks for, or has it otherwise.
        NotSupportedError: not yet done.
    """
    if isinstance(kconfig, str):
        kconfig = Kconfig.parse(kconfig, below=Kconfig.running())
    if not isinstance(symbols, Symbols):
        symbols = Symbols(symbols)
    return _Relocation(spec, kconfig or Kconfig.running(), symbols, cpus).relocate(
        programs, without_maps
    )


@dataclasses.dataclass(slots=True)
class _Extern:
    """An extern and what was found of it."""

    spec: ExternSpec
    index: int
    found: bool = False
    address: int = 0
    type_id: int = 0
    module: str = ""
    module_index: int = 0


class _Relocation:
    def __init__(
        self, spec: ObjectSpec, kconfig: Kconfig, symbols: Symbols, cpus: int | None
    ) -> None:
        self.spec = spec
        self.kconfig = kconfig
        self.symbols = symbols
        self.cpus = cpus
        self.externs: dict[str, _Extern] = {}
        self.kconfig_at: dict[str, int] = {}
        self.maps: list[RelocatedMap] = []
        self.map_index: dict[str, int] = {}
        self.modules: list[str] = []
        self.arena: str | None = None
        self.arena_offset = 0
        self.left = _MOST_IN_ALL

    def relocate(
        self, programs: Collection[str] | None, without_maps: Collection[str]
    ) -> RelocatedObject:
        spec = self.spec
        self._check(spec)
        self._make_maps(without_maps)
        self._resolve_externs()
        skipped = {
            f.name: "it was not asked for"
            for f in spec.programs
            if programs is not None and f.name not in programs
        }
        for function in spec.functions:
            if function.core and function.name not in skipped:
                raise NotSupportedError(
                    f"{function.name!r} has CO-RE relocations, which are not done yet"
                )
        linker = Linker(spec)
        found = [
            self._program(linker, function)
            for function in spec.programs
            if function.name not in skipped
        ]
        major, minor, patch = self.kconfig.version
        return RelocatedObject(
            license=(spec.license or "")[:63],
            version=spec.version or (major << 16 | minor << 8 | min(patch, 255)),
            programs=tuple(found),
            maps=tuple(self.maps),
            skipped=skipped,
            modules=tuple(self.modules),
        )

    # What the object must keep to

    def _check(self, spec: ObjectSpec) -> None:
        for function in spec.functions:
            if not function.program and function.section != SUBPROGRAMS:
                raise ElfError(
                    f"the function {function.name!r} in section {function.section!r} is static: "
                    "a program must be global, and only functions without SEC() may be static"
                )
            for reference in function.references:
                if reference.kind is ReferenceKind.FUNCTION and reference.section != SUBPROGRAMS:
                    raise ElfError(
                        f"{function.name!r} uses the function {reference.target!r} in section "
                        f"{reference.section!r}: a program cannot be called, only functions "
                        "without SEC() can"
                    )

    # Maps and externs

    def _make_maps(self, without: Collection[str]) -> None:
        spec = self.spec
        for each in spec.maps:
            if created.is_arena_data(each):
                continue
            if each.kind is MapKind.STRUCT_OPS:
                raise NotSupportedError(f"struct_ops map {each.name!r}: not done yet")
            made = created.created(each, spec, self.cpus)
            if each.name in without:
                made = dataclasses.replace(made, created=False)
            self.maps.append(made)
        self.arena, self.arena_offset = created.arena_offset(
            self.maps, spec.section(ARENA_SECTION), self.kconfig.full_range_offsets
        )
        config = [e for e in spec.externs if e.kind is ExternKind.CONFIG]
        if config and spec.btf is not None:
            layout = Layout(spec.btf, config)
            self.kconfig_at = {slot.extern.name: slot.offset for slot in layout.slots}
            made = created.kconfig_map(layout.contents(self.kconfig), spec.btf)
            # The maps of struct_ops come last (bpf_object__init_maps).
            at = sum(each.kind is not MapKind.STRUCT_OPS for each in self.maps)
            self.maps.insert(at, made)
        self.map_index = {each.name: at for at, each in enumerate(self.maps)}

    def _resolve_externs(self) -> None:
        """Look up what the object expects the kernel to have, in libbpf's order (cmp_externs)."""
        spec, first = self.spec, len(self.kconfig_at)
        others = [e for e in spec.externs if e.kind is not ExternKind.CONFIG]
        others.sort(key=lambda extern: extern.name.encode("utf-8", "replace"))
        untyped = []
        for index, extern in enumerate(others, first):
            known = self.externs[extern.name] = _Extern(extern, index)
            if extern.type_id is None or spec.btf is None:
                raise ElfError(
                    f"extern {extern.name!r} has no BTF: it needs __ksym or __kconfig, or a "
                    "function or variable of that name must be linked in (bpftool gen object)"
                )
            if extern.kind is ExternKind.VARIABLE and isinstance(
                spec.btf.strip(extern.type_id), Void
            ):
                untyped.append(known)
            else:
                raise NotSupportedError(f"typed extern {extern.name!r}: not done yet")
        if untyped:
            addresses = self.symbols.find({each.spec.name for each in untyped})
            for each in untyped:
                if each.spec.name in addresses:
                    each.found, each.address = True, addresses[each.spec.name]
                elif not each.spec.weak:
                    raise RelocationError(
                        f"extern {each.spec.name!r}: the kernel has no symbol of that name (make "
                        "it __weak to go on without it)"
                    )

    # Programs

    def _program(self, linker: Linker, function: FunctionSpec) -> RelocatedProgram:
        linked = linker.link(function)
        self.left -= len(linked.insns)
        if len(linked.insns) > _MOST or self.left < 0:
            raise ElfError(
                f"program {function.name!r} has {len(linked.insns)} instructions with the "
                "functions that it uses; together with the others these are too many"
            )
        insns = list(linked.insns)
        references: dict[int, Reference] = {}
        for at, reference in linked.references.items():
            found = self._apply(function, insns, at, reference)
            if found is not None:
                references[at] = found
        row = section(function.section)
        return RelocatedProgram(
            name=function.name,
            section=function.section.removeprefix("?"),
            type=int(row.type) if row is not None else 0,
            attach_type=int(row.attach_type) if row is not None else 0,
            flags=row.flags if row is not None else 0,
            insns=tuple(insns),
            references=references,
            parts=linked.parts,
            functions=_function_info(linked),
            lines=_line_info(linked),
        )

    def _apply(
        self, program: FunctionSpec, insns: list[Insn], at: int, reference: Reference
    ) -> Reference | None:
        """Put into an instruction what a reference stands for; give what is left to fill in."""
        old = insns[at]
        if old.code == isa.CALL_CODE:
            return self._apply_call(insns, at, reference)
        if old.code != isa.LD_IMM64 or at + 1 >= len(insns):
            raise ElfError(
                f"{program.name!r} refers to {reference.target!r} in instruction {at}, which "
                "takes no reference"
            )
        if reference.kind is ReferenceKind.EXTERN:
            return self._apply_extern(insns, at, reference)
        if reference.kind is ReferenceKind.MAP:
            return self._load_map(insns, at, reference.target, None)
        if reference.kind is ReferenceKind.DATA:
            if reference.target == ARENA_SECTION:
                assert self.arena is not None
                offset = reference.offset + self.arena_offset
                return self._load_map(insns, at, self.arena, offset)
            return self._load_map(insns, at, reference.target, reference.offset)
        raise ElfError(f"{program.name!r} uses {reference.target!r}, which was not linked")

    def _load_map(
        self, insns: list[Insn], at: int, name: str, offset: int | None
    ) -> Reference | None:
        """Load a map, or with ``offset`` the address of a byte of its value."""
        index = self.map_index.get(name)
        made = self.maps[index] if index is not None else None
        if index is None or made is None or made.kind is MapKind.STRUCT_OPS:
            raise ElfError(f"an instruction refers to {name!r}, which is no map that can be used")
        if not made.created:
            insns[at] = insns[at + 1] = Insn(isa.CALL_CODE, imm=POISON_MAP + index)
            return None
        old, high = insns[at], insns[at + 1]
        if offset is None:
            insns[at] = Insn(old.code, old.dst, isa.PSEUDO_MAP_FD, old.off, 0)
            return Reference(at, ReferenceKind.MAP, name)
        insns[at] = Insn(old.code, old.dst, isa.PSEUDO_MAP_VALUE, old.off, 0)
        insns[at + 1] = Insn(high.code, high.dst, high.src, high.off, _signed(offset))
        return Reference(at, ReferenceKind.DATA, name, offset)

    def _apply_extern(self, insns: list[Insn], at: int, reference: Reference) -> Reference | None:
        name = reference.target
        offset = self.kconfig_at.get(name)
        if offset is not None:
            return self._load_map(insns, at, created.KCONFIG, offset)
        extern = self.externs[name]
        old, high = insns[at], insns[at + 1]
        if extern.type_id:
            insns[at] = Insn(old.code, old.dst, isa.PSEUDO_BTF_ID, old.off, extern.type_id)
            insns[at + 1] = Insn(high.code, high.dst, high.src, high.off, 0)
        else:
            address = extern.address
            insns[at] = Insn(old.code, old.dst, old.src, old.off, _signed(address))
            insns[at + 1] = Insn(high.code, high.dst, high.src, high.off, _signed(address >> 32))
        return Reference(at, ReferenceKind.EXTERN, name, module=extern.module)

    def _apply_call(self, insns: list[Insn], at: int, reference: Reference) -> Reference | None:
        extern = self.externs.get(reference.target)
        if reference.kind is not ReferenceKind.EXTERN or extern is None:
            raise ElfError(f"instruction {at} calls {reference.target!r}, which is no function")
        if not extern.found:
            insns[at] = Insn(isa.CALL_CODE, imm=POISON_KFUNC + extern.index)
            return None
        old = insns[at]
        index = extern.module_index
        insns[at] = Insn(old.code, old.dst, isa.PSEUDO_KFUNC_CALL, index, extern.type_id)
        return Reference(at, ReferenceKind.EXTERN, reference.target, module=extern.module)


def _function_info(linked: Linked) -> tuple[tuple[int, int], ...]:
    """Say which type each function of a program has (reloc_prog_func_and_line_info).

    Where the program itself tells none, libbpf drops those of the functions behind it.

    Raises:
        ElfError: a function behind it lacks one.
    """
    if linked.parts[0][1].type_id is None:
        return ()
    for _, function in linked.parts:
        if function.type_id is None:
            raise ElfError(
                f".BTF.ext has no type of the function {function.name!r}, which "
                f"{linked.parts[0][1].name!r} uses; it must have those of all functions or none"
            )
    return tuple((start, function.type_id or 0) for start, function in linked.parts)


def _line_info(linked: Linked) -> tuple[Line, ...]:
    """Give the C lines of a whole program; none where the program itself has none.

    Raises:
        ElfError: a function behind it has none.
    """
    if not linked.parts[0][1].lines:
        return ()
    for _, function in linked.parts:
        if not function.lines:
            raise ElfError(
                f".BTF.ext has no lines of the function {function.name!r}, which "
                f"{linked.parts[0][1].name!r} uses; it must have those of all functions or none"
            )
    return tuple(
        dataclasses.replace(line, insn=start + line.insn)
        for start, function in linked.parts
        for line in function.lines
    )


def _signed(value: int) -> int:
    """The low 32 bits as ``imm`` holds them."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)
