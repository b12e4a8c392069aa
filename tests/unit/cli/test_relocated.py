from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from pylibbpf.cli import main
from pylibbpf.cli.relocated import kernel, normal, relocated
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn, decode
from pylibbpf.loader.patch import POISON
from pylibbpf.loader.relocated import RelocatedProgram
from pylibbpf.spec import Reference, ReferenceKind

HOST = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture
def host() -> Path:
    if not HOST.exists():
        pytest.skip("needs /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)")
    return HOST


def test_json_is_one_object_a_line_and_its_keys_are_stable(
    host: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(objects / "core.bpf.o"), str(objects / "globals.bpf.o")]
    assert main(["inspect", "--relocated", "--json", *paths]) == 0
    facts, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert second["file"] == paths[1]
    assert list(facts) == [
        "file", "btf", "ok", "error", "license", "version", "programs", "maps", "skipped",
    ]  # fmt: skip
    program = facts["programs"][0]
    assert list(program) == [
        "name", "section", "type", "attach_type", "flags", "insns", "references", "functions",
        "lines", "core",
    ]  # fmt: skip
    assert list(program["references"][0]) == ["insn", "kind", "name", "offset", "module"]
    assert list(program["lines"][0]) == ["insn", "file", "line", "text"]
    assert list(program["core"][0]) == ["insn", "kind", "type", "access", "path", "poison", "why"]
    assert list(facts["maps"][0]) == [
        "name", "kind", "section", "type", "key_size", "value_size", "max_entries", "flags",
        "map_extra", "numa_node", "pinning", "key_type_id", "value_type_id", "inner", "values",
        "contents", "contents_offset", "frozen", "created",
    ]  # fmt: skip


def test_instructions_are_raw_and_references_have_names(host: Path, objects: Path) -> None:
    facts = relocated(str(objects / "core.bpf.o"), None, None)
    program = next(each for each in facts["programs"] if each["name"] == "guarded")
    insns = decode(bytes.fromhex("".join(program["insns"])))
    data = [each for each in program["references"] if each["kind"] == "data"]
    assert {each["name"] for each in data} == {".bss", ".data"}
    for each in data:
        first, second = insns[each["insn"] : each["insn"] + 2]
        assert (first.code, first.src, first.imm) == (isa.LD_IMM64, isa.PSEUDO_MAP_VALUE, 0)
        assert second.imm == each["offset"]
    poisoned = [each for each in program["core"] if each["poison"]]
    assert [each["path"] for each in poisoned] == ["pylibbpf_no_such_field"]
    said = "the kernel's struct task_struct has no member pylibbpf_no_such_field"
    assert [each["why"] for each in poisoned] == [said]
    assert insns[poisoned[0]["insn"]] == Insn(isa.CALL_CODE, imm=POISON)
    assert program["functions"] == [{"insn": 0, "name": "guarded"}]


def test_normal_form() -> None:
    names = [Reference(at, ReferenceKind.EXTERN, "name", module="some") for at in range(5)]
    wide = isa.LD_IMM64
    program = RelocatedProgram(
        "p", "raw_tp", 17, 0, 0,
        insns=(
            Insn(isa.CALL_CODE, 0, isa.PSEUDO_KFUNC_CALL, 3, 77),
            Insn(wide, 1, isa.PSEUDO_BTF_ID, 0, 88), Insn(0, imm=0),
            Insn(wide, 2, 0, 0, -1), Insn(0, imm=-2),
            Insn(wide, 1, 0, 0, 5), Insn(0, imm=6),
        ),
        references={0: names[0], 1: names[1], 3: names[2]},
        parts=(),
    )  # fmt: skip
    assert normal(program) == [
        Insn(isa.CALL_CODE, 0, isa.PSEUDO_KFUNC_CALL, 0, 77),
        Insn(wide, 1, isa.PSEUDO_BTF_ID, 0, 88), Insn(0, imm=0),
        Insn(wide, 2, 0, 0, 0), Insn(0, imm=0),
        Insn(wide, 1, 0, 0, 5), Insn(0, imm=6),
    ]  # fmt: skip


def test_one_program_and_another_kernels_btf(
    host: Path, objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older.btf.xz"
    data = host.read_bytes().replace(b"\0real_parent\0", b"\0reel_parent\0")
    older.write_bytes(lzma.compress(data, preset=0))
    path = str(objects / "core.bpf.o")
    arguments = ["inspect", "--relocated", path, "--btf", str(older), "--program", "guarded"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "poison for byte_off of real_parent: the kernel's struct task_struct has no" in out
    assert "guarded:  ; SEC('raw_tp')" in out
    assert "unguarded:" not in out
    assert "data .bss+" in out
    assert "core.bpf.c:36: pid = BPF_CORE_READ(task, tgid);" in out


def test_another_release_of_libbpf(
    host: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(objects / "externs.bpf.o")
    arguments = ["inspect", "--relocated", path, "--program", "functions"]
    assert main([*arguments, "--libbpf", "1.1"]) == 0
    assert "call unknown#20020000" not in capsys.readouterr().out
    assert main([*arguments, "--libbpf", "1.7"]) == 0
    seventh = capsys.readouterr().out
    assert "call unknown#20020000" in seventh
    assert main(arguments) == 0
    assert capsys.readouterr().out == seventh


@pytest.mark.parametrize(
    ("release", "problem"),
    [
        ("1", "'1' is no release of libbpf, like 1.4"),
        ("1.x", "'1.x' is no release of libbpf, like 1.4"),
        ("0.8", "libbpf 0.8 is none of those known: 1.1 to 1.8"),
    ],
)
def test_no_release_of_libbpf(
    release: str, problem: str, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(objects / "core.bpf.o")
    with pytest.raises(SystemExit) as caught:
        main(["inspect", "--relocated", path, "--libbpf", release])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_mistakes(
    host: Path, objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(objects / "core.bpf.o")
    assert main(["inspect", "--relocated", path, "--program", "none"]) == 1
    assert "no program 'none'; there are: guarded, unguarded" in capsys.readouterr().err
    assert main(["inspect", path, "--program", "guarded"]) == 2
    assert "--program goes with --relocated" in capsys.readouterr().err
    assert main(["inspect", path, "--libbpf", "1.4"]) == 2
    assert "--libbpf goes with --relocated" in capsys.readouterr().err
    assert main(["inspect", path, "--btf", str(tmp_path / "none")]) == 1
    assert "none: No such file or directory" in capsys.readouterr().err
    (tmp_path / "text").write_bytes(b"text")
    assert main(["inspect", path, "--btf", str(tmp_path / "text")]) == 1
    assert capsys.readouterr().err.count(str(tmp_path)) == 1
    (tmp_path / "a.btf").write_bytes(host.read_bytes())
    (tmp_path / "b.btf").write_bytes(host.read_bytes())
    assert main(["inspect", path, "--btf", str(tmp_path)]) == 1
    assert "the BTF of several kernels (a, b, ...)" in capsys.readouterr().err


def test_the_btf_of_one_kernel(host: Path) -> None:
    assert len(kernel(str(host)).btf) > 1000
