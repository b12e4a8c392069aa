"""What the cache keeps for others, and what it says where it cannot."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pylibbpf.guest import cache
from pylibbpf.guest.outcome import GuestError


def test_what_is_kept_can_be_read_by_all(tmp_path: Path):
    kept = cache.Kept(tmp_path / "images", "initramfs", "source", "key")
    assert kept.open() is None
    kept.write(b"data")
    made = kept.open()
    assert made is not None
    with made:
        assert made.read() == b"data"
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o644


def test_what_cannot_be_read_names_the_way_out(tmp_path: Path):
    kept = cache.Kept(tmp_path, "initramfs", "source", "key")
    kept.path.symlink_to(kept.path.name)  # which even root cannot open
    with pytest.raises(GuestError, match=r"cannot read .*initramfs-.*: set PYLIBBPF_CACHE to"):
        kept.open()


def test_a_cache_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PYLIBBPF_CACHE", str(tmp_path / "file"))
    with pytest.raises(GuestError, match=r"cannot make the cache .*file .that is no folder."):
        cache.place()
