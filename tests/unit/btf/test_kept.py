"""The index of a kernel's BTF that lies on disk."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pylibbpf import cache
from pylibbpf.btf import kept
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Kind


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "btf"


@pytest.fixture
def blob(new_blob):
    """BTF with several types that are nearly called ``box``."""
    blob = new_blob()
    for name in ("box", "box___old", "a_box", "box_", "b___ox___new", "box"):
        blob.struct(name, 4)
    blob.int("int", 4)
    return blob


@pytest.fixture
def data(blob) -> bytes:
    return blob.raw()


def check(btf: Btf) -> None:
    assert btf.find("box") == [1, 6]
    assert btf.find_flavours("box") == [1, 2, 6]
    assert btf.find_flavours("b___ox") == [5]
    assert btf.find("box___old", Kind.STRUCT) == [2]
    assert btf.find("nothing") == []
    assert btf.type(7).name == "int"


def test_it_is_made_once_and_believed_then(
    data: bytes, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(kept.with_index(data, "abc"))
    assert [path.name for path in place.iterdir()] == ["index-abc"]
    monkeypatch.setattr("pylibbpf.btf.parse.scan", None)  # nothing is looked through again
    check(kept.with_index(data, "abc"))


def test_without_a_build_id_contents_are_the_name(data: bytes, place: Path) -> None:
    check(kept.with_index(data, ""))
    (found,) = place.iterdir()
    assert len(found.name) == len("index-") + 64


def test_that_of_another_btf_is_made_anew(data: bytes, blob, place: Path) -> None:
    kept.with_index(data, "abc")
    blob.struct("more", 4)
    other = kept.with_index(blob.raw(), "abc")
    assert other.find("more") == [8]
    check(other)


@pytest.mark.parametrize("cut", [0, 10, 40, 60, -4])
def test_one_that_is_cut_short_is_made_anew(data: bytes, place: Path, cut: int) -> None:
    kept.with_index(data, "abc")
    whole = cache.read("btf", "index-abc")
    assert whole is not None
    assert cache.write("btf", "index-abc", bytes(whole[:cut]))
    check(kept.with_index(data, "abc"))


def test_a_cache_that_cannot_be_used_changes_nothing(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYLIBBPF_CACHE", "/proc/no")
    check(kept.with_index(data, "abc"))


def note(name: bytes, kind: int, contents: bytes) -> bytes:
    pad = bytes(-len(name) % 4)
    return struct.pack("<III", len(name), len(contents), kind) + name + pad + contents


def test_the_build_id_is_found_among_other_notes(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_bytes(note(b"Xen\0", 3, b"1234") + note(b"GNU\0", 3, bytes(range(20))))
    assert kept.build_id(str(notes)) == bytes(range(20)).hex()
    notes.write_bytes(note(b"Linux\0", 0x101, b"12\0\0") + b"\xff" * 13)
    assert kept.build_id(str(notes)) == ""
    assert kept.build_id(str(tmp_path / "none")) == ""
