"""Programs in one piece: what libbpf makes of them, shown on small objects and kernels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pylibbpf.btf.core import Target
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    DeclTag,
    Func,
    FuncProto,
    Int,
    Member,
    Ptr,
    Struct,
    Var,
)
from pylibbpf.errors import CoreError, ElfError, RelocationError
from pylibbpf.isa import insn as isa
from pylibbpf.loader.created import ring_size
from pylibbpf.loader.kconfig import Kconfig
from pylibbpf.loader.object import read
from pylibbpf.loader.patch import POISON
from pylibbpf.loader.relocate import POISON_KFUNC, POISON_MAP, relocate
from pylibbpf.spec import MapKind, ReferenceKind
from pylibbpf.uapi.enums import MapType

OBJECTS = Path(__file__).parents[2] / "objects"
OPTIONS = {"CONFIG_BPF_SYSCALL": "y", "CONFIG_BPF": "m", "CONFIG_HZ": "250"}
KERNEL = Kconfig(OPTIONS, version=(6, 12, 5), syscall_wrapper=True)
NOTHING = Target(Btf.from_types([]))
TCP = ("ssthresh", "cong_avoid", "undo_cwnd")


def spec_of(name):
    return read(OBJECTS / f"{name}.bpf.o")


def relocated(name, **given):
    given.setdefault("kconfig", KERNEL)
    given.setdefault("symbols", {})
    given.setdefault("target", NOTHING)
    given.setdefault("cpus", 3)
    return relocate(spec_of(name), **given)


def names(program):
    return [function.name for _, function in program.parts]


# Maps and data


def test_maps_are_names_and_their_descriptors_are_left_open():
    found = relocated("maps")
    for program in found.programs:
        loads = {
            at
            for at, insn in enumerate(program.insns)
            if insn.code == isa.LD_IMM64 and insn.src == isa.PSEUDO_MAP_FD
        }
        assert loads == {at for at, r in program.references.items() if r.kind is ReferenceKind.MAP}
        assert all(program.insns[at].imm == 0 for at in loads)
        assert all(found.map(program.references[at].target) is not None for at in loads)


def test_data_is_an_offset_in_a_map_s_value():
    (program,) = relocated("globals").programs
    data = {at: r for at, r in program.references.items() if r.kind is ReferenceKind.DATA}
    assert {r.target for r in data.values()} >= {".rodata", ".data", ".bss", ".data.custom"}
    for at, reference in data.items():
        assert program.insns[at].src == isa.PSEUDO_MAP_VALUE
        assert program.insns[at + 1].imm == reference.offset


def test_a_map_that_is_not_created_must_not_be_loaded():
    usual = relocated("minimal")
    index = [each.name for each in usual.maps].index("counts")
    without = relocated("minimal", without_maps=["counts"])
    assert without.map("counts").created is False
    at = next(at for at, r in usual.programs[0].references.items() if r.target == "counts")
    poison = isa.Insn(isa.CALL_CODE, imm=POISON_MAP + index)
    assert without.programs[0].insns[at : at + 2] == (poison, poison)
    assert at not in without.programs[0].references


def test_maps_come_in_libbpf_s_order_with_its_sizes():
    found = relocated("tables")
    user = [each.name for each in found.maps if each.kind is MapKind.BTF]
    assert user[:4] == ["inside", "beside", "outer", "jumps"]
    assert {each.kind for each in found.maps[len(user) :]} == {MapKind.DATA}
    assert found.map("events").max_entries == 3  # one for each CPU
    assert found.map("ring").max_entries == 16384
    rings = found.map("rings")
    assert rings.inner.type == MapType.RINGBUF
    assert rings.inner.max_entries == 8192
    assert (rings.key_size, rings.value_size) == (4, 4)
    assert found.map("outer").values == ((2, "inside"), (8, "beside"))
    assert found.map("jumps").values == ((1, "later"), (3, "unused"))
    assert found.map("array").value_type_id
    assert found.map("sockets").value_type_id == 0, "the kernel takes no types for this kind"
    assert found.version == 0x060102


def test_only_data_that_somebody_may_see_can_be_mapped():
    found = relocated("tables")
    mappable = {each.name for each in found.maps if each.flags & 1 << 10}
    assert mappable == {".rodata", ".bss", ".data.bytes", ".rodata.named"}
    frozen = {each.name for each in found.maps if each.frozen}
    assert frozen >= {".rodata", ".rodata.named"}
    assert not frozen & mappable & {".bss", ".data.bytes"}
    assert found.map(".data.bytes").contents == b"\7"


@pytest.mark.parametrize(
    ("asked", "made"),
    [(0, 0), (1, 4096), (4096, 4096), (4097, 8192), (12288, 16384), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_a_ring_has_a_power_of_two_of_pages(asked, made):
    assert ring_size(asked) == made


@pytest.mark.parametrize(("version", "start"), [((6, 12, 0), 0), ((7, 0, 0), 30 * 4096)])
def test_the_variables_of_an_arena_lie_at_its_end_where_the_kernel_allows(version, start):
    found = relocated("arena_globals", kconfig=Kconfig({}, version=version))
    arena = found.map("arena")
    assert arena.contents_offset == start
    assert len(arena.contents) == 701 * 8
    assert arena.map_extra == 1 << 44
    (program,) = found.programs
    offsets = [
        r.offset for r in program.references.values() if r.kind is ReferenceKind.DATA
    ]  # fmt: skip
    assert offsets
    assert all(start <= offset < start + 701 * 8 for offset in offsets)
    assert found.map(".addr_space.1") is None


def test_an_arena_must_hold_its_variables():
    spec = spec_of("arena_globals")
    small = [dataclasses.replace(m, max_entries=1) if m.name == "arena" else m for m in spec.maps]
    with pytest.raises(ElfError, match="4096 bytes; its variables need 8192"):
        relocate(dataclasses.replace(spec, maps=tuple(small)), kconfig=KERNEL)


# Functions


def test_functions_come_when_they_are_first_used_and_what_they_use_behind_them():
    found = relocated("functions")
    order = {program.name: names(program) for program in found.programs}
    assert order == {
        "direct": ["direct", "replaceable", "first", "shared", "last", "quiet"],
        "reverse": ["reverse", "quiet", "last", "shared"],
        "repeated": ["repeated", "count", "shared", "last"],
        "throwing": ["throwing", "shared", "last", "caught"],
        "alone": ["alone"],
    }


def test_calls_go_to_where_functions_were_put():
    for program in relocated("functions").programs:
        starts = {start for start, _ in program.parts}
        calls = [
            at + 1 + insn.imm
            for at, insn in enumerate(program.insns)
            if (insn.code == isa.CALL_CODE and insn.src == isa.PSEUDO_CALL)
            or (insn.code == isa.LD_IMM64 and insn.src == isa.PSEUDO_FUNC)
        ]
        assert set(calls) <= starts
        assert bool(calls) == (len(starts) > 1)


def test_types_and_lines_count_from_where_functions_were_put():
    spec = spec_of("functions")
    for program in relocated("functions").programs:
        assert [at for at, _ in program.functions] == [start for start, _ in program.parts]
        named = [spec.btf.type(type_id).name for _, type_id in program.functions]
        assert named == names(program)
        for at in range(len(program.insns)):
            function, own = program.origin(at)
            line = function.line(own)
            assert program.line(at).text == line.text


def test_a_program_without_types_drops_those_of_its_functions():
    spec = spec_of("functions")
    without = [
        dataclasses.replace(f, type_id=None, lines=()) if f.name == "direct" else f
        for f in spec.functions
    ]
    bare = dataclasses.replace(spec, functions=tuple(without))
    found = relocate(bare, kconfig=KERNEL, target=NOTHING)
    assert found.program("direct").functions == ()
    assert found.program("direct").lines == ()
    without = [
        dataclasses.replace(f, type_id=None) if f.name == "shared" else f for f in spec.functions
    ]
    with pytest.raises(ElfError, match=r"no type of the function 'shared'"):
        relocate(
            dataclasses.replace(spec, functions=tuple(without)), kconfig=KERNEL, target=NOTHING
        )


def retagged(spec, change):
    """The object with its tag of the exception callback changed."""
    types = [spec.btf.type(type_id) for type_id in range(1, len(spec.btf))]
    at = next(n for n, t in enumerate(types) if isinstance(t, DeclTag))
    types[at] = change(types[at])
    return dataclasses.replace(spec, btf=Btf.from_types(types))


@pytest.mark.parametrize(
    ("callback", "problem"),
    [
        ("exception_callback:nobody", "is no function of the object"),
        ("exception_callback:first", "must be global and not hidden"),
        ("exception_callback:quiet", "must be global and not hidden"),
        ("exception_callback:", "is no function of the object"),
    ],
)
def test_an_exception_callback_must_be_a_global_function(callback, problem):
    spec = retagged(spec_of("functions"), lambda tag: DeclTag(callback, tag.type_id))
    with pytest.raises(ElfError, match=problem):
        relocate(spec, kconfig=KERNEL, target=NOTHING)


def test_only_what_was_asked_for_is_relocated():
    found = relocated("functions", programs=["alone"])
    assert [program.name for program in found.programs] == ["alone"]
    assert set(found.skipped) == {"direct", "reverse", "repeated", "throwing"}


def test_functions_that_libbpf_does_not_take():
    spec = spec_of("functions")
    static = [
        dataclasses.replace(f, program=False) if f.name == "alone" else f for f in spec.functions
    ]
    with pytest.raises(ElfError, match="'alone' in section 'raw_tp/five' is static"):
        relocate(dataclasses.replace(spec, functions=tuple(static)), kconfig=KERNEL)
    called = []
    for function in spec.functions:
        references = tuple(
            dataclasses.replace(r, section="raw_tp/five", offset=0)
            if r.kind is ReferenceKind.FUNCTION
            else r
            for r in function.references
        )
        called.append(dataclasses.replace(function, references=references))
    with pytest.raises(ElfError, match="a program cannot be called"):
        relocate(dataclasses.replace(spec, functions=tuple(called)), kconfig=KERNEL)


# The kernel's names


def kernel_with_tasks(**modules):
    """A kernel with the functions and variables that externs.bpf.c asks for."""
    types = [
        Int("int", 4, 32, signed=True),  # 1
        Struct("task_struct", 4, (Member("pid", 1, 0),)),  # 2
        Ptr(2),  # 3
        FuncProto(3, (("pid", 1),)),  # 4
        Func("bpf_task_from_pid", 4),  # 5
        FuncProto(0, (("task", 3),)),  # 6
        Func("bpf_task_release", 6),  # 7
        Var("bpf_prog_active", 1),  # 8
    ]
    return Target(Btf.from_types(types), modules)


def test_typed_names_become_ids():
    found = relocated("externs", kernel=kernel_with_tasks(), symbols={"init_task": 0x12_8765_4321})
    program = found.program("functions")
    calls = [
        insn.imm
        for insn in program.insns
        if insn.code == isa.CALL_CODE and insn.src == isa.PSEUDO_KFUNC_CALL
    ]
    assert calls == [5, 7, 5, 7]
    taken = [insn.imm for insn in program.insns if insn.src == isa.PSEUDO_BTF_ID]
    assert taken == [5], "of the two whose address is asked for, one is there"
    # One that is missing, one whose parameters are others: its number is libbpf's of the extern.
    poisoned = {insn.imm - POISON_KFUNC for insn in program.insns if insn.imm >= POISON_KFUNC}
    assert len(poisoned) == 2
    assert all(12 <= index < 20 for index in poisoned)
    symbols = found.program("symbols")
    targets = {r.target: at for at, r in symbols.references.items()}
    at = targets["init_task"]
    assert [insn.imm for insn in symbols.insns[at : at + 2]] == [0x87654321 - (1 << 32), 0x12]
    at = targets["bpf_prog_active"]
    assert (symbols.insns[at].src, symbols.insns[at].imm) == (isa.PSEUDO_BTF_ID, 8)
    for name in ("pylibbpf_no_such_symbol", "pylibbpf_no_such_variable"):
        at = targets[name]
        assert [insn.imm for insn in symbols.insns[at : at + 2]] == [0, 0]
        assert symbols.insns[at].src == 0


def test_a_function_of_a_module_is_called_by_the_module_s_number():
    base = kernel_with_tasks().btf
    proto = FuncProto(0, (("number", 1),))
    types = [proto, Func("bpf_pylibbpf_no_such_function", len(base))]
    module = Btf.from_types(types, base=base)
    other = Btf.from_types([Int("unused", 4, 32)], base=base)
    kernel = Target(base, {"other": other, "late": module})
    found = relocated("externs", kernel=kernel)
    assert found.modules == ("late",)
    program = found.program("functions")
    (at,) = (
        at
        for at, r in program.references.items()
        if r.module and program.insns[at].code == isa.CALL_CODE
    )
    assert program.references[at].module == "late"
    assert (program.insns[at].off, program.insns[at].imm) == (1, len(base) + 1)


def strong(spec, name):
    externs = [
        dataclasses.replace(e, weak=False) if e.name == name else e for e in spec.externs
    ]  # fmt: skip
    return dataclasses.replace(spec, externs=tuple(externs))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pylibbpf_no_such_symbol", "the kernel has no symbol of that name"),
        ("pylibbpf_no_such_variable", "no variable of that name in its BTF"),
        ("bpf_pylibbpf_no_such_function", "no function of that name in its BTF"),
        ("bpf_task_release___other", r"knows it as 'int\(int, long\)', this kernel as"),
        ("CONFIG_PYLIBBPF_MISSING_WORD", "is not set in the kernel's configuration"),
    ],
)
def test_what_is_not_weak_must_be_there(name, problem):
    spec = strong(spec_of("externs"), name)
    with pytest.raises(RelocationError, match=problem) as caught:
        relocate(spec, kconfig=KERNEL, symbols={}, kernel=kernel_with_tasks())
    assert name in str(caught.value)


def test_an_extern_without_a_type_is_nobody_s():
    spec = spec_of("externs")
    externs = [dataclasses.replace(e, type_id=None) for e in spec.externs]
    with pytest.raises(ElfError, match="declare it __ksym or __kconfig"):
        relocate(dataclasses.replace(spec, externs=tuple(externs)), kconfig=KERNEL)


def test_configuration_values_are_read_from_a_map():
    found = relocated("externs")
    kconfig = found.map(".kconfig")
    assert kconfig.kind is MapKind.KCONFIG
    assert kconfig.frozen
    assert len(kconfig.contents) == kconfig.value_size
    references = found.program("configuration").references.values()
    used = {r.offset for r in references if r.target == ".kconfig"}
    assert len(used) >= 11
    assert all(0 <= offset < kconfig.value_size for offset in used)


# CO-RE


def test_what_the_kernel_does_not_have_is_poisoned_once_for_all_programs():
    program = relocated("core").program("unguarded")
    assert any(insn.imm == POISON for insn in program.insns)


def test_an_error_says_which_line_asked():
    spec = spec_of("core")
    struct_id = next(
        spec.btf.type(core.type_id).name and core.type_id
        for function in spec.functions
        for core in function.core
        if core.kind.of_field
    )
    broken = [
        dataclasses.replace(
            f,
            core=tuple(dataclasses.replace(c, access="0:99", type_id=struct_id) for c in f.core),
        )
        for f in spec.functions
    ]
    with pytest.raises(CoreError) as caught:
        relocate(dataclasses.replace(spec, functions=tuple(broken)), kconfig=KERNEL, target=NOTHING)
    assert caught.value.program in {"guarded", "unguarded"}
    assert caught.value.insn is not None
    assert "core.bpf.c:" in caught.value.source


# struct_ops


def tcp_kernel(*, members=TCP, wrapper=True, flags=4, name_size=16):
    """A kernel that takes TCP congestion controls, laid out otherwise than the object's."""
    types = [
        Int("u32", 4, 32),  # 1
        FuncProto(1, ()),  # 2
        Ptr(2),  # 3
        Int("char", 1, 8),  # 4
        Int("flags", flags, 8 * flags),  # 5
        Struct("name", name_size, ()),  # 6: stands for an array
    ]
    fields = [Member("flags", 5, 64), *(Member(m, 3, 128 + 64 * n) for n, m in enumerate(members))]
    types.append(Struct("tcp_congestion_ops", 64, tuple(fields)))  # 7
    if wrapper:
        parts = (Member("common", 5, 0), Member("data", 7, 512))
        types.append(Struct("bpf_struct_ops_tcp_congestion_ops", 128, parts))  # 8
    return Target(Btf.from_types(types))


def without_names(spec):
    """The object's tables without their names, which would need an array in the kernel."""
    maps = []
    for each in spec.maps:
        if each.kind is MapKind.STRUCT_OPS:
            each = dataclasses.replace(each, initial=bytes(len(each.initial)))
        maps.append(each)
    return dataclasses.replace(spec, maps=tuple(maps))


def test_a_table_of_functions_is_laid_out_as_the_kernel_has_it():
    spec = without_names(spec_of("optional_ops"))
    found = relocate(spec, kconfig=KERNEL, kernel=tcp_kernel(), target=NOTHING)
    always, later = found.map("always"), found.map("later")
    assert later.created is False
    assert later.contents is None
    assert (always.value_size, always.kernel_type_id) == (128, 8)
    assert {name: offset for offset, name in always.values} == {
        "threshold": 64 + 16,
        "avoid": 64 + 24,
        "undo": 64 + 32,
    }
    roles = {p.name: (p.attach_type, p.kernel_type_id) for p in found.programs}
    assert roles == {"threshold": (1, 7), "avoid": (2, 7), "undo": (3, 7)}
    assert found.skipped == {"other_avoid": "only struct_ops maps that are not created name it"}


@pytest.mark.parametrize(
    ("kernel", "problem"),
    [
        (NOTHING, "has no struct bpf_struct_ops_tcp_congestion_ops"),
        (tcp_kernel(wrapper=False), "has no struct bpf_struct_ops_tcp_congestion_ops"),
        (tcp_kernel(members=TCP[:2]), "'undo_cwnd' .* this kernel has no such member"),
        (tcp_kernel(flags=8), "'flags' .* 4 bytes here and 8 in this kernel"),
    ],
)
def test_a_kernel_that_has_the_struct_otherwise(kernel, problem):
    spec = without_names(spec_of("optional_ops"))
    with pytest.raises(RelocationError, match=problem):
        relocate(spec, kconfig=KERNEL, kernel=kernel, target=NOTHING)


def test_members_that_are_set_must_be_in_the_kernel():
    with pytest.raises(RelocationError, match=r"'name' .* this kernel has no such member"):
        relocated("optional_ops", kernel=tcp_kernel())


def test_only_struct_ops_programs_can_be_members():
    spec = spec_of("optional_ops")
    other = [
        dataclasses.replace(f, section="socket") if f.name == "avoid" else f for f in spec.functions
    ]
    with pytest.raises(ElfError, match=r"'avoid', for its member 'cong_avoid', is no program"):
        relocate(
            dataclasses.replace(spec, functions=tuple(other)), kconfig=KERNEL, kernel=tcp_kernel()
        )


# Jump tables


def test_a_jump_table_becomes_a_map_of_each_program():
    spec = read(Path(__file__).parent / "jumps.bpf.o")
    (table,) = spec.jump_tables
    found = relocate(spec, kconfig=KERNEL)
    program, other = found.program("direct"), found.program("behind")
    tables = [each for each in found.maps if each.kind is MapKind.JUMP_TABLE]
    assert len(tables) == 2
    for each, made in ((program, tables[0]), (other, tables[1])):
        (at,) = (
            at for at, r in each.references.items() if r.kind is ReferenceKind.JUMP_TABLE
        )  # fmt: skip
        assert each.references[at].target == made.name
        assert (each.insns[at].src, each.insns[at].imm) == (isa.PSEUDO_MAP_VALUE, 0)
        assert (made.type, made.value_size) == (MapType.INSN_ARRAY, 16)
        targets = [
            int.from_bytes(made.contents[n : n + 4], "little")
            for n in range(0, len(made.contents), 16)
        ]
        assert len(targets) == len(table.targets)
        (start,) = (start for start, function in each.parts if function.name == "choose")
        (function,) = (function for _, function in each.parts if function.name == "choose")
        assert targets == [start + (t - function.offset) // 8 for t in table.targets]


def test_a_jump_table_leads_into_its_program():
    spec = read(Path(__file__).parent / "jumps.bpf.o")
    (table,) = spec.jump_tables
    wild = dataclasses.replace(table, targets=(*table.targets[:-1], 1 << 40))
    with pytest.raises(ElfError, match="leads out of the program"):
        relocate(dataclasses.replace(spec, jump_tables=(wild,)), kconfig=KERNEL)


def test_an_object_has_no_more_instructions_than_the_kernel_takes():
    spec = spec_of("functions")
    large = [
        dataclasses.replace(f, code=bytes(8_000_008)) if f.name == "alone" else f
        for f in spec.functions
    ]
    with pytest.raises(ElfError, match="a program may have 1000000"):
        relocate(dataclasses.replace(spec, functions=tuple(large)), kconfig=KERNEL)
