"""Files that a command writes."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

__all__ = ["replace"]


def replace(path: Path, content: bytes) -> None:
    """Write the file whole or not at all: a build that is interrupted leaves no half of it.

    A link stays one, what it leads to is written; a device or a pipe is written into, not replaced.
    Who may read a file that is there stays as it was.
    """
    path = Path(os.path.realpath(path))
    if path.is_symlink():  # what leads in a circle has no end; Path.resolve() is no OSError then
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        if path.exists():
            mode = path.stat().st_mode & 0o777
        else:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
