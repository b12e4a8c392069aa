from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from pylibbpf.isa import insn as isa
from pylibbpf.loader.link import Linker, sending_calls
from pylibbpf.loader.object import read, source_line
from pylibbpf.spec import (
    CoreKind,
    ExternKind,
    FunctionSpec,
    MapKind,
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
