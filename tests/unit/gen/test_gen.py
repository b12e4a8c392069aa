"""Generated modules: they are valid, typed as the run time is, and hold nothing but data."""

from __future__ import annotations

import ast
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pylibbpf
from pylibbpf.cli import DONE, FAILED, MISUSED, main
from pylibbpf.gen import write_module
from pylibbpf.gen.types import class_name, is_name, literal

USE = """
from typing import assert_type

import opensnoop_bpf
import pylibbpf

with opensnoop_bpf.open_object() as obj:
    assert_type(obj, opensnoop_bpf.Opensnoop)
    obj.globals.target_uid = 0
    assert_type(obj.globals["failed_only"], bool)
    assert_type(obj.maps.openings, pylibbpf.HashMap[int, opensnoop_bpf.Opening])
    obj.maps.openings[1] = {"fname": 1, "flags": 0}
    assert_type(obj.programs.enter_open, pylibbpf.Program)
    for event in obj.ringbuf("events", timeout=1):
        assert_type(event, opensnoop_bpf.Event)
        assert_type(event.fname, str)
"""
MISUSE = """
import opensnoop_bpf

obj = opensnoop_bpf.open_object()
obj.maps.opennings
obj.globals.target_uid = "root"
obj.maps.openings["1"]
for event in obj.ringbuf("events"):
    print(event.filename)
"""


def mypy(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("needs mypy (pip install mypy)")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / ".cache"), *files],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


PERF = """
from typing import assert_type

import perf_bpf
import pylibbpf

with perf_bpf.open_object() as obj:
    for event in obj.perfbuf("events"):
        assert_type(event, perf_bpf.Event)
    for pair in obj.perfbuf("events", with_cpu=True, timeout=1):
        assert_type(pair, pylibbpf.CpuRecord[perf_bpf.Event])
        assert_type(pair.record, perf_bpf.Event)
"""


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def opensnoop(examples: Path, tmp_path: Path) -> Path:
    """A module of examples/opensnoop, with the object beside it."""
    data = (examples / "opensnoop.bpf.o").read_bytes()
    (tmp_path / "opensnoop.bpf.o").write_bytes(data)
    target = tmp_path / "opensnoop_bpf.py"
    target.write_text(write_module(data, "opensnoop.bpf.o", source="opensnoop.bpf.o"))
    return target


def test_mypy_knows_what_is_in_the_object(opensnoop):
    folder = opensnoop.parent
    (folder / "use.py").write_text(USE)
    (folder / "misuse.py").write_text(MISUSE)
    good = mypy(folder, "use.py", "opensnoop_bpf.py")
    assert good.returncode == 0, good.stdout
    bad = mypy(folder, "misuse.py")
    wrong = [line.partition(":")[2].partition(":")[0] for line in bad.stdout.splitlines()[:-1]]
    assert sorted(set(wrong)) == ["5", "6", "7", "9"], bad.stdout


def test_mypy_knows_records_with_their_cpu(objects, tmp_path):
    data = (objects / "perf.bpf.o").read_bytes()
    text = write_module(data, "perf.bpf.o", source="perf.bpf.o", types={"events": "struct event"})
    (tmp_path / "perf_bpf.py").write_text(text)
    (tmp_path / "use.py").write_text(PERF)
    done = mypy(tmp_path, "use.py", "perf_bpf.py")
    assert done.returncode == 0, done.stdout


def test_modules_of_all_objects_pass_mypy(objects, examples, tmp_path):
    """Of those that compile for every shape of map, global and record in these tests."""
    files = []
    for path in sorted([*objects.glob("*.bpf.o"), *examples.glob("*.bpf.o")]):
        name = f"{path.name.partition('.')[0]}_of_{path.parent.name}_bpf.py"
        text = write_module(path.read_bytes(), str(path), source=path.name)
        compile(text, name, "exec")
        (tmp_path / name).write_text(text)
        files.append(name)
    assert len(files) > 10
    done = mypy(tmp_path, *files)
    assert done.returncode == 0, done.stdout


def test_records_are_of_the_declared_classes(bpf, opensnoop):
    module = imported(opensnoop)
    with module.open_object() as obj:
        assert type(obj) is module.Opensnoop
        obj.globals.target_uid = 0xFFFFFFFF
        obj.load()
        obj.maps.openings[7] = module.Opening(fname=1, flags=2)
        opening = obj.maps.openings[7]
        assert type(opening) is module.Opening
        assert (opening.fname, opening.flags) == (1, 2)
        assert pickle.loads(pickle.dumps(opening)) == opening
        obj.attach()
        with open("/dev/null"):
            pass
        event = obj.ringbuf("events").read(5)
        assert type(event) is module.Event
        match event:
            case module.Event(pid=pid, fname=str()):
                assert pid > 0
            case _:
                pytest.fail("an event does not match its class")


def test_another_object_is_refused(opensnoop, examples):
    module = imported(opensnoop)
    other = (examples / "syscount.bpf.o").read_bytes()
    with pytest.raises(ValueError, match="run pylibbpf gen again"):
        module.open_object(other)
    (opensnoop.parent / "opensnoop.bpf.o").unlink()
    with pytest.raises(FileNotFoundError):
        module.open_object()


def test_enumerations_are_the_declared_ones(objects, tmp_path):
    data = (objects / "globals.bpf.o").read_bytes()
    target = tmp_path / "globals_bpf.py"
    target.write_text(write_module(data, "globals.bpf.o", source=None))
    module = imported(target)
    kinds = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, pylibbpf.Enumeration)
    ]
    assert kinds
    with module.open_object() as obj:
        seen = {type(value) for value in dict(obj.globals).values()}
    assert seen & set(kinds)


def test_the_command(opensnoop, examples, tmp_path, capsys):
    path = str(examples / "syscount.bpf.o")
    target = tmp_path / "out" / "syscount_bpf.py"
    target.parent.mkdir()
    assert main(["gen", path, "-o", str(target), "--class", "Counter", "--embed"]) == DONE
    assert capsys.readouterr().out == ""
    module = imported(target)
    assert module.Counter.__mro__[1] is pylibbpf.Object
    assert [each.name for each in target.parent.iterdir()] == [target.name]
    assert main(["gen", path]) == DONE
    assert "class Syscount(pylibbpf.Object)" in capsys.readouterr().out
    assert main(["gen", path, "--class", "no name"]) == MISUSED
    assert main(["gen", path, "--type", "missing=struct event"]) == MISUSED
    assert main(["gen", str(tmp_path / "missing.bpf.o")]) == FAILED
    (tmp_path / "broken.bpf.o").write_bytes(b"\x7fELF")
    assert main(["gen", str(tmp_path / "broken.bpf.o")]) == FAILED
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4
    assert all(line.startswith("pylibbpf: ") for line in errors)
    missing = tmp_path / "missing" / "module.py"
    assert main(["gen", path, "-o", str(missing)]) == FAILED
    assert capsys.readouterr().err == f"pylibbpf: {missing}: No such file or directory\n"


def test_the_command_links(objects, tmp_path, capsys):
    paths = [str(objects / f"link_{name}.bpf.o") for name in ("main", "store", "more")]
    target = tmp_path / "linked.bpf.o"
    assert main(["gen", "object", str(target), *paths]) == DONE
    assert target.read_bytes() == pylibbpf.link_objects(paths)
    assert [each.name for each in tmp_path.iterdir()] == [target.name]
    assert capsys.readouterr() == ("", "")
    for words, status in (
        (["gen", "object", str(target)], MISUSED),
        (["gen", "object", str(target), paths[0], "--embed"], MISUSED),
        (["gen", *paths], MISUSED),
        (["gen", "object", str(target), paths[0], str(tmp_path / "missing.bpf.o")], FAILED),
        (["gen", "object", str(target), paths[0], paths[0]], FAILED),
        (["gen", "object", str(tmp_path / "missing" / "linked.bpf.o"), paths[0]], FAILED),
        (["gen", "object"], MISUSED),
    ):
        assert main(words) == status
        out, err = capsys.readouterr()
        assert not out
        assert err.startswith("pylibbpf: ")
        assert err.count("\n") == 1
    assert target.read_bytes() == pylibbpf.link_objects(paths)


@given(st.text())
def test_names_out_of_files_stay_data(text):
    assert ast.literal_eval(literal(text)) == text
    assert is_name(class_name(text))
    if is_name(text):
        assert ast.parse(f"{text}: int").body
