from __future__ import annotations

import dataclasses
import importlib
import lzma
import os
from pathlib import Path
from struct import pack

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Enum,
    Func,
    FuncProto,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Var,
)
from pylibbpf.errors import BtfError, ElfError, Error
from pylibbpf.loader.kernel import Kernel, version_of
from pylibbpf.loader.object import read
from pylibbpf.loader.portability import Portability, check, portability
from pylibbpf.loader.problem import Problem, Verdict

INT, CHAR, COMM, PROTO, POINTER, TASK = range(1, 7)
HOST = Path("/sys/kernel/btf/vmlinux")


def enumeration(name: str, last: int, count: str) -> Enum:
    values = [(f"{name}_{number}", number) for number in range(last + 1)]
    return Enum(name, 4, False, (*values, (count, last + 1)))


def kernel(
    *more: Type, members: tuple[str, ...] = ("tgid", "real_parent", "comm"), **last: int
) -> Kernel:
    """A kernel with a struct task_struct, an interface up to these numbers, and more types."""
    kinds = {"tgid": INT, "pid": INT, "real_parent": POINTER, "comm": COMM}
    fields = tuple(Member(name, kinds[name], 64 * at) for at, name in enumerate(members))
    numbers = {"bpf_cmd": 39, "bpf_func_id": 211, "bpf_map_type": 33, "bpf_prog_type": 32, **last}
    return Kernel(
        Btf.from_types(
            [
                Int("int", 4, 32, signed=True),
                Int("char", 1, 8, char=True),
                Array(CHAR, INT, 16),
                FuncProto(INT, ()),
                Ptr(TASK),
                Struct("task_struct", 64, fields),
                *(enumeration(name, each, f"__MAX_{name}") for name, each in numbers.items()),
                enumeration("bpf_attach_type", 57, "__MAX_BPF_ATTACH_TYPE"),
                *more,
            ]
        )
    )


def problems(path: Path, some: Kernel) -> list[Problem]:
    return list(check(read(path), some)[2])


def verdicts(path: Path, some: Kernel) -> list[tuple[Verdict, str, str, tuple[str, ...]]]:
    return [(p.verdict, p.what, p.name, p.programs) for p in problems(path, some)]


def test_what_is_checked_for_is_guarded_and_the_rest_fails(objects: Path) -> None:
    wrong = "struct task_struct___wrong.pylibbpf_no_such_field"
    path = objects / "core.bpf.o"
    assert verdicts(path, kernel()) == [
        (Verdict.GUARDED, "relocation", wrong, ("guarded",)),
        (Verdict.OPTIONAL, "relocation", wrong, ("unguarded",)),
    ]
    count, resolved, _ = check(read(path), kernel())
    assert resolved == count - 2
    missing = kernel(members=("tgid", "comm"))
    found = [each for each in problems(path, missing) if each.verdict is Verdict.FAILS]
    assert [each.name for each in found] == ["struct task_struct.real_parent"]
    assert found[0].programs == ("guarded",)


def test_a_problem_says_where_and_what_was_looked_at(objects: Path) -> None:
    (found,) = [
        each
        for each in problems(objects / "core.bpf.o", kernel(members=("tgid", "comm")))
        if each.verdict is Verdict.FAILS
    ]
    assert found.message == "the kernel's struct task_struct has no member real_parent"
    assert (found.function, found.candidates) == ("guarded", ("struct task_struct",))
    assert found.relocation is not None
    assert found.relocation.kind.value == "byte_off"
    assert found.line is not None
    assert "BPF_CORE_READ(task" in found.line.text  # the compiler's idea of which
    assert found.insn is not None


def test_a_type_that_is_not_there(objects: Path) -> None:
    none = Kernel(Btf.from_types([Int("int", 4, 32)]))
    found = problems(objects / "core.bpf.o", none)
    assert {each.message for each in found} == {"the kernel has no struct task_struct"} | {
        "the kernel has no struct task_struct___wrong"
    }


def test_a_member_of_another_type(objects: Path) -> None:
    other = Kernel(
        Btf.from_types(
            [
                Int("int", 4, 32),
                Struct("task_struct", 64, (Member("tgid", 2, 0), Member("real_parent", 1, 64))),
            ]
        )
    )
    found = {each.message for each in problems(objects / "core.bpf.o", other)}
    start = "the kernel's struct task_struct."
    ours = "than the object's struct task_struct *"
    assert f"{start}real_parent is of another type, int, {ours}" in found
    ours = "than the object's int"
    assert f"{start}tgid is of another type, struct task_struct, {ours}" in found


@pytest.mark.parametrize("version", [None, (6, 1, 0), (100, 0, 0)])
def test_ways_to_check(version: tuple[int, int, int] | None, objects: Path) -> None:
    some = kernel()
    some.version = version
    found = {each.programs: each.verdict for each in problems(objects / "guards.bpf.o", some)}
    fails = {("by_version",): Verdict.FAILS} if version != (6, 1, 0) else {}
    optional = ("unguarded", "unguarded_globally", "unguarded_by_chance")
    assert {who: verdict for who, verdict in found.items() if verdict is not Verdict.GUARDED} == {
        **fails,
        **{(name,): Verdict.OPTIONAL for name in optional},
    }
    assert len(found) == len(read(objects / "guards.bpf.o").programs)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ubuntu/20.04/x86_64/5.4.0-100-generic", (5, 4, 0)),
        ("vmlinux-6.1.0-50-amd64", (6, 1, 0)),
        ("vmlinuz-6.12.117+deb13-amd64", (6, 12, 117)),
        ("6.8-rc1", (6, 8, 0)),
        ("arm64-5.4", None),
        ("v7.2", (7, 2, 0)),
        ("4.18.0-193.el8.x86_64", (4, 18, 0)),
        ("5.10.109-104.500.amzn2", (5, 10, 109)),
        ("host", None),
        ("6", None),
        ("6.x", None),
        ("", None),
        ("123456789.5.4", None),
        ("\u0663.\u0664", None),
    ],
)
def test_a_version_in_a_name(name: str, version: tuple[int, int, int] | None) -> None:
    assert version_of(name) == version


def test_a_kernel_with_modules_keeps_its_name() -> None:
    data = pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 1) + b"\0"
    some = Kernel.parse(data, {"1.2": data}, "x/6.1.0-50-amd64")
    assert (some.version, list(some.modules)) == ((6, 1, 0), ["1.2"])
    with pytest.raises(BtfError, match=r"module nf_tables: BTF of 3 bytes"):
        Kernel.parse(data, {"nf_tables": b"bad"})


def test_map_types_and_helpers(objects: Path) -> None:
    old = kernel(bpf_map_type=31, bpf_func_id=209)
    found = verdicts(objects / "local_storage.bpf.o", old)
    assert (Verdict.FAILS, "map type", "cgrp_storage", ()) in found
    assert (Verdict.OPTIONAL, "helper", "bpf_cgrp_storage_get", ("sys_enter",)) in found
    new = verdicts(objects / "local_storage.bpf.o", kernel())
    assert not [each for each in new if each[1] in ("map type", "helper")]


def test_program_and_attach_types(objects: Path) -> None:
    found = verdicts(objects / "every_program.bpf.o", kernel(bpf_prog_type=31))
    assert (Verdict.OPTIONAL, "program type", "netfilter", ("netfilter",)) in found
    types = [each for each in found if each[1] == "program type"]
    assert len(types) == 1


def test_targets_of_attaching(objects: Path) -> None:
    path = objects / "fentry.bpf.o"
    names = [each.section.partition("/")[2] for each in read(path).programs]
    found = {each.name for each in problems(path, kernel()) if each.what == "target"}
    assert found == set(names) - {""}
    there = kernel(*(Func(name, PROTO) for name in names if not name.startswith("pylibbpf")))
    found = {each.name for each in problems(path, there) if each.what == "target"}
    assert found == {"pylibbpf_no_such_function"}


def test_a_kprobe_without_its_function_loads(objects: Path) -> None:
    found = [each for each in problems(objects / "kprobe.bpf.o", kernel()) if each.what == "target"]
    assert found
    assert {each.verdict for each in found} == {Verdict.ATTACH}


def test_tracepoints_are_typedefs(objects: Path) -> None:
    path = objects / "missing_hooks.bpf.o"
    found = [each for each in problems(path, kernel()) if each.what == "target"]
    assert [(each.name, each.verdict) for each in found if "event" in each.name] == [
        ("pylibbpf_no_such_event", Verdict.ATTACH)
    ]
    there = kernel(Typedef("btf_trace_pylibbpf_no_such_event", PROTO))
    assert "pylibbpf_no_such_event" not in {each.name for each in problems(path, there)}


def test_kernel_functions(objects: Path) -> None:
    found = verdicts(objects / "hidden.bpf.o", kernel())
    assert found == [
        (Verdict.GUARDED, "kernel function", "bpf_pylibbpf_no_such_kfunc", ("run",)),
    ]
    strong = [each for each in problems(objects / "arena.bpf.o", kernel()) if each.what[0] == "k"]
    assert [(each.verdict, each.programs) for each in strong] == [(Verdict.FAILS, ())]
    assert "; make it __weak to go on without it" in strong[0].message
    other = kernel(Func(strong[0].name, PROTO))
    (changed,) = [each for each in problems(objects / "arena.bpf.o", other) if each.what[0] == "k"]
    assert "is another one in this kernel" in changed.message


def test_a_weak_function_that_is_there_is_no_problem(objects: Path) -> None:
    spec = read(objects / "hidden.bpf.o")
    (extern,) = [each for each in spec.externs if each.name == "bpf_pylibbpf_no_such_kfunc"]
    assert spec.btf is not None
    assert extern.type_id is not None
    there = kernel(Func(extern.name, PROTO))
    proto = spec.btf.type(extern.type_id)
    assert isinstance(proto, FuncProto)
    assert not proto.params
    assert check(spec, there)[2] == ()


def test_a_part_of_an_object_loads_nowhere(objects: Path) -> None:
    *_, problems = check(read(objects / "link_more.bpf.o"), kernel())
    told = [(each.verdict, each.name) for each in problems if each.what == "extern"]
    assert told == [(Verdict.FAILS, "entries"), (Verdict.FAILS, "step")]


def test_what_libbpf_refuses_loads_on_no_kernel(objects: Path) -> None:
    spec = read(objects / "minimal.bpf.o")
    (first, *others) = spec.maps
    maps = (dataclasses.replace(first, problem="the field 'x' is unknown"), *others)
    (found,) = check(dataclasses.replace(spec, maps=maps), kernel())[2]
    assert (found.verdict, found.what) == (Verdict.FAILS, "object")
    assert "the field 'x' is unknown" in found.message


def test_struct_ops(objects: Path) -> None:
    path = objects / "struct_ops.bpf.o"
    found = [each for each in problems(path, kernel()) if each.what == "struct_ops"]
    assert {each.verdict for each in found} == {Verdict.FAILS}
    assert {each.name for each in found} == {"tcp_congestion_ops"}
    empty = kernel(
        Struct("tcp_congestion_ops", 8, ()), Struct("bpf_struct_ops_tcp_congestion_ops", 8, ())
    )
    found = [each for each in problems(path, empty) if each.what == "struct_ops"]
    assert "tcp_congestion_ops.cong_avoid" in {each.name for each in found}


def test_programs_of_tables_that_are_not_created(objects: Path) -> None:
    found = verdicts(objects / "optional_ops.bpf.o", kernel())
    by_program = {programs: verdict for verdict, what, _, programs in found if what == "relocation"}
    assert by_program == {
        ("threshold",): Verdict.FAILS,
        ("undo",): Verdict.FAILS,
        ("avoid",): Verdict.FAILS,
        ("other_avoid",): Verdict.OPTIONAL,
    }


def test_programs_that_are_too_large_together(
    objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("pylibbpf.loader.portability")
    monkeypatch.setattr(module, "_MOST_INSNS", 10)
    spec = read(objects / "guards.bpf.o")
    # Not followed any more: everything counts as reached.
    assert not [p for p in check(spec, kernel())[2] if p.verdict is Verdict.GUARDED]
    monkeypatch.setattr(module, "_MOST_IN_ALL", 20)
    with pytest.raises(ElfError, match="more than 20 instructions"):
        check(spec, kernel())


def test_of_btf_that_was_cut_down_only_relocations_are_told(objects: Path) -> None:
    cut = Kernel(Btf.from_types([Int("int", 4, 32)]))
    for name in ("local_storage", "every_program", "fentry", "hidden", "struct_ops", "every_map"):
        found = {each.what for each in problems(objects / f"{name}.bpf.o", cut)}
        assert found <= {"relocation"}


def test_a_variable_of_a_module(objects: Path) -> None:
    base = kernel()
    module = Btf.from_types(
        [Func("bpf_pylibbpf_no_such_kfunc", PROTO), Var("x", INT)], base=base.btf
    )
    there = Kernel(base.btf, {"some": module})
    assert check(read(objects / "hidden.bpf.o"), there)[2] == ()


def test_an_object_without_types(objects: Path) -> None:
    spec = dataclasses.replace(read(objects / "minimal.bpf.o"), btf=None)
    assert check(spec, kernel()) == (0, 0, ())


@pytest.fixture
def host() -> Path:
    if not HOST.exists():
        pytest.skip("needs /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)")
    return HOST


def test_files_and_processes_give_the_same(objects: Path, host: Path, tmp_path: Path) -> None:
    (tmp_path / "a.btf").write_bytes(host.read_bytes())
    (tmp_path / "b.btf.xz").write_bytes(lzma.compress(host.read_bytes(), preset=0))
    (tmp_path / "c.btf").write_bytes(b"no BTF")
    paths = [objects / "core.bpf.o", objects / "probes.bpf.o"]
    found = list(portability(paths, tmp_path))
    assert [each.kernel for each in found] == ["a", "a", "b", "b", "c", "c"]
    assert found[0].problems == found[2].problems
    assert found[0].loads
    assert not found[4].loads
    assert found[4].error is not None
    assert "neither BTF nor an archive" in found[4].error
    assert list(portability(map(str, paths), [tmp_path], jobs=2)) == found


def test_a_process_that_is_ended_is_told(
    objects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.btf", "b.btf"):
        (tmp_path / name).write_bytes(b"no BTF")
    # No process survives its start.
    module = importlib.import_module("pylibbpf.loader.portability")
    monkeypatch.setattr(module, "_start", os.abort)
    found = portability(objects / "core.bpf.o", tmp_path, jobs=2)
    with pytest.raises(Error, match="try fewer jobs"):
        list(found)


def test_this_kernel_is_the_default(objects: Path, host: Path) -> None:
    (found,) = portability(objects / "core.bpf.o")
    assert isinstance(found, Portability)
    assert found.path == str(host)
    assert found.loads


def test_what_cannot_be_read(objects: Path, tmp_path: Path) -> None:
    (tmp_path / "none.txt").touch()
    with pytest.raises(ElfError, match=r"none\.txt: the file is empty"):
        list(portability(tmp_path / "none.txt"))
    with pytest.raises(FileNotFoundError):
        list(portability(tmp_path / "none"))
    with pytest.raises(BtfError, match="no BTF in this folder"):
        list(portability(objects / "core.bpf.o", tmp_path))


def test_a_kernel_without_types(objects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("pylibbpf.loader.portability")
    monkeypatch.setattr(module, "VMLINUX", "/nonexistent")
    with pytest.raises(BtfError, match="this kernel shows no types in /nonexistent"):
        list(portability(objects / "core.bpf.o"))
