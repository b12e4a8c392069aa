"""Link objects with libbpf's own linker, what ``bpftool gen object`` is made of.

In a child process, which needs no privilege::

    libbpf_linker.py OUTPUT INPUT... [--libbpf PATH]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pylibbpf.engine.kernel import library as kernel_library

SECONDS = 60


class LinkerError(Exception):
    """libbpf refused to link; what it wrote."""


def link(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    libbpf: str | os.PathLike[str] | None = None,
) -> bytes:
    """Let libbpf link files into ``output``, and give the contents of that."""
    command = [sys.executable, "-E", __file__, os.fspath(output), *map(os.fspath, inputs)]
    if libbpf is not None:
        command += ["--libbpf", os.fspath(libbpf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        raise LinkerError(done.stderr)
    return Path(output).read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--libbpf", help="default: the one that pylibbpf uses here")
    args = parser.parse_args()
    if args.libbpf is None:  # this also loads what it needs, from wherever that is
        args.libbpf = kernel_library.path()
    library = ctypes.CDLL(args.libbpf, use_errno=True)
    library.bpf_linker__new.restype = ctypes.c_void_p
    linker = ctypes.c_void_p(library.bpf_linker__new(args.output.encode(), None))
    if not linker.value:
        sys.stderr.write(f"bpf_linker__new: {os.strerror(ctypes.get_errno())}\n")
        return 1
    for name in args.inputs:
        error = library.bpf_linker__add_file(linker, name.encode(), None)
        if error:
            sys.stderr.write(f"{name}: {os.strerror(-error)}\n")
            return 1
    error = library.bpf_linker__finalize(linker)
    if error:
        sys.stderr.write(f"finalize: {os.strerror(-error)}\n")
        return 1
    library.bpf_linker__free(linker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
