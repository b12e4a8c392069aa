"""The kernel's own verifier selftests as objects: the folder of corpora has what builds them."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from objects import cache  # noqa: E402

EXPECTED = 95


def build(corpora: Path) -> list[Path]:
    """Give the objects; they are made once, into the cache (20 s, and a download of 150 MB).

    Raises:
        subprocess.CalledProcessError: they cannot be made here; what was said went to stderr.
    """
    folder = cache() / "corpora"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other runs may want the same
        objects = _objects(folder)
        if len(objects) < EXPECTED:
            subprocess.run([corpora / "build-selftests", folder], check=True)
            objects = _objects(folder)
    return objects


def _objects(folder: Path) -> list[Path]:
    return sorted(folder.glob("selftests-*/*.bpf.o"))
