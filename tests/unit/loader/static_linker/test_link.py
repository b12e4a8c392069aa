"""What comes of objects that belong together: the three of tests/objects/link_*."""

from __future__ import annotations

from io import BytesIO
from itertools import permutations
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from linkable import ALLOC, CALL, CODE, FUNC, GLOBAL, HIDDEN, LOCAL, RETURN, SECTION, WEAK, Linkable

import pylibbpf
from pylibbpf.btf.types import Datasec, Func, Fwd, Kind, Struct, Var
from pylibbpf.loader.object import read
from pylibbpf.loader.static_linker import link_objects
from pylibbpf.spec import ExternKind, ObjectSpec, ReferenceKind

NAMES = ("main", "store", "more")


@pytest.fixture(scope="session")
def paths(objects: Path) -> list[Path]:
    return [objects / f"link_{name}.bpf.o" for name in NAMES]


@pytest.fixture(scope="session")
def linked(paths: list[Path]) -> ObjectSpec:
    return read(link_objects(paths))


def test_the_public_name(paths: list[Path]) -> None:
    assert pylibbpf.link_objects is link_objects
    with pylibbpf.open_object(pylibbpf.link_objects(paths), name="linked") as obj:
        assert set(obj.programs) == {"first", "second", "third"}
        assert set(obj.maps) >= {"entries", "owners"}
        assert obj.globals["weak_number"] == 13
        assert obj.globals["step"] == 3


def test_paths_bytes_and_files_are_the_same(paths: list[Path]) -> None:
    whole = link_objects(paths)
    assert link_objects([path.read_bytes() for path in paths]) == whole
    assert link_objects([str(path) for path in paths]) == whole
    assert link_objects(BytesIO(path.read_bytes()) for path in paths) == whole


def test_externs_are_found(linked: ObjectSpec) -> None:
    left = {each.name: each.weak for each in linked.externs}
    assert left == {
        "LINUX_KERNEL_VERSION": False,
        "CONFIG_HZ": True,
        "bpf_pylibbpf_no_such_kfunc": True,
    }
    assert [each.name for each in linked.maps[:2]] == ["entries", "owners"]
    first = linked.function("first")
    assert first is not None
    kinds = {each.target: each.kind for each in first.references}
    assert kinds["entries"] is ReferenceKind.MAP
    assert kinds["add"] is ReferenceKind.FUNCTION
    assert kinds[".rodata"] is ReferenceKind.DATA


def test_what_a_part_lacks(paths: list[Path]) -> None:
    parts = {e.name for e in read(paths[0]).externs if e.kind is ExternKind.OBJECT}
    assert parts == {"entries", "step", "total", "latest", "add"}
    both = read(link_objects([paths[0], paths[2]]))
    assert {e.name for e in both.externs if e.kind is ExternKind.OBJECT} == parts
    assert not [each.name for each in both.maps if not each.name.startswith(".")]


def test_strong_wins_over_weak(linked: ObjectSpec) -> None:
    assert linked.btf is not None
    number = next(each for each in linked.globals if each.name == "weak_number")
    assert linked.initial(number) == (13).to_bytes(4, "little")
    choices = [each for each in linked.functions if each.name == "choice"]
    assert len(choices) == 1
    line = choices[0].line(0)
    assert line is not None
    assert line.file.endswith("link_more.bpf.c")


def test_the_first_of_two_weak_ones_wins(paths: list[Path]) -> None:
    for order, value in ((paths[:2], 11), (paths[1::-1], 12)):
        spec = read(link_objects(order))
        number = next(each for each in spec.globals if each.name == "weak_number")
        assert spec.initial(number) == value.to_bytes(4, "little")


def test_static_ones_of_one_name_stay_apart(linked: ObjectSpec) -> None:
    calls = [each for each in linked.globals if each.name == "calls"]
    assert [linked.initial(each)[0] for each in calls] == [5, 7, 9]
    twice = [each for each in linked.functions if each.name == "twice"]
    assert len({each.offset for each in twice}) == 3
    for caller, callee in (("first", 0), ("add", 1), ("choice", 2)):
        function = linked.function(caller)
        assert function is not None
        found = [each.offset for each in function.references if each.target == "twice"]
        assert found == [twice[callee].offset]


def test_each_type_is_there_once(linked: ObjectSpec) -> None:
    btf = linked.btf
    assert btf is not None
    for name in ("entry", "owner", "task_struct"):
        (only,) = btf.find(name)
        assert isinstance(btf.type(only), Struct)
    # Of cred nobody says more.
    assert [type(btf.type(one)) for one in btf.find("cred")] == [Fwd]
    twice = [btf.type(one) for one in btf.find("twice", Kind.FUNC)]
    assert len(twice) == 1  # all three have the same type
    (add,) = btf.find("add", Kind.FUNC)
    function = btf.type(add)
    assert isinstance(function, Func)
    assert btf.c_name(function.type_id) == "int(__u32, __u64)"
    assert function.linkage == 1


def test_sections_of_btf_have_true_offsets(paths: list[Path]) -> None:
    data = link_objects(paths)
    btf = read(data).btf
    assert btf is not None
    elf = ELFFile(BytesIO(data))
    symbols = {each.name: each for each in elf.get_section_by_name(".symtab").iter_symbols()}
    seen = 0
    for _, datasec in btf.types(Kind.DATASEC):
        assert isinstance(datasec, Datasec)
        section = elf.get_section_by_name(datasec.name)
        assert datasec.size == (section["sh_size"] if section is not None else 0)
        ends = 0
        for each in datasec.vars if section is not None else ():
            assert each.offset >= ends
            ends = each.offset + each.size
            var = btf.type(each.type_id)
            assert isinstance(var, Var)
            if var.linkage:
                assert symbols[var.name]["st_value"] == each.offset
                seen += 1
        assert ends <= datasec.size or section is None
    assert seen > 10


def test_core_and_lines_follow_their_code(paths: list[Path], linked: ObjectSpec) -> None:
    for path in paths:
        alone = read(path)
        for function in alone.programs:
            now = linked.function(function.name)
            assert now is not None
            assert [(e.insn, e.kind, e.type_name, e.path) for e in now.core] == [
                (e.insn, e.kind, e.type_name, e.path) for e in function.core
            ]
            assert now.lines == function.lines
            assert now.type_id


def test_the_order_of_files_does_not_matter_for_what_is_in_it(paths: list[Path]) -> None:
    views = set()
    for order in permutations(paths):
        spec = read(link_objects(order))
        views.add(
            (
                tuple(sorted(each.name for each in spec.functions)),
                tuple(sorted(each.name for each in spec.globals)),
                tuple(sorted(each.name for each in spec.externs)),
                len(spec.btf or ()),
            )
        )
    # A weak number that lost, and so is no variable, leaves no type behind.
    assert len(views) == 1


def test_linking_by_steps_is_the_same(paths: list[Path], linked: ObjectSpec) -> None:
    """A library that lacks something is an object like any other."""
    steps = read(link_objects([link_objects(paths[:2]), paths[2]]))
    assert [(f.name, f.code, f.lines) for f in steps.functions] == [
        (f.name, f.code, f.lines) for f in linked.functions
    ]
    assert steps.sections == linked.sections
    once = link_objects([link_objects(paths)])
    assert link_objects([once]) == once


def test_the_file_is_whole(paths: list[Path]) -> None:
    """By another reader of ELF, and by the rules of the specification."""
    elf = ELFFile(BytesIO(link_objects(paths)))
    table = elf.get_section_by_name(".symtab")
    binds = [each["st_info"]["bind"] for each in table.iter_symbols()]
    assert binds[: table["sh_info"]] == ["STB_LOCAL"] * table["sh_info"]
    assert "STB_LOCAL" not in binds[table["sh_info"] :]
    for section in elf.iter_sections():
        assert not section.name.startswith(".debug")
        if section["sh_addralign"] and section["sh_type"] != "SHT_NOBITS":
            assert section["sh_offset"] % section["sh_addralign"] == 0
        if isinstance(section, RelocationSection):
            target = elf.get_section(section["sh_info"])
            assert section.name == f".rel{target.name}"
            assert all(each["r_offset"] < target["sh_size"] for each in section.iter_relocations())
    hidden = {e.name for e in table.iter_symbols() if e["st_other"]["visibility"] == "STV_HIDDEN"}
    assert hidden == {"choice", "step"}


def test_a_call_to_a_place_in_a_section() -> None:
    """The function that is meant is in the instruction, and moves with its section."""
    one, two = Linkable(), Linkable()
    one.function("before")
    two.section(".text", RETURN + RETURN, ALLOC | CODE)
    text = two.symbol("", ".text", kind=SECTION, bind=LOCAL)
    two.symbol("static_one", ".text", 16, 16, FUNC, LOCAL)
    call = bytes.fromhex("8510000001000000") + CALL[8:]  # to byte (1 + 1) * 8 of the section
    two.section("syscall", call, ALLOC | CODE)
    two.symbol("run", "syscall", 0, 16, FUNC)
    two.relocation("syscall", 0, 10, text)
    spec = read(link_objects([one.build(types=False), two.build(types=False)]))
    run = spec.function("run")
    assert run is not None
    assert [(e.target, e.offset) for e in run.references] == [("static_one", 32)]
    assert run.code[4:8] == (3).to_bytes(4, "little")


def test_an_address_in_data_of_a_place_in_a_section() -> None:
    one, two = Linkable(), Linkable()
    one.variable("before")
    one.section(".bss", 20)
    two.section(".data.pointers", (4).to_bytes(8, "little"))
    two.section(".bss", 8, align=16)
    bss = two.symbol("", ".bss", kind=SECTION, bind=LOCAL)
    two.relocation(".data.pointers", 0, 2, bss)
    spec = read(link_objects([one.build(), two.build(types=False)]))
    pointers, bss_now = spec.section(".data.pointers"), spec.section(".bss")
    assert pointers is not None
    assert bss_now is not None
    assert int.from_bytes(pointers.data, "little") == 32 + 4
    assert len(bss_now.data) == 40


def test_a_jump_table_follows_its_code() -> None:
    """Tables of two files have the same names, and hold places in a section."""
    files = []
    for name in ("one", "two"):
        made = Linkable()
        made.section("syscall", bytes.fromhex("1801" + "00" * 14) + RETURN, ALLOC | CODE)
        made.symbol(name, "syscall", 0, 32, FUNC)
        made.section(".jumptables", (16).to_bytes(8, "little"), 0, 1)
        table = made.symbol("BPF.JT.0.0", ".jumptables", 0, 8, 1)
        made.relocation("syscall", 0, 1, table)
        files.append(made.build(types=False))
    elf = ELFFile(BytesIO(link_objects(files)))
    tables = elf.get_section_by_name(".jumptables").data()
    assert [int.from_bytes(tables[at : at + 8], "little") for at in (0, 8)] == [16, 48]


def test_who_hides_a_symbol_hides_it_from_all() -> None:
    one, two = Linkable(), Linkable()
    one.function("shared")
    proto = two.proto(two.int())
    two.func("shared", proto, linkage=2)
    two.symbol("shared", visibility=HIDDEN)
    elf = ELFFile(BytesIO(link_objects([one.build(), two.build()])))
    (symbol,) = elf.get_section_by_name(".symtab").get_symbol_by_name("shared")
    assert symbol["st_other"]["visibility"] == "STV_HIDDEN"
    assert symbol["st_info"] == {"bind": "STB_GLOBAL", "type": "STT_FUNC"}


@pytest.mark.parametrize(
    ("binds", "result"),
    [((GLOBAL, WEAK), "STB_GLOBAL"), ((WEAK, GLOBAL), "STB_GLOBAL"), ((WEAK, WEAK), "STB_WEAK")],
)
def test_externs_are_strong_where_one_is(binds: tuple[int, int], result: str) -> None:
    files = []
    for bind in binds:
        made = Linkable()
        made.variable("lacking", section="", bind=bind)
        files.append(made.build())
    elf = ELFFile(BytesIO(link_objects(files)))
    (symbol,) = elf.get_section_by_name(".symtab").get_symbol_by_name("lacking")
    assert symbol["st_shndx"] == "SHN_UNDEF"
    assert symbol["st_info"]["bind"] == result


def test_zeros_and_bytes_of_one_section() -> None:
    one, two = Linkable(), Linkable()
    one.section(".addr_space.1", 6)
    two.section(".addr_space.1", b"\1\2", align=4)
    spec = read(link_objects([one.build(types=False), two.build(types=False)]))
    found = spec.section(".addr_space.1")
    assert found is not None
    assert found.data == bytes(8) + b"\1\2"
