"""Unpacks Debian packages into a private folder: needs no root, and installs nothing.

Uses apt-get and dpkg of the host. Standard library only; runs on Python 3.8 and later.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import List, Sequence


class DebianError(Exception):
    """The packages are not to be had here; the text says why."""


def available() -> bool:
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg"))


def unpack(packages: Sequence[str], into: Path, cache: Path) -> None:
    """Unpack the packages (``name`` or ``name=version``) below ``into``.

    Takes the host's package lists where they know the packages, else fetches lists of its own
    into ``cache``.

    Raises: DebianError.
    """
    if not available():
        raise DebianError("this is no Debian: apt-get or dpkg is missing")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as folder:
        private = _private_lists(cache)
        tries: List[List[str]] = [[], private]
        for options in tries:
            if options:
                _apt([*options, "update"], folder)
            try:
                _apt([*options, *_archives(cache), "download", *packages], folder)
            except DebianError:
                if options is tries[-1]:
                    raise
            else:
                break
        for archive in sorted(Path(folder).glob("*.deb")):
            _run(["dpkg", "-x", str(archive), str(into)], folder)


def _private_lists(cache: Path) -> List[str]:
    lists = cache / "apt" / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::Lists={lists}", *_archives(cache)]


def _archives(cache: Path) -> List[str]:
    archives = cache / "apt" / "cache"
    (archives / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::Cache={archives}", "-o", "Debug::NoLocking=1"]


def _apt(arguments: Sequence[str], folder: str) -> None:
    # As root, apt-get would fetch as user _apt, who may not write into a private folder.
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    _run(["apt-get", "-q", "-y", *sandbox, *arguments], folder)


def _run(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise DebianError(f"{command[0]} failed:\n{last}")
