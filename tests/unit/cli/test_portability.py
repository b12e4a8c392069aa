from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pylibbpf.cli import main
from pylibbpf.cli.portability import describe, facts
from pylibbpf.loader.portability import Portability
from pylibbpf.loader.problem import Problem, Verdict
from pylibbpf.spec import CoreKind, CoreRelocation, Line

HOST = Path("/sys/kernel/btf/vmlinux")
LINE = Line(3, "a.bpf.c", 12, 1, "\treturn BPF_CORE_READ(task, gone);")
ASKED = CoreRelocation(3, CoreKind.FIELD_BYTE_OFFSET, 1, "struct task_struct", "0:1", "gone")
GONE = Problem(
    Verdict.FAILS, "relocation", "struct task_struct.gone",
    "struct task_struct has no member gone in this kernel", ("first", "second"), "help", 3, LINE,
    ASKED, ("struct task_struct",),
)  # fmt: skip
ATTACH = Problem(Verdict.ATTACH, "target", "f", "no function f in this kernel", ("probe",))
CHECKED = Problem(Verdict.GUARDED, "helper", "h", "this kernel has no helper h", ("a",), "a", 1)


@pytest.fixture
def host() -> None:
    if not HOST.exists():
        pytest.skip("needs /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF)")


def test_json_is_one_object_a_line_and_its_keys_are_stable() -> None:
    found = facts(Portability("a.o", "6.1", "6.1.btf", None, 5, 4, (GONE, ATTACH)))
    assert json.loads(json.dumps(found)) == {
        "file": "a.o",
        "kernel": "6.1",
        "btf": "6.1.btf",
        "ok": True,
        "error": None,
        "loads": False,
        "relocations": 5,
        "resolved": 4,
        "problems": [
            {
                "verdict": "fails",
                "what": "relocation",
                "name": "struct task_struct.gone",
                "message": "struct task_struct has no member gone in this kernel",
                "programs": ["first", "second"],
                "function": "help",
                "insn": 3,
                "file": "a.bpf.c",
                "line": 12,
                "text": "return BPF_CORE_READ(task, gone);",
                "kind": "byte_off",
                "type": "struct task_struct",
                "access": "0:1",
                "path": "gone",
                "candidates": ["struct task_struct"],
            },
            {
                "verdict": "attach",
                "what": "target",
                "name": "f",
                "message": "no function f in this kernel",
                "programs": ["probe"],
                "function": None,
                "insn": None,
                "file": None,
                "line": None,
                "text": None,
                "kind": None,
                "type": None,
                "access": None,
                "path": None,
                "candidates": [],
            },
        ],
    }
    found = facts(Portability("a.o", "6.1", "6.1.btf", "broken"))
    assert list(found) == ["file", "kernel", "btf", "ok", "error"]


def test_for_people() -> None:
    results = [
        Portability("a.o", "5.4", "5.4.btf", None, 5, 4, (GONE, ATTACH, CHECKED)),
        Portability("a.o", "6.1.0", "6.1.0.btf", None, 5, 5, (ATTACH,)),
        Portability("a.o", "6.2", "6.2.btf", "broken"),
    ]
    assert list(describe("a.o", results)) == [
        "a.o: loads on 1 of 3 kernels",
        "",
        "  5.4    does not load  CO-RE 4 of 5, 1 missing, 1 cannot be attached, 1 checked for",
        "  6.1.0  loads          CO-RE 5 of 5, 1 cannot be attached",
        "  6.2    unreadable",
        "",
        "It does not load:",
        "",
        "  struct task_struct has no member gone in this kernel",
        "    asked for: byte_off of struct task_struct.gone",
        "    looked at: struct task_struct",
        "    a.bpf.c:12: return BPF_CORE_READ(task, gone);",
        "      programs first, second, instruction 3 of help",
        "    on 5.4",
        "",
        "It loads, but cannot be attached:",
        "",
        "  no function f in this kernel",
        "    program probe",
        "    on 5.4, 6.1.0",
    ]
    everything = list(describe("a.o", results, everything=True))
    assert everything[-6:] == [
        "",
        "Not there, but the program checks and does without:",
        "",
        "  this kernel has no helper h",
        "    program a, instruction 1",
        "    on 5.4",
    ]


def test_what_is_asked_for_in_many_places_is_told_once() -> None:
    again = [
        dataclasses.replace(GONE, insn=number, programs=(f"p{number}",), function=f"p{number}")
        for number in range(12)
    ]
    text = list(describe("a.o", [Portability("a.o", "5.4", "x", None, 12, 0, tuple(again))]))
    assert "  5.4  does not load  CO-RE 0 of 12, 1 missing" in text
    assert text.count("  struct task_struct has no member gone in this kernel") == 1
    assert text[-10:] == [
        "    a.bpf.c:12: return BPF_CORE_READ(task, gone);",
        *(f"      program p{number}, instruction {number}" for number in range(8)),
        "      and 4 more",
    ]


def test_many_kernels_are_counted() -> None:
    results = [Portability("a.o", f"6.{n}", "x", None, 1, 0, (GONE,)) for n in range(9)]
    text = "\n".join(describe("a.o", results))
    assert text.startswith("a.o: loads on 0 of 9 kernels\n")
    assert text.endswith("    on all 9 kernels")
    results.append(Portability("a.o", "7.0", "x", None, 1, 1))
    assert "\n".join(describe("a.o", results)).endswith("    on 6.0, 6.1, 6.2, 6.3 and 5 more")


def test_this_kernel(host: None, objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(objects / "core.bpf.o")
    assert main(["portability", path]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: loads on 1 of 1 kernel\n")
    assert "struct task_struct has no member pylibbpf_no_such_field" in out
    assert "program unguarded" in out
    assert "program guarded" not in out
    assert err == ""
    assert main(["portability", "--all", path]) == 0
    assert "program guarded" in capsys.readouterr().out


def test_a_failure_is_status_1_and_an_error_2(
    host: None, objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails = str(objects / "sched_ext.bpf.o")
    older = tmp_path / "older.btf"
    older.write_bytes(HOST.read_bytes().replace(b"\0sched_ext_ops\0", b"\0sched_old_ops\0"))
    assert main(["portability", "--json", fails, "--btf", str(older)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["loads"], found["kernel"]) == (True, False, "older")
    broken = tmp_path / "broken.btf"
    broken.write_bytes(b"broken")
    assert main(["portability", "--json", fails, "--btf", str(broken), str(older)]) == 2
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert (first["ok"], second["ok"]) == (False, True)
    assert err == f"pylibbpf: {broken}: {first['error']}\n"
    assert main(["portability", str(tmp_path / "none.o")]) == 2
    assert "none.o: No such file or directory" in capsys.readouterr().err
    assert main(["portability", fails, "--btf", str(tmp_path / "none.btf")]) == 2
    assert "none.btf: No such file or directory" in capsys.readouterr().err
    assert main(["portability", str(broken)]) == 2
    assert f"{broken}: not an ELF file" in capsys.readouterr().err


def test_bad_use(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["a.o", "--jobs", "-1"], ["a.o", "--jobs", "x"], ["a.o", "--btf"]):
        with pytest.raises(SystemExit) as info:
            main(["portability", *arguments])
        assert info.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "'x' is no number of processes" in err


def test_names_cannot_steer_the_terminal(
    host: None, tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = tmp_path / "evil.o"
    data = (objects / "core.bpf.o").read_bytes()
    evil.write_bytes(data.replace(b"pylibbpf_no_such_field", b"pylibbpf\x1b[2_such_field"))
    assert main(["portability", str(evil)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "pylibbpf\\x1b[2_such_field" in out
