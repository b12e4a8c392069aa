#!/usr/bin/env python3
"""Fetches libbpf's and the kernel's headers of several Debian suites, to compare with our own.

    headers.py [SUITE ...]         default: bookworm, bookworm-backports, sid
    headers.py --library SUITE     print the path of the suite's libbpf, and nothing else
    headers.py --runtime SUITE     the same, of one with the C library and the rest that it needs

prints where they lie. They are unpacked below the cache (see objects.py), never installed and
never committed. libbpf itself comes along, for the version of each function in its symbol table,
and for tests with another libbpf than the system's (PYLIBBPF_LIBBPF).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import debpkg
from objects import cache

SUITES = ("bookworm", "bookworm-backports", "sid")  # libbpf 1.1, 1.4, 1.7 (November 2026)
PACKAGES = ("libbpf-dev", "libbpf1", "linux-libc-dev")
# libbpf of a suite that may have a newer C library than the host, and all that it is linked with. A
# process that was started with the ld.so beside it can load it.
RUNTIME = ("libbpf1", "libc6", "libelf1t64", "zlib1g", "libzstd1")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Headers:
    """What one suite has."""

    suite: str
    root: Path

    @property
    def include(self) -> tuple[Path, ...]:
        """Folders for the compiler's -I: libbpf's, the kernel's, the machine's asm/."""
        usr = self.root / "usr" / "include"
        return (usr, *sorted(path.parent for path in usr.glob("*-linux-gnu*/asm")))

    @property
    def library(self) -> Path | None:
        """The libbpf of the suite. Only of this Debian's own suites can it be loaded.

        Another's may need a newer C library.
        """
        return next(iter(sorted(self.root.glob("usr/lib/**/libbpf.so.1.*"))), None)

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version of libbpf."""
        text = (self.root / "usr/include/bpf/libbpf_version.h").read_text()
        found = dict(re.findall(r"#define LIBBPF_(MAJOR|MINOR)_VERSION (\d+)", text))
        return int(found["MAJOR"]), int(found["MINOR"])


def fetch(suite: str) -> Headers:
    """The headers of a suite, from the cache or else from Debian.

    Raises: debpkg.DebianError.
    """
    return Headers(suite, _unpacked(suite, "headers", PACKAGES))


def runtime(suite: str) -> Path:
    """The libbpf of a suite, with an ld.so and a C library that it runs with beside it.

    Raises: debpkg.DebianError.
    """
    root = _unpacked(suite, "runtime", RUNTIME)
    found = sorted(root.glob("usr/lib/**/libbpf.so.1"))
    if not found:
        raise debpkg.DebianError(f"{suite} has no libbpf.so.1")
    return found[0]


def _unpacked(suite: str, what: str, packages: Sequence[str]) -> Path:
    place = cache() / what
    root = place / suite
    if not root.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            work = Path(folder)
            _download(suite, work, packages)
            # Two runs at a time are possible: the folder appears whole, or not at all.
            (work / "unpacked").rename(root)
    return root


def _download(suite: str, work: Path, packages: Sequence[str]) -> None:
    if not debpkg.available():
        raise debpkg.DebianError("this is no Debian: apt-get or dpkg is missing")
    for folder in ("lists/partial", "cache/archives/partial", "archives", "unpacked"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()  # what the host has installed must not decide on versions
    source = work / "source.list"
    source.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    options = [
        *("-o", f"Dir::Etc::sourcelist={source}", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State::Lists={work / 'lists'}", "-o", f"Dir::Cache={work / 'cache'}"),
        *("-o", f"Dir::State::status={work / 'status'}", "-o", "Debug::NoLocking=1"),
    ]
    archives = work / "archives"
    debpkg._apt([*options, "update"], str(archives))
    debpkg._apt([*options, "download", *packages], str(archives))
    for archive in sorted(archives.glob("*.deb")):
        debpkg._run(["dpkg", "-x", str(archive), str(work / "unpacked")], str(archives))


def _mirror() -> str:
    """The host's own Debian mirror: the only one that it is sure to reach."""
    for text in _source_lists():
        found = re.search(r"^URIs:\s*(\S+)", text, re.M) or re.search(
            r"^deb\s+(?:\[.*?\]\s*)?(\S+)", text, re.M
        )
        if found and "debian" in found[1] and "security" not in found[1]:
            return found[1]
    raise debpkg.DebianError("found no source entry of Debian below /etc/apt")


def _source_lists() -> Iterator[str]:
    etc = Path("/etc/apt")
    for path in (
        etc / "sources.list",
        *sorted(etc.glob("sources.list.d/*.sources")),
        *sorted(etc.glob("sources.list.d/*.list")),
    ):
        try:
            yield path.read_text()
        except OSError:
            continue


def main() -> int:
    if sys.argv[1:2] in (["--library"], ["--runtime"]):
        if len(sys.argv) != 3:
            raise debpkg.DebianError(f"{sys.argv[1]} takes one suite")
        suite = sys.argv[2]
        library = runtime(suite) if sys.argv[1] == "--runtime" else fetch(suite).library
        if library is None:
            raise debpkg.DebianError(f"{suite} has no libbpf.so.1")
        print(library)
        return 0
    for suite in sys.argv[1:] or SUITES:
        headers = fetch(suite)
        print(f"{suite}: libbpf {'.'.join(map(str, headers.version))} in {headers.root}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (debpkg.DebianError, OSError) as problem:
        sys.exit(f"headers: {problem}")
