"""Packages of any Debian suite, fetched without root and without touching the host's lists.

apt-get keeps lists and archives of its own in a private folder, so that nothing of another suite
is ever installed or even known to the host. What it fetches is signed by Debian's archive key.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pylibbpf.guest.outcome import GuestError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class Found:
    """What a suite says of one package."""

    name: str
    version: str
    sha256: str
    size: int


class Suite:
    """One suite of Debian, with its lists in ``folder``.

    Raises:
        GuestError: this host has no apt, no key of Debian, or reaches no mirror.
    """

    def __init__(self, name: str, folder: Path) -> None:
        for tool in ("apt-get", "apt-cache", "dpkg"):
            if not shutil.which(tool):
                raise GuestError(
                    f"{tool} is missing: kernels are fetched as packages of Debian. Elsewhere, "
                    "use --kernel PATH with a kernel of this host"
                )
        if not KEYRING.exists():
            raise GuestError(f"{KEYRING} is missing: install debian-archive-keyring")
        self.name = name
        for sub in ("lists/partial", "cache/archives/partial"):
            (folder / sub).mkdir(parents=True)
        (folder / "status").touch()  # what the host has installed must not decide on versions
        source = folder / "source.list"
        source.write_text(f"deb [arch=amd64 signed-by={KEYRING}] {mirror()} {name} main\n")
        self._options = [
            *("-o", f"Dir::Etc::sourcelist={source}", "-o", "Dir::Etc::sourceparts=-"),
            *(
                "-o",
                f"Dir::State::Lists={folder / 'lists'}",
                "-o",
                f"Dir::Cache={folder / 'cache'}",
            ),
            *("-o", f"Dir::State::status={folder / 'status'}", "-o", "Debug::NoLocking=1"),
            *("-o", "APT::Architecture=amd64"),
        ]
        # As root, apt-get would fetch as user _apt, who may not write into a private folder.
        if os.geteuid() == 0:
            self._options += ["-o", "APT::Sandbox::User=root"]
        self._run("apt-get", "-q", "-y", "update", cwd=folder)

    def find(self, package: str) -> Found | None:
        """What the suite has under this name now; None if nothing."""
        text = self._run("apt-cache", "show", "--no-all-versions", package, fails=True)
        fields = dict(re.findall(r"^(Version|SHA256|Size): (.+)$", text, re.M))
        if not {"Version", "SHA256", "Size"} <= fields.keys():
            return None
        return Found(package, fields["Version"], fields["SHA256"], int(fields["Size"]))

    def depends(self, package: str) -> list[str]:
        """Names of the packages that a package depends on."""
        text = self._run("apt-cache", "depends", package, fails=True)
        return re.findall(r"^\s*Depends: (\S+)$", text, re.M)

    def download(self, package: str, version: str, into: Path) -> Path:
        """Fetch one package's archive.

        Raises:
            GuestError: apt-get failed, and why.
        """
        into.mkdir(exist_ok=True)
        before = set(into.iterdir())
        self._run("apt-get", "-q", "-y", "download", f"{package}={version}", cwd=into)
        made = set(into.iterdir()) - before
        if len(made) != 1:
            raise GuestError(f"apt-get download {package}={version} left {len(made)} files")
        return made.pop()

    def _run(self, tool: str, *arguments: str, cwd: Path | None = None, fails: bool = False) -> str:
        return command([tool, *self._options, *arguments], cwd=cwd, fails=fails)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a package's files below ``into``; none of its scripts is run."""
    command(["dpkg", "-x", str(archive), str(into)])


def command(words: Sequence[str], *, cwd: Path | None = None, fails: bool = False) -> str:
    """Run a tool, and return what it said; it may fail only with ``fails``."""
    done = subprocess.run(  # noqa: S603  # the host's own tools, by name
        words,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode and not fails:
        last = "\n".join(done.stdout.strip().splitlines()[-5:])
        raise GuestError(f"{words[0]} failed (status {done.returncode}):\n{last}")
    return done.stdout


def mirror(etc: Path = Path("/etc/apt")) -> str:
    """PYLIBBPF_DEBIAN_MIRROR, or the host's own mirror: the one that it is sure to reach.

    Raises:
        GuestError: neither is there.
    """
    named = os.environ.get("PYLIBBPF_DEBIAN_MIRROR")
    if named:
        return named
    for text in _source_lists(etc):
        for found in re.finditer(r"^(?:URIs:\s*|deb\s+(?:\[.*?\]\s*)?)(\S+)", text, re.M):
            if re.search(r"debian/?$", found[1]):  # not debian-security, not other archives
                return found[1]
    raise GuestError(
        f"no mirror of Debian stands in {etc}: set PYLIBBPF_DEBIAN_MIRROR to the address of one"
    )


def _source_lists(etc: Path) -> Iterator[str]:
    for path in (
        etc / "sources.list",
        *sorted(etc.glob("sources.list.d/*.sources")),
        *sorted(etc.glob("sources.list.d/*.list")),
    ):
        try:
            yield path.read_text()
        except OSError:
            continue  # one that is not there or not for this user names no mirror
