from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from struct import pack

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Datasec, Kind
from pylibbpf.errors import ElfError
from pylibbpf.isa import insn as isa
from pylibbpf.loader.elf import Elf
from pylibbpf.loader.link import Linker, sending_calls
from pylibbpf.loader.object import read, source_line
from pylibbpf.loader.static_linker import link_objects
from pylibbpf.spec import (
    CoreKind,
    ExternKind,
    FunctionSpec,
    MapKind,
    MapSpec,
    ObjectSpec,
    ReferenceKind,
)
from pylibbpf.uapi.enums import MapType


def function(spec: ObjectSpec, name: str) -> FunctionSpec:
    found = spec.function(name)
    assert found is not None
    return found


def test_programs(examples: Path) -> None:
    spec = read(examples / "opensnoop.bpf.o")
    assert spec.license == "Dual BSD/GPL"
    assert not spec.has_dwarf
    sections = {program.name: program.section for program in spec.programs}
    assert sections["enter_openat"] == "tracepoint/syscalls/sys_enter_openat"
    assert function(spec, "enter_open").optional
    assert not function(spec, "enter_openat").optional
    assert all(program.linkage == "global" for program in spec.programs)


def test_bytes_and_paths_are_the_same(objects: Path) -> None:
    path = objects / "minimal.bpf.o"
    assert read(path).programs == read(str(path)).programs == read(path.read_bytes()).programs


def test_several_functions_in_one_section(objects: Path) -> None:
    spec = read(objects / "ring.bpf.o")
    programs = [program for program in spec.programs if program.section == "raw_tp"]
    assert len(programs) > 1
    places = [(program.offset, len(program.code)) for program in programs]
    assert all(a + size <= b for (a, size), (b, _) in pairwise(places))


def test_maps_by_btf(objects: Path) -> None:
    spec = read(objects / "maps.bpf.o")
    assert spec.btf is not None
    records = spec.map("records")
    assert records is not None
    assert (records.kind, records.type, records.flags) == (MapKind.BTF, MapType.HASH, 1)
    assert records.key_type_id is not None
    assert spec.btf.c_name(records.key_type_id) == "struct key"
    assert records.key_size == spec.btf.sizeof(records.key_type_id)
    untyped = spec.map("untyped")
    assert untyped is not None
    assert (untyped.key_size, untyped.value_size, untyped.key_type_id) == (3, 5, None)


def test_legacy_maps(objects: Path) -> None:
    spec = read(objects / "legacy.bpf.o")
    counts = spec.map("counts")
    assert counts is not None
    assert (counts.kind, counts.type) == (MapKind.LEGACY, MapType.HASH)
    assert (counts.key_size, counts.value_size, counts.max_entries) == (4, 8, 128)
    used = {r.target for r in function(spec, "count").references}
    assert "counts" in used


def test_globals_and_their_initial_bytes(objects: Path) -> None:
    spec = read(objects / "globals.bpf.o")
    found = {variable.name: variable for variable in spec.globals}
    assert found["limit"].section == ".rodata"
    assert int.from_bytes(spec.initial(found["limit"]), "little") == 10
    assert int.from_bytes(spec.initial(found["custom"]), "little") == 5
    assert found["custom"].section == ".data.custom"
    assert spec.initial(found["runs"]) == bytes(8)
    rodata = spec.section(".rodata")
    assert rodata is not None
    assert rodata.read_only
    assert not any(a.offset < b.offset < a.offset + a.size for a in spec.globals
                   for b in spec.globals if a.section == b.section)  # fmt: skip


def test_externs(objects: Path) -> None:
    found = {extern.name: extern for extern in read(objects / "kconfig.bpf.o").externs}
    assert found["LINUX_KERNEL_VERSION"].kind is ExternKind.CONFIG
    assert not found["LINUX_KERNEL_VERSION"].weak
    assert found["CONFIG_HZ"].weak


def test_core_relocations_in_words(objects: Path) -> None:
    spec = read(objects / "core.bpf.o")
    asked = {(r.kind, r.type_name, r.path) for r in function(spec, "guarded").core}
    assert (CoreKind.FIELD_BYTE_OFFSET, "struct task_struct", "tgid") in asked
    assert (CoreKind.FIELD_BYTE_SIZE, "struct task_struct", "comm") in asked
    assert (CoreKind.TYPE_EXISTS, "struct pylibbpf_no_such_struct", "") in asked
    relocated = function(spec, "unguarded").core[0]
    assert relocated.access == "0:0"
    assert isa.decode(function(spec, "unguarded").code)[relocated.insn].code


def test_source_lines(objects: Path) -> None:
    spec = read(objects / "core.bpf.o")
    first = source_line(spec, "guarded", 0)
    assert first is not None
    file, number, text = first
    assert file.endswith("tests/objects/core.bpf.c")
    lines = (objects / "core.bpf.c").read_text().splitlines()
    assert lines[number - 1].strip() == text
    assert source_line(spec, "nobody", 0) is None
    assert source_line(spec, "guarded", 10_000) is None
    assert source_line(spec, "guarded", -1) is None


def test_linking_and_lines_behind_the_program(records: bytes) -> None:
    spec = read(records)
    program, callee = function(spec, "by_argument"), function(spec, "forward")
    assert program.program
    assert not callee.program
    linked = Linker(spec).link(program)
    assert [part.name for _, part in linked.parts] == ["by_argument", "forward"]
    assert len(linked.insns) == program.insn_count + callee.insn_count
    (at,) = [n for n, i in enumerate(linked.insns) if i.code == isa.CALL_CODE and i.src == 1]
    assert at + 1 + linked.insns[at].imm == program.insn_count
    assert list(linked.maps().values()) == ["passed"]
    behind = source_line(spec, "by_argument", program.insn_count)
    assert behind is not None
    assert "forward" in behind[2]


def test_calls_that_send(objects: Path) -> None:
    found = {
        (call.map, call.size): where.name
        for call, where, _ in sending_calls(read(objects / "ring.bpf.o"))
    }
    assert found["samples", 16] == "produce_samples"
    assert found["twins", 24] == "produce_twins"
    assert found["blobs", None] == "produce_blobs"


def test_references_to_data(objects: Path) -> None:
    spec = read(objects / "core.bpf.o")
    data = {(r.target, r.offset) for r in function(spec, "guarded").references
            if r.kind is ReferenceKind.DATA}  # fmt: skip
    places = {(v.section, v.offset) for v in spec.globals}
    assert data
    assert data <= places


@pytest.fixture(scope="module")
def shapes() -> ObjectSpec:
    return read(Path(__file__).parent / "shapes.bpf.o")


def map_of(spec: ObjectSpec, name: str) -> MapSpec:
    found = spec.map(name)
    assert found is not None
    return found


def test_maps_in_maps(shapes: ObjectSpec) -> None:
    outer = map_of(shapes, "outer")
    assert (outer.type, outer.value_size) == (MapType.ARRAY_OF_MAPS, 4)
    assert outer.values == ((0, "first"), (3, "second"))
    assert outer.inner is not None
    assert (outer.inner.type, outer.inner.max_entries) == (MapType.HASH, 16)
    assert outer.inner.value_size == map_of(shapes, "first").value_size == 16


def test_tables_of_programs(shapes: ObjectSpec) -> None:
    jumps = map_of(shapes, "jumps")
    assert (jumps.type, jumps.value_size, jumps.inner) == (MapType.PROG_ARRAY, 4, None)
    assert jumps.values == ((1, "target"),)


def test_all_fields_of_a_definition(shapes: ObjectSpec) -> None:
    pinned = map_of(shapes, "pinned")
    assert (pinned.pinning, pinned.flags, pinned.numa_node) == (1, 2, 1)
    assert pinned.map_extra == 0x123456789


def test_operations(shapes: ObjectSpec) -> None:
    operations = map_of(shapes, "operations")
    assert (operations.kind, operations.section) == (MapKind.STRUCT_OPS, ".struct_ops.link")
    assert operations.values == ((0, "start"), (1, "stop"))
    assert function(shapes, "start").section == "struct_ops/start"


def test_functions_of_the_object(shapes: ObjectSpec) -> None:
    found = {f.name: (f.program, f.linkage) for f in shapes.functions}
    assert found["target"] == (True, "global")
    assert found["shared"] == (False, "global")
    assert found["helper"] == found["each"] == (False, "static")
    refers = {(r.kind, r.target) for r in function(shapes, "target").references}
    assert {
        (ReferenceKind.FUNCTION, "helper"),
        (ReferenceKind.FUNCTION, "shared"),
        (ReferenceKind.FUNCTION, "each"),
        (ReferenceKind.MAP, "outer"),
        (ReferenceKind.DATA, ".data.table"),
        (ReferenceKind.EXTERN, "bpf_pylibbpf_no_such_kfunc"),
    } <= refers


def test_callbacks_are_linked_and_externs_stay(shapes: ObjectSpec) -> None:
    linked = Linker(shapes).link(function(shapes, "target"))
    starts = {part.name: start for start, part in linked.parts}
    assert starts.keys() == {"target", "helper", "shared", "each"}
    targets = {at + 1 + insn.imm for at, insn in enumerate(linked.insns)
               if insn.code == isa.LD_IMM64 and insn.src == isa.PSEUDO_FUNC}  # fmt: skip
    assert targets == {starts["each"]}
    left = {r.kind for r in linked.references.values()}
    assert left == {ReferenceKind.MAP, ReferenceKind.DATA, ReferenceKind.EXTERN}


def test_symbols_of_the_kernel(shapes: ObjectSpec) -> None:
    found = {extern.name: (extern.kind, extern.weak) for extern in shapes.externs}
    assert found == {
        "bpf_pylibbpf_no_such_kfunc": (ExternKind.FUNCTION, True),
        "pylibbpf_no_such_variable": (ExternKind.VARIABLE, True),
    }


def test_static_variables_and_sections_of_their_own(shapes: ObjectSpec) -> None:
    found = {v.name: v for v in shapes.globals}
    assert (found["hidden"].linkage, found["hidden"].section) == ("static", ".data")
    assert shapes.initial(found["table"])[:8] == b"\1\0\0\0\2\0\0\0"


def test_a_variable_that_the_compiler_took_apart_has_no_type(objects: Path) -> None:
    """Its BTF has the type of the whole, which is longer than its section."""
    spec = read(objects / "split.bpf.o")
    (variable,) = spec.globals
    assert variable.name.startswith("spread.")
    assert (variable.size, variable.type_id) == (4, None)
    assert spec.initial(variable) == bytes(4)


def test_a_variable_whose_type_the_compiler_did_not_know(objects: Path) -> None:
    """clang 11 knows none of a float: its BTF says void. Here one is made of clang 22's."""
    data = bytearray((objects / "globals.bpf.o").read_bytes())
    elf = Elf(bytes(data))
    section = elf.find(".BTF")
    assert section is not None
    btf = Btf(elf.content(section))
    (variable_id,) = btf.find("d_double", Kind.VAR)
    at = section.offset + btf._offsets[variable_id - 1] + 8
    data[at : at + 4] = bytes(4)
    found = {v.name: v for v in read(data).globals}
    assert (found["d_double"].size, found["d_double"].type_id) == (8, None)
    assert found["d_float"].type_id is not None


def test_places_of_maps_in_what_a_linker_wrote_are_those_of_its_types(objects: Path) -> None:
    """libbpf asks no symbol there: an object whose linker got one of the two wrong is refused."""
    linked = link_objects([objects / f"link_{part}.bpf.o" for part in ("main", "more", "store")])
    spec = read(linked)
    assert spec.btf is not None
    used = next(
        r.target for f in spec.functions for r in f.references if r.kind is ReferenceKind.MAP
    )
    (datasec,) = (spec.btf.type(each) for each in spec.btf.find(".maps", Kind.DATASEC))
    assert isinstance(datasec, Datasec)
    assert datasec.size
    (info,) = (v for v in datasec.vars if spec.btf.type(v.type_id).name == used)
    record = pack("<III", info.type_id, info.offset, info.size)
    moved = pack("<III", info.type_id, datasec.size, info.size)
    assert linked.count(record) == 1
    with pytest.raises(ElfError, match=f"refers to {used!r} in section '.maps', where no map"):
        read(linked.replace(record, moved))
