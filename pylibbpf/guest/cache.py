"""Where kernels and images stay between runs, and who may change that place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pylibbpf.guest.outcome import GuestError

_PART = ".part-"


def place() -> Path:
    """PYLIBBPF_CACHE, or else pylibbpf below XDG_CACHE_HOME or ~/.cache; made if missing.

    Raises:
        GuestError: it cannot be made or written to.
    """
    named = os.environ.get("PYLIBBPF_CACHE")
    if named:
        folder = Path(named).absolute()
    else:
        xdg = os.environ.get("XDG_CACHE_HOME", "")
        # The specification: a relative path is to be ignored.
        base = Path(xdg) if os.path.isabs(xdg) else Path(os.path.expanduser("~"), ".cache")
        folder = base / "pylibbpf"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GuestError(
            f"cannot make the cache {folder} ({error.strerror}): "
            "set PYLIBBPF_CACHE to a folder that this user can write to"
        ) from None
    return folder


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Hold the cache's lock: one process at a time fetches or prunes, the others wait.

    What a killed process left half done is removed first.
    """
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise GuestError(
            f"cannot write to the cache {folder} ({error.strerror}): "
            "set PYLIBBPF_CACHE to a folder that this user can write to"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"{_PART}*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def part(folder: Path) -> Iterator[Path]:
    """A folder to prepare something in, beside where it will be renamed to; removed at the end.

    To be used by the holder of the lock.
    """
    made = Path(tempfile.mkdtemp(prefix=_PART, dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def need_space(folder: Path, size: int) -> None:
    """Raises: GuestError, where fewer than ``size`` bytes are free."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise GuestError(
            f"{folder} has {free >> 20} MB free, and {size >> 20} MB are needed: make room "
            "(`pylibbpf vm prune`), or set PYLIBBPF_CACHE to another folder"
        )
