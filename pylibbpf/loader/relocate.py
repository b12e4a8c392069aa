"""Relocate an object without libbpf: the same instructions, one by one, that it would load.

What older libbpfs do otherwise is in :mod:`pylibbpf.loader.releases`.

The order of things is that of libbpf 1.7's bpf_object_prepare (libbpf.c): externs, struct_ops,
CO-RE in every function once, then for each program the functions it uses behind it
(bpf_object__relocate_calls), then what refers to maps and the kernel (bpf_object__relocate_data).
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from typing import TYPE_CHECKING

from pylibbpf.btf.core import Resolver
from pylibbpf.btf.types import DeclTag, Func, Kind
from pylibbpf.errors import CoreError, ElfError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn
from pylibbpf.loader import created
from pylibbpf.loader.externs import Externs
from pylibbpf.loader.kconfig import Kconfig
from pylibbpf.loader.ksyms import Symbols
from pylibbpf.loader.link import Linked, Linker
from pylibbpf.loader.maps import ARENA_SECTION
from pylibbpf.loader.patch import patch
from pylibbpf.loader.refused import MOST, SUBPROGRAMS, check_object
from pylibbpf.loader.releases import NEWEST, Change, Release
from pylibbpf.loader.relocated import RelocatedMap, RelocatedObject, RelocatedProgram
from pylibbpf.loader.struct_ops import StructOps
from pylibbpf.loader.this_kernel import this_kernel
from pylibbpf.spec import FunctionSpec, Line, MapKind, Reference, ReferenceKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pylibbpf.btf.core import Resolution, Target
    from pylibbpf.spec import CoreRelocation, JumpTable, ObjectSpec

__all__ = ["RelocatedMap", "RelocatedObject", "RelocatedProgram", "relocate"]

_GLOBAL = 1  # linkage of a BTF function

# What libbpf puts in place of instructions that must not be reached; the verifier's message has
# the number (POISON_LDIMM64_MAP_BASE, POISON_CALL_KFUNC_BASE), and to it comes the index of the
# map or extern.
POISON_MAP = 2001000000
POISON_KFUNC = 2002000000

# All programs of the largest object seen, with what they use, have 100,000 instructions.
_MOST_IN_ALL = 8_000_000


def relocate(
    spec: ObjectSpec,
    *,
    target: Target | None = None,
    kernel: Target | None = None,
    kconfig: Kconfig | str | None = None,
    symbols: Symbols | Mapping[str, int] | None = None,
    programs: Collection[str] | None = None,
    without_maps: Collection[str] = (),
    cpus: int | None = None,
    libbpf: tuple[int, int] = NEWEST,
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
    ``libbpf`` is the release to do as, (1, 1) or later: :class:`~pylibbpf.loader.releases.Change`
    lists what older ones do otherwise.

    Needs no privilege, except what reading this kernel's symbols needs.

    Raises:
        ElfError: the object is one that libbpf does not load.
        BtfError: its types, or the kernel's, are damaged or missing where they are needed.
        RelocationError: the kernel lacks what it asks for, or has it otherwise.
        CoreError: a CO-RE relocation cannot be carried out.
        ValueError: that release of libbpf is not known.
    """
    release = Release(libbpf)
    if isinstance(kconfig, str):
        kconfig = Kconfig.parse(kconfig, below=Kconfig.running())
    if not isinstance(symbols, Symbols):
        symbols = Symbols(symbols)
    kernel = kernel or target
    return _Relocation(
        release.seen(spec), kconfig or Kconfig.running(), symbols, kernel, cpus, release
    ).relocate(target, programs, without_maps)


class _Relocation:
    def __init__(
        self,
        spec: ObjectSpec,
        kconfig: Kconfig,
        symbols: Symbols,
        kernel: Target | None,
        cpus: int | None,
        release: Release,
    ) -> None:
        self.spec = spec
        self.release = release
        self.kconfig = kconfig
        self._kernel = kernel
        self.cpus = cpus
        self.maps: list[RelocatedMap] = []
        self.tables: dict[str, RelocatedMap] = {}
        self.arena: str | None = None
        self.arena_offset = 0
        self.left = _MOST_IN_ALL
        self.answers: dict[tuple[str, int], dict[int, Resolution]] = {}
        check_object(spec)
        self.struct_ops = StructOps(spec, release)
        for each in spec.maps:
            if each.kind is MapKind.STRUCT_OPS:
                self.struct_ops.check(each)
        self.externs = Externs(spec, kconfig, symbols, self.kernel, release)

    def kernel(self) -> Target:
        """The kernel's types; this kernel's are read when they are first needed."""
        if self._kernel is None:
            self._kernel = this_kernel()
        return self._kernel

    def relocate(
        self,
        target: Target | None,
        programs: Collection[str] | None,
        without_maps: Collection[str],
    ) -> RelocatedObject:
        spec = self.spec
        self._make_maps(without_maps)
        skipped = {}
        for function in spec.programs:
            if programs is not None and function.name not in programs:
                skipped[function.name] = "it was not asked for"
            elif self.struct_ops.unused(function.name):
                skipped[function.name] = "only struct_ops maps that are not created name it"
        functions = [f for f in spec.functions if f.name not in skipped or not f.program]
        linker = Linker(spec, self._patch(functions, target))
        callbacks = _Callbacks(spec, self.release)
        found = [
            self._program(linker, function, callbacks.of(function))
            for function in functions
            if function.program
        ]
        major, minor, patch_level = self.kconfig.version
        own = major << 16 | minor << 8 | min(patch_level, 255)
        return RelocatedObject(
            license=(spec.license or "")[:63],
            version=own if spec.version is None else spec.version,
            programs=tuple(found),
            maps=(*self.maps, *self.tables.values()),
            skipped=skipped,
            modules=tuple(self.externs.modules),
        )

    # Maps

    def _make_maps(self, without: Collection[str]) -> None:
        spec = self.spec
        for each in spec.maps:
            if created.is_arena_data(each):
                continue
            made = created.created(each, spec, self.cpus)
            if each.name in without:
                made = dataclasses.replace(made, created=False)
            if each.kind is MapKind.STRUCT_OPS:
                made = self.struct_ops.bind(each, made, self.kernel)
            self.maps.append(made)
        if self.release.has(Change.ARENA_VARIABLES):
            at_end = self.release.has(Change.VARIABLES_AT_ARENA_END)
            self.arena, self.arena_offset = created.arena_offset(
                self.maps,
                spec.section(ARENA_SECTION),
                at_end and self.kconfig.full_range_offsets,
            )
        if self.externs.kconfig and spec.btf is not None:
            made = created.kconfig_map(self.externs.kconfig, spec.btf)
            # The maps of struct_ops come last (bpf_object__init_maps).
            at = sum(each.kind is not MapKind.STRUCT_OPS for each in self.maps)
            self.maps.insert(at, made)
        self.map_index = {each.name: at for at, each in enumerate(self.maps)}

    # CO-RE

    def _patch(
        self, functions: list[FunctionSpec], target: Target | None
    ) -> dict[tuple[str, int], list[Insn]]:
        """Answer the CO-RE relocations: of each function once, before it is copied anywhere.

        Gives the code of those that have any, by section and offset.
        """
        asked: list[tuple[int, tuple[str, int], FunctionSpec, CoreRelocation]] = []
        code: dict[tuple[str, int], list[Insn]] = {}
        for function in functions:
            place = function.section, function.offset
            if function.core and place not in code:  # functions of one place share theirs
                code[place] = isa.decode(function.code)
                asked += [(each.order, place, function, each) for each in function.core]
        if not asked:
            return code
        assert self.spec.btf is not None
        resolver = Resolver(self.spec.btf, target or self.kernel())
        asked.sort(key=lambda each: each[0])
        for _, place, function, each in asked:
            try:
                answer = resolver.resolve(each.kind, each.type_id, each.access)
                patch(code[place], each.insn, answer)
            except CoreError as error:
                line = function.line(each.insn)
                error.program, error.insn = function.name, each.insn
                if line is not None:
                    error.source = f"{line.file}:{line.number}: {line.text.strip()}"
                raise
            self.answers.setdefault(place, {})[each.insn] = answer
        return code

    # Programs

    def _program(
        self, linker: Linker, function: FunctionSpec, callback: FunctionSpec | None
    ) -> RelocatedProgram:
        size = sum(each.insn_count for each in linker.used(function, callback))
        self.left -= size
        if size > MOST or self.left < 0:
            raise ElfError(
                f"program {function.name!r} has {size} instructions with the functions that it "
                "uses; together with the others these are too many"
            )
        linked = linker.link(function, callback)
        insns = list(linked.insns)
        references: dict[int, Reference] = {}
        for at, reference in linked.references.items():
            found = self._apply(linked, insns, at, reference)
            if found is not None:
                references[at] = found
        row = self.release.section(function.section)
        role = self.struct_ops.roles.get(function.name)
        attach_type = int(row.attach_type) if row is not None else 0
        return RelocatedProgram(
            name=function.name,
            section=function.section.removeprefix("?"),
            type=int(row.type) if row is not None else 0,
            attach_type=role.member if role is not None else attach_type,
            flags=row.flags if row is not None else 0,
            insns=tuple(insns),
            references=references,
            parts=linked.parts,
            functions=_function_info(linked),
            lines=_line_info(linked),
            core={
                start + at: answer
                for start, each in linked.parts
                for at, answer in self.answers.get((each.section, each.offset), {}).items()
            },
            kernel_type_id=role.type_id if role is not None else 0,
            module=role.module if role is not None else "",
        )

    def _apply(
        self, linked: Linked, insns: list[Insn], at: int, reference: Reference
    ) -> Reference | None:
        """Put into an instruction what a reference stands for; give what is left to fill in."""
        program = linked.parts[0][1]
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
        if reference.kind is ReferenceKind.JUMP_TABLE:
            return self._load_table(linked, insns, at, reference)
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
        offset = self.externs.option(name)
        if offset is not None:
            return self._load_map(insns, at, created.KCONFIG, offset)
        extern = self.externs.symbol(name)
        assert extern is not None  # the reader lists each that code refers to
        module = extern.module
        if extern.module_index and not self.release.has(Change.MODULE_ADDRESSES):
            module = ""  # its id goes to the kernel as one of the kernel's own BTF
        old, high = insns[at], insns[at + 1]
        if extern.type_id:
            insns[at] = Insn(old.code, old.dst, isa.PSEUDO_BTF_ID, old.off, extern.type_id)
            insns[at + 1] = Insn(high.code, high.dst, high.src, high.off, 0)
        else:
            address = extern.address
            insns[at] = Insn(old.code, old.dst, old.src, old.off, _signed(address))
            insns[at + 1] = Insn(high.code, high.dst, high.src, high.off, _signed(address >> 32))
        return Reference(at, ReferenceKind.EXTERN, name, module=module)

    def _apply_call(self, insns: list[Insn], at: int, reference: Reference) -> Reference | None:
        extern = self.externs.symbol(reference.target)
        if reference.kind is not ReferenceKind.EXTERN or extern is None:
            raise ElfError(f"instruction {at} calls {reference.target!r}, which is no function")
        old = insns[at]
        if not extern.found and not self.release.has(Change.POISONED_FUNCTIONS):
            insns[at] = Insn(old.code, old.dst, isa.PSEUDO_KFUNC_CALL)
            return None
        if not extern.found:
            insns[at] = Insn(isa.CALL_CODE, imm=POISON_KFUNC + extern.index)
            return None
        index = extern.module_index
        insns[at] = Insn(old.code, old.dst, isa.PSEUDO_KFUNC_CALL, index, extern.type_id)
        return Reference(at, ReferenceKind.EXTERN, reference.target, module=extern.module)

    def _load_table(
        self, linked: Linked, insns: list[Insn], at: int, reference: Reference
    ) -> Reference:
        """Load where a jump table is: a map of its own for each program (create_jt_map)."""
        table = _table(self.spec, reference)
        start, function = _part(linked, at)
        name = f"{created.JUMP_TABLES}/{linked.parts[0][1].name}+{table.offset}"
        if name not in self.tables:
            # A table of the program itself counts from its start in the section, which is where it
            # is linked; one of a function behind it from where that was linked.
            move = start - function.offset // isa.INSN_SIZE
            targets = [target // isa.INSN_SIZE + move for target in table.targets]
            if any(not 0 <= target < len(insns) for target in targets):
                raise ElfError(
                    f"the jump table {table.name!r} leads out of the program "
                    f"{linked.parts[0][1].name!r}"
                )
            self.tables[name] = created.jump_table(name, targets)
        old, high = insns[at], insns[at + 1]
        insns[at] = Insn(old.code, old.dst, isa.PSEUDO_MAP_VALUE, 0, 0)
        return Reference(at, ReferenceKind.JUMP_TABLE, name, high.imm)


class _Callbacks:
    """Which function a program names as its exception callback (bpf_prog_assign_exc_cb).

    No instruction calls it: it is linked behind everything else, for bpf_throw() to go to.
    """

    _PREFIX = "exception_callback:"

    def __init__(self, spec: ObjectSpec, release: Release) -> None:
        self._functions = [f for f in spec.functions if f.section == SUBPROGRAMS]
        self._named: dict[str, list[str]] = {}
        btf = spec.btf if release.has(Change.EXCEPTION_CALLBACKS) else None
        for _, tag in btf.types(Kind.DECL_TAG) if btf is not None else ():
            assert isinstance(tag, DeclTag)
            assert btf is not None
            if tag.component_idx != -1 or not tag.name.startswith(self._PREFIX):
                continue
            tagged = btf.type(tag.type_id)
            if not isinstance(tagged, Func) or tagged.linkage != _GLOBAL:
                raise ElfError(
                    f"the tag {tag.name!r} belongs to a program, and is at {tagged.name!r}, which "
                    "is no global function"
                )
            name = tag.name.removeprefix(self._PREFIX)
            self._named.setdefault(tagged.name, []).append(name)

    def of(self, program: FunctionSpec) -> FunctionSpec | None:
        """The callback of a program; None where it names none, or several (the verifier minds).

        Raises:
            ElfError: it is no global function of the object.
        """
        found = None
        for name in self._named.get(program.name, ()):
            if found is not None:
                return None
            found = next((f for f in self._functions if f.name == name), None)
            if found is None:
                raise ElfError(
                    f"program {program.name!r} names {name!r} as its exception callback, which is "
                    "no function of the object"
                )
            if found.linkage == "static" or found.hidden:
                raise ElfError(
                    f"program {program.name!r} names {name!r} as its exception callback, which "
                    "must be global and not hidden"
                )
        return found


def _part(linked: Linked, at: int) -> tuple[int, FunctionSpec]:
    """Which part of a program an instruction is in, and where it starts."""
    return linked.parts[bisect_right(linked.parts, at, key=lambda part: part[0]) - 1]


def _table(spec: ObjectSpec, reference: Reference) -> JumpTable:
    for table in spec.jump_tables:
        if (table.name, table.offset) == (reference.target, reference.offset):
            return table
    raise ElfError(f"an instruction refers to {reference.target!r}, which is no jump table")


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
        # dataclasses.replace takes five times as long.
        Line(start + line.insn, line.file, line.number, line.column, line.text)
        for start, function in linked.parts
        for line in function.lines
    )


def _signed(value: int) -> int:
    """The low 32 bits as ``imm`` holds them."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)
