"""Brings what the peers of the benchmark need, into the cache of set-up; nothing is committed.

BCC is installed with apt (as root); the headers that it compiles against, those of Debian's own
kernel, and everything else go into private folders.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import debpkg  # noqa: E402
import headers  # noqa: E402
from objects import cache  # noqa: E402

PYPI = "pylibbpf==0.0.6"
# Debian's Python, for which python3-bpfcc is built.
SYSTEM_PYTHON = "/usr/bin/python3"


class Missing(Exception):
    """A peer cannot be measured here; the text says why."""


def c_peer() -> Path:
    """The C peer, compiled and linked against this system's libbpf."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Missing("no C compiler (apt-get install gcc)")
    suite = headers.fetch("bookworm")
    target = cache() / "bench" / "c_peer"
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *(compiler, "-O2", "-Wall", "-o", str(target)),
            *(f"-I{folder}" for folder in suite.include),
            *(str(ROOT / "bench" / "peers" / "c_peer.c"), "-l:libbpf.so.1"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Missing(f"the C peer does not compile:\n{done.stderr}")
    return target


def pypi_peer() -> Path:
    """The Python of a virtual environment with PyPI's pylibbpf."""
    place = cache() / "bench" / "pypi"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        venv.create(place, clear=True, with_pip=True)
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", PYPI],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Missing(f"{PYPI} cannot be installed:\n{done.stderr[-500:]}")
        (place / "ready").touch()
    return python


def bcc_peer() -> Path:
    """The kernel headers that BCC compiles against, with BCC installed."""
    has = [SYSTEM_PYTHON, "-c", "import bcc"]
    if subprocess.run(has, capture_output=True, check=False).returncode:
        if os.geteuid():
            raise Missing("BCC is not installed (apt-get install python3-bpfcc)")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-bpfcc"]
        for each in (["apt-get", "update", "-qq"], command):
            subprocess.run(each, env=environment, capture_output=True, check=False)
        if subprocess.run(has, capture_output=True, check=False).returncode:
            raise Missing("python3-bpfcc could not be installed")
    return bcc_headers()


def bcc_headers() -> Path:
    """Debian's kernel headers, merged into one folder, as BCC wants them."""
    merged = cache() / "bench" / "linux-headers"
    if merged.is_dir():
        return merged
    names = subprocess.run(
        ["apt-cache", "depends", "linux-headers-amd64"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"linux-headers-(\S+)-amd64", names.partition("\n")[2])
    if found is None:
        raise Missing("no kernel headers for BCC: apt knows no linux-headers-amd64")
    common = f"linux-headers-{found[1]}-common"
    machine = f"linux-headers-{found[1]}-amd64"
    work = merged.with_suffix(".new")
    shutil.rmtree(work, ignore_errors=True)
    debpkg.unpack([common, machine], work, cache())
    sources = work / "usr" / "src"
    # The common part first: the machine's has generated files and the configuration.
    for part in (common, machine):
        for folder in ("include", "arch"):  # scripts and tools are links to another package
            shutil.copytree(sources / part / folder, work / "merged" / folder, dirs_exist_ok=True)
    (work / "merged").rename(merged)
    shutil.rmtree(work)
    return merged
