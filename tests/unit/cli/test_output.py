"""Files that commands write: whole, where a link leads to, and never instead of a device."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pylibbpf.cli.output import replace


def test_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    link.symlink_to(file)
    replace(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == [file, link]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_who_may_read_a_file_stays(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(mode)
    replace(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", mode)


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """What root writes to /dev/null must not take the device's place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace(pipe, b"types")
        assert os.read(reader, 100) == b"types"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        replace(link, b"new")
    assert list(tmp_path.iterdir()) == [link]


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        replace(tmp_path / "folder", b"")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
