"""Where kernels and images stay between runs, and who may change that place."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pylibbpf import cache
from pylibbpf.guest.outcome import GuestError

_PART = ".part-"
_KEPT = 4


def place() -> Path:
    """PYLIBBPF_CACHE, or else pylibbpf below XDG_CACHE_HOME or ~/.cache; made if missing.

    Raises:
        GuestError: it cannot be made or written to.
    """
    named = cache.folder()
    if named is None:
        raise GuestError("this user has no home: set PYLIBBPF_CACHE to a folder")
    folder = Path(named)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "that is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise GuestError(
            f"cannot make the cache {folder} ({why}): "
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
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
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


class Kept:
    """One file that can be made again from others: of one kind, made of ``source``.

    ``key`` is all that it depends on. Of those that had other keys, the newest stay, for runs that
    have just begun and for other checkouts of this project.
    """

    def __init__(self, folder: Path, kind: str, source: str, key: str) -> None:
        def short(text: str) -> str:
            return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]

        self._pattern = f"{kind}-{short(source)}-*"
        self.path = folder / f"{kind}-{short(source)}-{short(key)}"

    def open(self) -> BinaryIO | None:
        """Open it for reading; None where it has not been made.

        Raises:
            GuestError: this user cannot read it.
        """
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused("read", error) from None

    def write(self, data: bytes) -> None:
        """Let it appear: whole, or not at all.

        Raises:
            GuestError: no space, or a folder that this user cannot write to.
        """
        try:
            self.path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=_PART) as file:
                os.fchmod(file.fileno(), 0o644)  # others may use this cache, too
                file.write(data)
                file.flush()
                try:
                    os.link(file.name, self.path)
                except FileExistsError:
                    pass  # of a run at the same time, and the same
            all_kept = [(path.stat().st_mtime_ns, path) for path in self._all()]
            for _, path in sorted(all_kept)[:-_KEPT]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused("write", error) from None

    def _refused(self, what: str, error: OSError) -> GuestError:
        return GuestError(
            f"cannot {what} {self.path} ({error.strerror}): "
            "set PYLIBBPF_CACHE to a folder that this user can write to"
        )

    def _all(self) -> Iterator[Path]:
        return self.path.parent.glob(self._pattern)
