"""What older libbpfs do otherwise, each change seen from both sides.

tests/differential/test_loader.py holds the same against the libbpf that is installed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pylibbpf.btf.core import Target
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Func, FuncProto, Int, Member, Ptr, Struct
from pylibbpf.errors import ElfError, RelocationError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn
from pylibbpf.loader.kconfig import Kconfig
from pylibbpf.loader.object import read
from pylibbpf.loader.releases import NEWEST, OLDEST, Change, Release
from pylibbpf.loader.relocate import POISON_KFUNC, relocate
from pylibbpf.spec import MapKind, ReferenceKind
from pylibbpf.uapi.enums import ProgType
from pylibbpf.uapi.sections import SECTIONS

OBJECTS = Path(__file__).parents[2] / "objects"
NOTHING = Target(Btf.from_types([]))


def spec_of(name):
    return read(OBJECTS / f"{name}.bpf.o")


def before(change):
    major, minor = change.since
    return major, minor - 1


def relocated(spec, libbpf, version=(7, 0, 0), **given):
    options = {"CONFIG_BPF_SYSCALL": "y", "CONFIG_BPF": "m", "CONFIG_HZ": "250"}
    given.setdefault("kernel", NOTHING)
    return relocate(
        spec,
        target=NOTHING,
        kconfig=Kconfig(options, version=version, syscall_wrapper=True),
        symbols={},
        cpus=3,
        libbpf=libbpf,
        **given,
    )


@pytest.mark.parametrize("change", Change)
def test_a_change_came_with_a_release_that_is_known(change):
    assert OLDEST < change.since <= NEWEST
    assert Release(change.since).has(change)
    assert Release(NEWEST).has(change)
    assert not Release(before(change)).has(change)


@pytest.mark.parametrize("version", [(0, 8), (1, 0), (1, 9), (2, 0)])
def test_other_releases_are_not_made_up(version):
    with pytest.raises(ValueError, match=r"none of those known: 1\.1 to 1\.8"):
        relocated(spec_of("minimal"), version)


@pytest.mark.parametrize("name", ["usdt.s", "struct_ops.s", "tcx/ingress", "fsession", "tp_btf.s"])
def test_a_name_is_known_since_its_release(name):
    row = SECTIONS[name]
    assert Release(row.libbpf).section(name) is row
    major, minor = row.libbpf
    assert Release((major, minor - 1)).section(name) is None


def test_a_program_of_an_unknown_name_has_no_type():
    spec = spec_of("minimal")
    renamed = tuple(
        dataclasses.replace(f, section="tcx/ingress") if f.program else f for f in spec.functions
    )
    spec = dataclasses.replace(spec, functions=renamed)
    (old, *_), (new, *_) = (relocated(spec, each).programs for each in ((1, 2), (1, 3)))
    assert (old.type, old.attach_type) == (0, 0)
    assert new.type == ProgType.SCHED_CLS
    assert new.attach_type != 0


def test_the_only_function_was_a_program():
    spec = spec_of("functions")
    (lone,) = (f for f in spec.functions if f.name == "quiet")
    spec = dataclasses.replace(spec, functions=(lone,))
    (program,) = relocated(spec, before(Change.NO_LONE_PROGRAM)).programs
    assert (program.name, program.section, program.type) == ("quiet", ".text", 0)
    assert relocated(spec, Change.NO_LONE_PROGRAM.since).programs == ()
    two = dataclasses.replace(spec, functions=spec_of("functions").functions)
    assert all(p.section != ".text" for p in relocated(two, OLDEST).programs)


def test_exception_callbacks_were_not_linked():
    spec = spec_of("functions")
    old, new = (
        relocated(spec, each).program("throwing")
        for each in (before(Change.EXCEPTION_CALLBACKS), Change.EXCEPTION_CALLBACKS.since)
    )
    names = [function.name for _, function in new.parts]
    assert "caught" in names
    assert [function.name for _, function in old.parts] == [n for n in names if n != "caught"]


# The kernel's functions


def kernel_with_tasks(types=(), **modules):
    own = [
        Int("int", 4, 32, signed=True),  # 1
        Struct("task_struct", 4, (Member("pid", 1, 0),)),  # 2
        Ptr(2),  # 3
        FuncProto(3, (("pid", 1),)),  # 4
        Func("bpf_task_from_pid", 4),  # 5
        FuncProto(0, (("task", 3),)),  # 6
        Func("bpf_task_release", 6),  # 7
    ]
    return Target(Btf.from_types([*own, *types]), modules)


def calls(program):
    return [
        insn
        for insn in program.insns
        if insn.code == isa.CALL_CODE
        and (insn.src == isa.PSEUDO_KFUNC_CALL or insn.imm >= POISON_KFUNC)
    ]


def test_the_call_of_a_missing_function_was_one_of_number_0():
    spec = spec_of("externs")
    nobody = Insn(isa.CALL_CODE, 0, isa.PSEUDO_KFUNC_CALL, 0, 0)
    kernel = kernel_with_tasks()
    old = relocated(spec, before(Change.POISONED_FUNCTIONS), kernel=kernel).program("functions")
    assert nobody in calls(old)
    assert all(insn.imm < POISON_KFUNC for insn in calls(old))
    new = relocated(spec, Change.POISONED_FUNCTIONS.since, kernel=kernel).program("functions")
    assert nobody not in calls(new)
    poisoned = [insn.imm >= POISON_KFUNC for insn in calls(new)]
    assert poisoned == [insn == nobody for insn in calls(old)]


def test_a_flavour_was_part_of_a_function_s_name():
    spec, kernel = spec_of("externs"), kernel_with_tasks()
    old, new = (
        [insn.imm for insn in calls(relocated(spec, each, kernel=kernel).program("functions"))]
        for each in (before(Change.FUNCTION_FLAVOURS), Change.FUNCTION_FLAVOURS.since)
    )
    assert (new.count(5), new.count(7)) == (2, 2)
    assert old.count(5) + old.count(7) < 4


def test_a_weak_function_had_to_have_the_parameters_too():
    kernel = kernel_with_tasks([FuncProto(0, ()), Func("bpf_pylibbpf_no_such_function", 8)])
    spec = spec_of("externs")
    relocated(spec, Change.FUNCTION_FLAVOURS.since, kernel=kernel)
    with pytest.raises(RelocationError, match=r"the object knows it as 'void\(int\)'"):
        relocated(spec, before(Change.FUNCTION_FLAVOURS), kernel=kernel)


def test_the_address_of_a_module_s_function_was_told_without_the_module():
    base = kernel_with_tasks().btf
    types = [FuncProto(0, (("number", 1),)), Func("bpf_pylibbpf_no_such_function", len(base))]
    kernel = Target(base, {"late": Btf.from_types(types, base=base)})
    modules = []
    for each in (before(Change.MODULE_ADDRESSES), Change.MODULE_ADDRESSES.since):
        program = relocated(spec_of("externs"), each, kernel=kernel).program("functions")
        modules.append(
            {
                insn.code: program.references[at].module
                for at, insn in enumerate(program.insns)
                if at in program.references
                and program.references[at].target == "bpf_pylibbpf_no_such_function"
            }
        )
    old, new = modules
    assert old == {isa.CALL_CODE: "late", isa.LD_IMM64: ""}
    assert new == {isa.CALL_CODE: "late", isa.LD_IMM64: "late"}


# Maps


def test_arenas_were_unknown():
    spec = spec_of("arena_globals")
    with pytest.raises(ElfError, match=r"'.addr_space.1', which lies in a section that libbpf 1.3"):
        relocated(spec, before(Change.ARENA_VARIABLES))
    spec = dataclasses.replace(spec, functions=())
    with pytest.raises(ElfError, match=r"libbpf 1\.3 knows no __ulong\(map_extra"):
        relocated(spec, before(Change.WIDE_MAP_EXTRA))
    assert relocated(spec, Change.WIDE_MAP_EXTRA.since).map("arena").map_extra == 1 << 44


def test_the_variables_of_an_arena_were_at_its_start():
    spec = spec_of("arena_globals")
    old, new = (
        relocated(spec, each).map("arena").contents_offset
        for each in (before(Change.VARIABLES_AT_ARENA_END), Change.VARIABLES_AT_ARENA_END.since)
    )
    assert (old, new) == (0, 30 * 4096)


def test_jump_tables_were_unknown():
    spec = read(Path(__file__).parent / "jumps.bpf.o")
    with pytest.raises(ElfError, match=r"in a section that libbpf 1\.6 does not know"):
        relocated(spec, before(Change.JUMP_TABLES))
    found = relocated(spec, Change.JUMP_TABLES.since)
    assert any(each.kind is MapKind.JUMP_TABLE for each in found.maps)


# struct_ops


def tcp_kernel(name="tcp_congestion_ops"):
    types = [Int("u32", 4, 32), FuncProto(1, ()), Ptr(2), Struct("name", 16, ())]
    members = ("ssthresh", "cong_avoid", "undo_cwnd")
    fields = [Member("flags", 1, 0), *(Member(m, 3, 64 + 64 * n) for n, m in enumerate(members))]
    types.append(Struct(name, 64, tuple(fields)))  # 5
    parts = (Member("common", 1, 0), Member("data", 5, 512))
    types.append(Struct(f"bpf_struct_ops_{name}", 128, parts))
    return Target(Btf.from_types(types))


def ops(**sections):
    """The tables of optional_ops, without their names, in sections as given."""
    spec = spec_of("optional_ops")
    maps = [
        dataclasses.replace(each, initial=bytes(len(each.initial)), section=sections[each.name])
        for each in spec.maps
        if each.kind is MapKind.STRUCT_OPS and each.name in sections
    ]
    return dataclasses.replace(spec, maps=tuple(maps))


def test_sections_of_struct_ops_came_one_by_one():
    spec = spec_of("optional_ops")
    spec = dataclasses.replace(ops(later="?.struct_ops", always=".struct_ops.link"), maps=spec.maps)

    def known(libbpf):
        return {each.name for each in Release(libbpf).seen(spec).maps}

    assert known(before(Change.LINKED_STRUCT_OPS)) == set()
    assert known(Change.LINKED_STRUCT_OPS.since) == {"always"}
    assert known(before(Change.OPTIONAL_STRUCT_OPS)) == {"always"}
    assert known(Change.OPTIONAL_STRUCT_OPS.since) == {"always", "later"}
    old = relocated(spec, OLDEST)
    assert old.maps == ()
    assert [(p.name, p.attach_type) for p in old.programs] == [
        (p.name, 0) for p in spec.programs
    ]  # fmt: skip


def test_a_table_that_is_not_created_was_laid_out_all_the_same():
    spec = ops(later=".struct_ops")
    kernel = kernel_of(spec)
    old, new = (
        relocated(spec, each, kernel=kernel, without_maps=["later"])
        for each in (before(Change.OPTIONAL_STRUCT_OPS), Change.OPTIONAL_STRUCT_OPS.since)
    )
    assert not old.map("later").created
    assert old.program("other_avoid").kernel_type_id
    assert "other_avoid" in new.skipped


def kernel_of(spec):
    """A kernel that has the struct of the object's first table as the object has it."""
    btf = spec.btf
    types = [btf.type(type_id) for type_id in range(1, len(btf))]
    struct_id = spec.maps[0].value_type_id
    name = btf.type(struct_id).name
    parts = (Member("data", struct_id, 0),)
    types.append(Struct(f"bpf_struct_ops_{name}", btf.sizeof(struct_id), parts))
    return Target(Btf.from_types(types))


def test_struct_ops_were_taken_as_they_are_named():
    spec = ops(always=".struct_ops")
    change = Change.ADAPTED_STRUCT_OPS
    kernel = tcp_kernel()
    assert relocated(spec, change.since, kernel=kernel).program("avoid").kernel_type_id == 5
    with pytest.raises(RelocationError, match="no struct bpf_struct_ops_tcp_congestion_ops___oth"):
        relocated(spec, before(change), kernel=kernel)
    with pytest.raises(RelocationError, match=r"'no_such_function' .* has no such member"):
        relocated(spec, before(change), kernel=tcp_kernel("tcp_congestion_ops___other"))
    module = Target(Btf.from_types([]), {"tcp": kernel_of(spec).btf})
    with pytest.raises(RelocationError, match="has no struct bpf_struct_ops_"):
        relocated(spec, before(change), kernel=module)


def test_a_struct_ops_program_had_one_place_in_the_object_s_types():
    spec = ops(later=".struct_ops")
    (later,) = spec.maps
    (first, name), *others = later.values
    double = dataclasses.replace(later, values=((first, name), *((n, name) for n, _ in others)))
    spec = dataclasses.replace(spec, maps=(double,))
    kernel = kernel_of(spec)
    change = Change.ADAPTED_STRUCT_OPS
    for libbpf, error in ((before(change), ElfError), (change.since, RelocationError)):
        with pytest.raises(error, match=f"{name!r} is already for another member"):
            relocated(spec, libbpf, kernel=kernel)


def test_a_struct_ops_map_had_no_types():
    spec = ops(later=".struct_ops")
    old, new = (
        relocated(spec, each, kernel=kernel_of(spec)).map("later").value_type_id
        for each in (before(Change.STRUCT_OPS_TYPES), Change.STRUCT_OPS_TYPES.since)
    )
    assert (old, new) == (0, spec.maps[0].value_type_id)


def test_sleepable_struct_ops_programs_were_unknown():
    spec = spec_of("sleepable_struct_ops")
    spec = dataclasses.replace(
        spec, maps=tuple(dataclasses.replace(m, section=".struct_ops") for m in spec.maps)
    )
    with pytest.raises(ElfError, match=r'is no program in SEC\("struct_ops"\)'):
        relocated(spec, OLDEST, kernel=kernel_of(spec))


def test_references_of_a_program_that_is_not_asked_for_count_too():
    spec = spec_of("arena_globals")
    assert any(
        reference.kind is ReferenceKind.DATA
        for function in spec.functions
        for reference in function.references
    )
    with pytest.raises(ElfError, match="does not know"):
        relocated(spec, OLDEST, programs=())
