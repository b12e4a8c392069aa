"""Which file is meant by the name of a library or program."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pylibbpf.engine.kernel import binaries
from pylibbpf.errors import BpfError


def test_a_path_is_taken_as_it_is(tmp_path):
    (tmp_path / "x").touch()
    assert binaries.find(str(tmp_path / "x"), None, "p") == str(tmp_path / "x")
    with pytest.raises(BpfError, match="there is no file /none/of/it") as caught:
        binaries.find("/none/of/it", None, "p")
    assert (caught.value.errno, caught.value.object) == (errno.ENOENT, "p")


def test_libraries_are_those_of_the_linkers_folders(tmp_path, monkeypatch):
    (tmp_path / "libpylibbpf.so").write_text("/* GNU ld script */\n")
    (tmp_path / "libpylibbpf.so.3").write_bytes(b"\x7fELF...")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert binaries.find("libpylibbpf", None, "p") == str(tmp_path / "libpylibbpf.so.3")
    assert binaries.find("libpylibbpf.so.3", None, "p") == str(tmp_path / "libpylibbpf.so.3")
    with pytest.raises(BpfError, match=f"searched for in {tmp_path}"):
        binaries.find("libpylibbpf.so.4", None, "p")


def test_programs_are_those_on_path(tmp_path, monkeypatch):
    (tmp_path / "tool").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/none")
    assert binaries.find("tool", None, "p") == str(tmp_path / "tool")


def test_a_process_has_its_own(monkeypatch):
    found = binaries.find("libc", 0, "p")
    assert found.startswith(f"/proc/{os.getpid()}/root/")
    assert Path(found).exists()
    # In a container of an older distribution; not this machine's libc instead.
    monkeypatch.setattr(binaries, "_mapped", lambda pid: ["/lib/libc-2.31.so", "/lib/ld-2.31.so"])
    assert binaries.find("libc.so.6", os.getpid(), "p") == "/lib/libc-2.31.so"
    monkeypatch.setattr(binaries, "_mapped", lambda pid: ["/lib/ld-musl-x86_64.so.1"])
    with pytest.raises(BpfError, match=r"has mapped no library libc\.so\.6"):
        binaries.find("libc.so.6", os.getpid(), "p")
    # Of whose maps nothing can be seen, the usual folders have to do.
    monkeypatch.setattr(binaries, "_mapped", lambda pid: None)
    assert "/libc.so.6" in binaries.find("libc.so.6", os.getpid(), "p")


def test_a_process_that_is_not_there():
    with pytest.raises(BpfError, match="no process 4194303") as caught:
        binaries.find("libc", (1 << 22) - 1, "p")
    assert caught.value.errno == errno.ESRCH


def test_names_that_are_not_unique_or_not_yet_decided():
    path = binaries.find("libc.so.6", None, "p")
    assert binaries.why_unclear(path, "getpgid") is None
    assert binaries.why_no_function(path, ("getpgid", "getsid")) is None
    assert binaries.places(path, ("getpgid",), "p")[0][0] > 0
    said = binaries.why_no_function(path, (), "getpgi?")
    assert said is None
    assert "fits 'pylibbpf*'" in str(binaries.why_no_function(path, (), "pylibbpf*"))
    assert "not an ELF file" in str(binaries.why_no_function(__file__, ("f",)))
