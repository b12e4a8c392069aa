#!/usr/bin/env python3
"""Builds the BPF objects of examples, tests and bench, and compares them with the manifest.

    objects.py                     build with the pinned compiler, write objects and manifest
    objects.py --check             build into a temporary folder and compare with what is committed
    objects.py --out DIR           build into DIR; nothing committed changes
    objects.py --clang clang-19    another compiler (needs --out: the manifest knows only one)

Equal sources give equal bytes in any folder. Objects carry BTF but no DWARF. libbpf's headers
come from Debian's libbpf-dev, unpacked into a private cache; they are never installed or committed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import debpkg
from strip import strip

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "tools" / "objects.json"
FOLDERS = ("examples", "tests/objects", "bench")
ZIG = "0.17.0"
HEADERS = "1:1.1.2-0+deb12u1"
FLAGS = (
    "-O2",
    "-g",
    "-mcpu=v3",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--clang", metavar="COMMAND", help="a compiler other than the pinned one")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the objects go")
    args = parser.parse_args()
    if args.clang and not args.out:
        parser.error("--clang needs --out: committed objects come from the pinned compiler only")

    headers = libbpf_headers()
    if args.check:
        with tempfile.TemporaryDirectory() as folder:
            return check(build(pinned_compiler(), headers, Path(folder)))
    compiler = other_compiler(args.clang) if args.clang else pinned_compiler()
    built = build(compiler, headers, args.out or ROOT)
    if not args.out:
        MANIFEST.write_text(json.dumps(manifest(built), indent=2, sort_keys=True) + "\n")
    print(f"{len(built)} objects in {args.out or 'their folders'}")
    return 0


def sources() -> list[Path]:
    """Every program, relative to the root."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).glob("*.bpf.c"))
    return sorted(path.relative_to(ROOT) for path in found)


def build(compiler: list[str], headers: Path, out: Path) -> dict[str, bytes]:
    """Compile everything; return object name -> bytes, which are also written below ``out``.

    The names are those of the sources: ``out`` gets the folders that the root has.
    """
    built = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in sources():
            target = Path(folder) / "object.o"
            subprocess.run(
                [
                    *compiler,
                    *FLAGS,
                    "-Iexamples/include",
                    f"-isystem{headers}",
                    f"-ffile-prefix-map={ROOT}=.",
                    f"-ffile-prefix-map={headers}=libbpf",
                    "-c",
                    str(source),
                    "-o",
                    str(target),
                ],
                cwd=ROOT,
                env={**os.environ, "PWD": str(ROOT), "ZIG_GLOBAL_CACHE_DIR": str(cache() / "zig")},
                check=True,
            )
            name = str(source)[:-1] + "o"
            built[name] = strip(target.read_bytes())
            place = out / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(built[name])
            if out != ROOT:  # beside their sources, as here: tests compare the two
                place.with_suffix(".c").write_bytes((ROOT / source).read_bytes())
    return built


def manifest(built: dict[str, bytes]) -> dict[str, Any]:
    return {
        "compiler": f"ziglang {ZIG}",
        "flags": list(FLAGS),
        "headers": f"libbpf-dev {HEADERS}",
        "objects": {
            name: {"object": digest(data), "source": source_digest(ROOT / (name[:-1] + "c"))}
            for name, data in built.items()
        },
    }


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def source_digest(source: Path) -> str:
    """The digest of a source and of our own headers, any of which it may include."""
    own = sorted((ROOT / "examples" / "include").rglob("*.h"))
    return digest(b"\0".join(path.read_bytes() for path in (source, *own)))


def check(built: dict[str, bytes]) -> int:
    """Compare a build with the committed objects and the manifest; return the exit status."""
    recorded = json.loads(MANIFEST.read_text())
    fresh = manifest(built)
    wrong = [f"manifest: {key} differs" for key in ("compiler", "flags", "headers")
             if recorded[key] != fresh[key]]  # fmt: skip
    for name in sorted(recorded["objects"].keys() | built.keys()):
        committed = ROOT / name
        if name not in built:
            wrong.append(f"{name}: has no source")
        elif name not in recorded["objects"] or not committed.exists():
            wrong.append(f"{name}: not committed")
        elif recorded["objects"][name] != fresh["objects"][name]:
            wrong.append(f"{name}: source and manifest do not belong together")
        elif committed.read_bytes() != built[name]:
            wrong.append(f"{name}: is not what its source compiles to")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        print("run: make objects", file=sys.stderr)
        return 1
    print(f"{len(built)} objects are what their sources compile to")
    return 0


def cache() -> Path:
    """Where what was fetched stays: with the virtual environment, or else in the clone."""
    place = Path(sys.prefix) if sys.prefix != sys.base_prefix else ROOT
    folder = place / ".cache"
    folder.mkdir(exist_ok=True)
    return folder


def pinned_compiler() -> list[str]:
    """The one compiler whose output is committed; fetched with pip on first use.

    It goes into the virtual environment, or, where this is none, into a folder of its own.
    """
    place = Path(sysconfig.get_path("purelib"))
    target: list[str] = []
    if sys.prefix == sys.base_prefix:
        place = cache() / f"ziglang-{ZIG}"
        target = ["--target", str(place)]
    if not (place / f"ziglang-{ZIG}.dist-info").is_dir():
        print(f"fetching ziglang {ZIG} (the compiler, 100 MB)", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *target, f"ziglang=={ZIG}"], check=True)
    return [str(place / "ziglang" / "zig"), "cc", "-target", "bpfel-freestanding"]


def other_compiler(command: str) -> list[str]:
    return [*shlex.split(command), "-target", "bpfel"]


def libbpf_headers() -> Path:
    """The folder that holds bpf/bpf_helpers.h, of the pinned version where it is to be had."""
    root = cache() / "libbpf-dev"
    folder = root / "usr" / "include"
    if not (folder / "bpf" / "bpf_helpers.h").exists():
        print("fetching libbpf's headers", file=sys.stderr, flush=True)
        try:
            debpkg.unpack([f"libbpf-dev={HEADERS}"], root, cache())
        except debpkg.DebianError as error:
            print(f"libbpf-dev {HEADERS}: {error}\ntaking another version", file=sys.stderr)
            debpkg.unpack(["libbpf-dev"], root, cache())
    return folder


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (debpkg.DebianError, OSError) as problem:
        sys.exit(f"objects: {problem}")
    except subprocess.CalledProcessError as problem:
        sys.exit(f"objects: {problem.cmd[0]} failed with status {problem.returncode}")
