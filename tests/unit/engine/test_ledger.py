"""Entries of attachments that outlive their process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.engine.kernel import ledger

PROGRAM = {"id": 7, "tag": "0123456789abcdef", "name": "filter", "load_time": 123}


pytest.importorskip(
    "pylibbpf.engine.kernel._libbpf", reason="the extension was not built (no C compiler)"
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "ledger"
    monkeypatch.setenv(ledger.ENVIRONMENT, str(path))
    return path


def test_where_it_is(monkeypatch):
    monkeypatch.delenv(ledger.ENVIRONMENT, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert ledger.folder() == "/run/pylibbpf"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert ledger.folder() == "/run/user/1000/pylibbpf"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert ledger.folder() == "/tmp/pylibbpf-1000"
    monkeypatch.setenv(ledger.ENVIRONMENT, "/elsewhere")
    assert ledger.folder() == "/elsewhere"


def test_written_read_and_removed(folder):
    assert ledger.entries() == ([], {})
    record = ledger.Record("xdp", {"ifindex": 3}, PROGRAM)
    record.write()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.listdir(folder) == [record.name]
    ((entry,), broken) = ledger.entries()
    assert not broken
    assert (entry.kind, entry.place, entry.program) == ("xdp", {"ifindex": 3}, PROGRAM)
    assert entry.process == ledger.Process.own()
    assert entry.netns == os.stat("/proc/self/ns/net").st_ino
    assert entry.name == record.name
    assert entry.process.alive() is True
    record.remove()
    record.remove()
    assert ledger.entries() == ([], {})


def test_an_entry_of_another_process_can_be_removed(folder):
    ledger.Record("xdp", {}, PROGRAM).write()
    ((entry,), _) = ledger.entries()
    ledger.remove(entry.name)
    ledger.remove(entry.name)
    assert ledger.entries() == ([], {})


def test_a_process_is_told_apart_from_a_later_one(folder):
    own = ledger.Process.own()
    assert own.alive() is True
    assert replace(own, start=own.start - 1).alive() is False
    assert replace(own, boot="another").alive() is False
    assert replace(own, pid_namespace=own.pid_namespace + 1).alive() is None


def test_a_zombie_is_dead(folder):
    code = (
        "import json, dataclasses; from pylibbpf.engine.kernel.ledger import Process;"
        "print(json.dumps(dataclasses.asdict(Process.own())), flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    process = ledger.Process(**json.loads(child.stdout.readline()))
    assert process.pid == child.pid
    assert process.alive() is True
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in /proc
    assert process.alive() is False
    child.communicate()
    assert process.alive() is False


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(ledger.ENVIRONMENT, str(tmp_path / "file" / "ledger"))
    record = ledger.Record("xdp", {}, PROGRAM)
    with pytest.raises(pylibbpf.BpfError, match="set PYLIBBPF_RUNTIME_DIR to a folder") as caught:
        record.write()
    assert (caught.value.operation, caught.value.object) == ("attach", "filter")


@pytest.mark.parametrize(("mode", "what"), [(0o770, "others may write"), (0o707, "others may")])
def test_a_folder_that_others_may_write(folder, mode, what):
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(pylibbpf.BpfError, match=what):
        ledger.Record("xdp", {}, PROGRAM).write()
    with pytest.raises(pylibbpf.BpfError, match=what):
        ledger.entries()


def test_a_folder_of_somebody_else(folder, monkeypatch):
    folder.mkdir()
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(pylibbpf.BpfError, match=f"belongs to user {owner}"):
        ledger.Record("xdp", {}, PROGRAM).write()
    assert os.listdir(folder) == []


def test_links_are_not_followed(folder, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(pylibbpf.BpfError):
        ledger.Record("xdp", {}, PROGRAM).write()
    with pytest.raises(pylibbpf.BpfError):
        ledger.entries()
    folder.unlink()
    ledger.Record("xdp", {}, PROGRAM).write()
    (tmp_path / "secret").write_text("{}")
    (folder / "link.json").symlink_to(tmp_path / "secret")
    found, broken = ledger.entries()
    assert len(found) == 1
    assert list(broken) == ["link.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "program": {"id": "x"}}', "[" * 100000],
)
def test_what_cannot_be_read_is_named(folder, text):
    ledger.Record("xdp", {}, PROGRAM).write()
    (folder / "bad.json").write_text(text)
    found, broken = ledger.entries()
    assert len(found) == 1
    assert list(broken) == ["bad.json"]


def test_a_process_that_is_none(folder):
    """Whoever looks for it would fail, and with it all that is asked of other entries."""
    record = ledger.Record("xdp", {}, PROGRAM)
    record.write()
    content = json.loads((folder / record.name).read_text())
    content["process"]["pid"] = "12"
    (folder / "bad.json").write_text(json.dumps(content))
    found, broken = ledger.entries()
    assert [entry.name for entry in found] == [record.name]
    assert broken == {"bad.json": "TypeError: process.pid is '12'"}


def test_a_write_that_fails_leaves_nothing(folder, monkeypatch):
    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(pylibbpf.BpfError, match=re.escape("No space left")):
        ledger.Record("xdp", {}, PROGRAM).write()
    assert os.listdir(folder) == []
