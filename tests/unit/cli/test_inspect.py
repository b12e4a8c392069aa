from __future__ import annotations

import json
from pathlib import Path

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Enum, Func, FuncProto, Int
from pylibbpf.cli import main
from pylibbpf.cli.inspect import describe, inspect
from pylibbpf.loader.kernel import Kernel

LOADER = Path(__file__).parent.parent / "loader"


def test_json_is_one_object_a_line(
    examples: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(examples / "opensnoop.bpf.o"), str(objects / "core.bpf.o")]
    assert main(["inspect", "--json", *paths]) == 0
    out, err = capsys.readouterr()
    facts = [json.loads(line) for line in out.splitlines()]
    assert [each["file"] for each in facts] == paths
    assert all(each["ok"] for each in facts)
    assert err == ""


def test_a_part_says_what_it_lacks(objects: Path) -> None:
    facts = inspect(str(objects / "link_more.bpf.o"))
    kinds = {each["name"]: each["kind"] for each in facts["externs"]}
    assert kinds == {"entries": "object", "step": "object"}
    lines = list(describe(facts))
    at = lines.index("Needed from another object, to be linked with this one")
    assert [each.strip() for each in lines[at + 1 : at + 3]] == ["entries", "step"]
    assert "Needed from the kernel" not in lines


def test_the_keys_are_stable(examples: Path) -> None:
    facts = inspect(str(examples / "opensnoop.bpf.o"))
    assert list(facts) == [
        "file", "ok", "license", "version", "btf", "dwarf", "programs", "functions", "maps",
        "globals", "externs", "core_relocations",
    ]  # fmt: skip
    events = next(each for each in facts["maps"] if each["name"] == "events")
    assert list(events) == [
        "name", "kind", "section", "type", "key_size", "value_size", "max_entries", "flags",
        "map_extra", "numa_node", "pinning", "key", "value", "inner", "values", "record",
    ]  # fmt: skip
    assert list(events["record"]) == ["type", "rule", "size", "fields", "hint"]
    assert (events["record"]["type"], events["record"]["rule"]) == ("struct event", "convention")
    assert ["comm", "char[16]"] in events["record"]["fields"]
    assert list(facts["programs"][0]) == [
        "name", "section", "type", "attach_type", "flags", "auto_attach", "optional", "libbpf",
        "kernel", "insns", "linked_insns", "functions", "maps", "line",
    ]  # fmt: skip
    assert list(facts["globals"][0]) == [
        "name", "section", "offset", "size", "type", "linkage", "value",
    ]  # fmt: skip
    assert list(facts["core_relocations"][0]) == [
        "program", "insn", "kind", "type", "access", "path", "file", "line", "text",
    ]  # fmt: skip


def test_what_a_section_says(objects: Path) -> None:
    programs = {
        each["name"]: [each[key] for key in ("type", "attach_type", "flags", "libbpf", "kernel")]
        for each in inspect(str(objects / "newer_sections.bpf.o"))["programs"]
    }
    assert programs["tcx_ingress"] == ["sched_cls", "tcx_ingress", [], "1.3", "6.6"]
    assert programs["netfilter"] == ["netfilter", "netfilter", [], "1.3", "6.4"]
    (unknown,) = inspect(str(objects / "unknown_section.bpf.o"))["programs"][:1]
    assert (unknown["libbpf"], unknown["kernel"], unknown["flags"]) == (None, None, [])
    assert inspect(str(objects / "hidden.bpf.o"))["programs"][0]["functions"]


def test_externs_are_looked_up_in_btf(objects: Path) -> None:
    path = str(objects / "hidden.bpf.o")
    (extern,) = inspect(path)["externs"]
    assert list(extern) == ["name", "kind", "type", "weak", "found", "problem"]
    assert (extern["found"], extern["problem"]) == (None, None)
    values = Enum("bpf_cmd", 4, False, (("BPF_MAP_CREATE", 0),))
    kernel = Kernel(Btf.from_types([values]))
    (extern,) = inspect(path, kernel=kernel)["externs"]
    assert extern["found"] is False
    assert "this kernel has no function bpf_pylibbpf_no_such_kfunc" in extern["problem"]
    there = Func("bpf_pylibbpf_no_such_kfunc", 2)
    kernel = Kernel(Btf.from_types([values, FuncProto(3, ()), Int("int", 4, 32), there]))
    (extern,) = inspect(path, kernel=kernel)["externs"]
    assert (extern["found"], extern["problem"]) == (True, None)
    assert any("found" in line for line in describe(inspect(path, kernel=kernel)))


def test_initial_values(objects: Path) -> None:
    facts = inspect(str(objects / "globals.bpf.o"))
    values = {each["name"]: each["value"] for each in facts["globals"]}
    assert values["limit"] == 10
    assert values["offset"] == -7
    assert values["enabled"] is True
    assert values["color"] == "GREEN"
    assert values["prefix"] == "pre"
    assert values["origin"] == {"x": 3, "y": -4}
    assert values["ports"] == [22, 80, 443]


def test_record_types_and_their_rules(objects: Path) -> None:
    facts = inspect(str(objects / "ring.bpf.o"))
    rules = {
        each["name"]: each["record"]["rule"] for each in facts["maps"] if each["record"] is not None
    }
    assert rules == {
        "events": "convention",
        "samples": "size",
        "twins": "bytes",
        "blobs": "bytes",
    }
    facts = inspect(str(LOADER / "records4.bpf.o"))
    rules = {
        each["name"]: each["record"]["rule"] for each in facts["maps"] if each["record"] is not None
    }
    assert rules["reserved"] == "dwarf"
    assert rules["disagreeing"] == "bytes"


def test_the_user_names_a_type(objects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", "--json", "--type", "twins=struct twin_b", str(objects / "ring.bpf.o")]
    assert main(arguments) == 0
    (facts,) = map(json.loads, capsys.readouterr().out.splitlines())
    (record,) = [each["record"] for each in facts["maps"] if each["name"] == "twins"]
    assert (record["type"], record["rule"]) == ("struct twin_b", "user")


def test_bad_use(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["inspect"], ["inspect", "--type", "x", "a.o"]):
        with pytest.raises(SystemExit) as info:
            main(arguments)
        assert info.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_broken_object_among_good_ones(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(objects / "minimal.bpf.o")
    bad = tmp_path / "bad.o"
    bad.write_bytes(Path(good).read_bytes()[:500])
    assert main(["inspect", "--json", str(bad), good]) == 1
    out, err = capsys.readouterr()
    first, second = map(json.loads, out.splitlines())
    assert first["ok"] is False
    assert list(first) == ["file", "ok", "error"]
    assert "truncated" in first["error"]
    assert second["ok"] is True
    assert err == f"pylibbpf: {bad}: {first['error']}\n"


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_file_that_is_not_there(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *arguments, str(tmp_path / "none.o")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
    assert main(["inspect", *arguments, str(tmp_path)]) == 1
    assert "Is a directory" in capsys.readouterr().err


def test_for_people(examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(examples / "opensnoop.bpf.o")]) == 0
    out = capsys.readouterr().out
    for text in (
        "license Dual BSD/GPL, BTF, no DWARF",
        "enter_openat   tracepoint/syscalls/sys_enter_openat   tracepoint",
        "struct event (said by the map's definition",
        "char comm[16]",
        "const volatile __u32 target_pid",
        "struct trace_event_raw_sys_enter",
    ):
        assert text in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize("name", ["legacy", "kconfig", "unknown_section", "maps", "perf", "core"])
def test_every_kind_of_object_has_words(objects: Path, name: str) -> None:
    assert "\n".join(describe(inspect(str(objects / f"{name}.bpf.o"))))


def test_names_cannot_steer_the_terminal(
    tmp_path: Path, objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (objects / "minimal.bpf.o").read_bytes()
    evil = tmp_path / "evil.o"
    evil.write_bytes(data.replace(b"GPL", b"\x1b[2"))
    assert main(["inspect", str(evil)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2" in out


def test_no_privilege_and_no_libbpf_is_needed(
    examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYLIBBPF_LIBBPF", "/nonexistent/libbpf.so")
    assert main(["inspect", str(examples / "syscount.bpf.o")]) == 0
    assert capsys.readouterr().err == ""
