"""Files that can be made again from others, kept between runs: where, and which are believed.

What lies in the cache decides what programs do. So a file counts only if nobody but this user and
root could have written it or put it there, and if it is whole.
"""

from __future__ import annotations

import os
import stat

__all__ = ["folder", "read", "write"]

_DIGEST = 32  # of SHA-256, before the contents
_MOST = 64 << 20
_PART = ".part-"
_KEPT = 4
_ABANDONED = 3600  # seconds: nobody writes for so long
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def folder() -> str | None:
    """PYLIBBPF_CACHE, or else pylibbpf below XDG_CACHE_HOME or ~/.cache; None: there is no home.

    It is not made here.
    """
    named = os.environ.get("PYLIBBPF_CACHE")
    if named:
        return os.path.abspath(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the specification: a relative path is to be ignored
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "pylibbpf") if os.path.isabs(base) else None


def read(place: str, name: str) -> memoryview | None:
    """Give the contents of a file that :func:`write` made in this folder of the cache.

    None where there is none, and where it is not to be believed: somebody else owns it or a folder
    above it, or can write to one of them, or it is damaged.
    """
    top = folder()
    if top is None:
        return None
    try:
        inner = os.path.realpath(os.path.join(top, place))
        if not _only_ours(inner):
            return None
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(os.path.join(inner, name), flags)
    except OSError:
        return None
    try:
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode) or not _ours(state) or state.st_mode & _OTHERS:
            return None
        if not _DIGEST < state.st_size <= _MOST:
            return None
        with open(file, "rb", closefd=False) as stream:
            data = memoryview(stream.read(state.st_size))
    except OSError:
        return None
    finally:
        os.close(file)
    return data[_DIGEST:] if data[:_DIGEST] == _digest(data[_DIGEST:]) else None


def write(place: str, name: str, data: bytes) -> bool:
    """Let a file appear in this folder of the cache: whole, or not at all.

    Of the others there that begin like it, up to the first "-", the newest stay. Give False where
    nothing can be kept: there is no home, it is read-only or full, or somebody else could change
    what is in it.
    """
    top = folder()
    if top is None:
        return False
    try:
        inner = os.path.join(top, place)
        os.makedirs(inner, mode=0o700, exist_ok=True)
        inner = os.path.realpath(inner)
        if not _only_ours(inner):
            return False
        part = os.path.join(inner, f"{_PART}{os.getpid()}-{os.urandom(8).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(part, flags, 0o600)
        try:
            with open(file, "wb") as stream:
                stream.write(_digest(data))
                stream.write(data)
            os.rename(part, os.path.join(inner, name))
        except BaseException:
            os.unlink(part)
            raise
        _prune(inner, name.partition("-")[0] + "-")
    except OSError:
        return False
    return True


def _ours(state: os.stat_result) -> bool:
    return state.st_uid in (0, os.geteuid())


def _only_ours(inner: str) -> bool:
    """Whether nobody else can put something into this folder, or another folder in its place.

    In a folder like /tmp anybody can make files, but not replace those of others.
    """
    while True:
        state = os.lstat(inner)
        if not stat.S_ISDIR(state.st_mode) or not _ours(state):
            return False
        if state.st_mode & _OTHERS and not state.st_mode & stat.S_ISVTX:
            return False
        above = os.path.dirname(inner)
        if above == inner:
            return True
        inner = above


def _prune(inner: str, start: str) -> None:
    """Remove what others of this kind have become too old, and what killed processes left.

    Other processes do so, too: what is gone meanwhile is passed over.
    """
    found = []
    with os.scandir(inner) as entries:
        for entry in entries:
            try:
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
            except FileNotFoundError:
                continue
    newest = max(found, default=(0.0, ""))[0]
    kept = sorted(each for each in found if os.path.basename(each[1]).startswith(start))
    parts = [each for each in found if os.path.basename(each[1]).startswith(_PART)]
    for _, path in kept[:-_KEPT] + [each for each in parts if each[0] < newest - _ABANDONED]:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue


def _digest(data: bytes | memoryview) -> bytes:
    from hashlib import sha256

    return sha256(data).digest()
