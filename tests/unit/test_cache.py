"""What is kept between runs, and when it is not believed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pylibbpf import cache


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own; the folder in it."""
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "some"


def test_what_was_written_is_read(place: Path) -> None:
    assert cache.read("some", "file-1") is None
    assert cache.write("some", "file-1", b"contents")
    assert bytes(cache.read("some", "file-1") or b"") == b"contents"
    assert (place.stat().st_mode & 0o777, (place / "file-1").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    assert cache.write("some", "file-1", b"others")
    assert bytes(cache.read("some", "file-1") or b"") == b"others"
    assert [path.name for path in place.iterdir()] == ["file-1"]


@pytest.mark.parametrize("damage", [b"", b"x", bytes(40)])
def test_a_damaged_file_is_none(place: Path, damage: bytes) -> None:
    assert cache.write("some", "file-1", b"contents")
    (place / "file-1").write_bytes(damage)
    assert cache.read("some", "file-1") is None


def test_one_changed_byte_is_damage(place: Path) -> None:
    assert cache.write("some", "file-1", b"contents")
    data = bytearray((place / "file-1").read_bytes())
    data[-1] ^= 1
    (place / "file-1").write_bytes(data)
    assert cache.read("some", "file-1") is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_to_is_not_believed(place: Path, mode: int) -> None:
    assert cache.write("some", "file-1", b"contents")
    (place / "file-1").chmod(mode)
    assert cache.read("some", "file-1") is None


@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_nor_one_in_a_folder_that_others_can_write_to(place: Path, mode: int, above: int) -> None:
    assert cache.write("some", "file-1", b"contents")
    [place, place.parent][above].chmod(mode)
    assert cache.read("some", "file-1") is None
    assert not cache.write("some", "file-2", b"contents")
    assert not (place / "file-2").exists()


def test_a_folder_like_tmp_may_be_above(place: Path) -> None:
    assert cache.write("some", "file-1", b"contents")
    place.parent.chmod(0o1777)
    assert cache.read("some", "file-1") is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users: needs root")
@pytest.mark.parametrize("what", ["some/file-1", "some", "."])
def test_what_another_user_owns_is_not_believed(place: Path, what: str) -> None:
    assert cache.write("some", "file-1", b"contents")
    os.chown(place.parent / what, 12345, 12345)
    assert cache.read("some", "file-1") is None


def test_links_and_pipes_are_not_followed(place: Path, tmp_path: Path) -> None:
    assert cache.write("some", "file-1", b"contents")
    os.symlink(place / "file-1", place / "file-2")
    os.mkfifo(place / "file-3", 0o600)
    assert cache.read("some", "file-2") is None
    assert cache.read("some", "file-3") is None
    assert cache.read("some", "file-1") is not None


def test_a_home_behind_a_link_is_looked_at_where_it_is(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.write("some", "file-1", b"contents")
    os.symlink(place.parent, tmp_path / "link")
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path / "link"))
    assert cache.read("some", "file-1") is not None
    place.parent.chmod(0o777)
    assert cache.read("some", "file-1") is None


def test_where_nothing_can_be_kept_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path / "file"))
    assert not cache.write("some", "file-1", b"contents")
    assert cache.read("some", "file-1") is None
    monkeypatch.setenv("PYLIBBPF_CACHE", "/proc/no")
    assert not cache.write("some", "file-1", b"contents")


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYLIBBPF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "relative")
    assert cache.folder() is None
    assert not cache.write("some", "file-1", b"contents")
    assert cache.read("some", "file-1") is None


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYLIBBPF_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() == "/home/somebody/.cache/pylibbpf"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/x")
    assert cache.folder() == "/var/x/pylibbpf"
    monkeypatch.setenv("PYLIBBPF_CACHE", "/elsewhere")
    assert cache.folder() == "/elsewhere"


def test_the_newest_stay_and_what_was_left_half_done_goes(place: Path) -> None:
    place.mkdir(parents=True, mode=0o700)
    place.parent.chmod(0o700)
    left, recent = place / ".part-1-dead", place / ".part-2-busy"
    left.write_bytes(b"")
    recent.write_bytes(b"")
    os.utime(left, (1, 1))
    for number in range(6):
        assert cache.write("some", f"file-{number}", b"contents")
        os.utime(place / f"file-{number}", (1000 + number, 1000 + number))
    assert cache.write("some", "other-1", b"contents")
    assert cache.write("some", "file-6", b"contents")
    names = {path.name for path in place.iterdir()}
    assert names == {"file-3", "file-4", "file-5", "file-6", "other-1", recent.name}


def test_many_at_once_leave_one_that_is_whole(place: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(
            pool.map(lambda n: cache.write("some", "file-1", b"%d" % n * 9999), range(40))
        )
    assert any(written)
    found = bytes(cache.read("some", "file-1") or b"")
    assert len(set(found)) <= 2
    assert len(found) in (9999, 2 * 9999)


def test_what_another_process_removes_meanwhile_is_no_failure(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        assert cache.write("some", f"file-{number}", b"contents")
    unlink = os.unlink

    def twice(path: str) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(cache.os, "unlink", twice)
    assert cache.write("some", "file-5", b"contents")
    assert len(list(place.iterdir())) == 4
