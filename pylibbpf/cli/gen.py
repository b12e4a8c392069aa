"""Write a typed Python module for a BPF object, for editors and mypy."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from pylibbpf.cli import DONE, FAILED, MISUSED, complain
from pylibbpf.cli.values import map_type
from pylibbpf.errors import Error
from pylibbpf.gen import write_module
from pylibbpf.loader.header import read_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf gen``."""
    parser.add_argument("object", metavar="OBJ", help="BPF object file (.bpf.o)")
    parser.add_argument(
        "-o", "--output", metavar="FILE.py", help="where the module goes (default: standard output)"
    )
    parser.add_argument(
        "--class", dest="name", metavar="NAME", help="the class of the object (default: its name)"
    )
    parser.add_argument(
        "--embed", action="store_true", help="put the object into the module, not its path"
    )
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="MAP=STRUCT",
        type=map_type,
        help="name the type of a map's records (repeatable)",
    )


def main(args: argparse.Namespace) -> int:
    """Write the module."""
    try:
        data = read_file(args.object)
    except OSError as error:
        complain(f"{args.object}: {error.strerror}")
        return FAILED
    folder = os.path.dirname(os.path.abspath(args.output)) if args.output else os.getcwd()
    source = None if args.embed else os.path.relpath(os.path.abspath(args.object), folder)
    try:
        text = write_module(data, args.object, name=args.name, source=source, types=dict(args.type))
    except ValueError as error:
        said = str(error)
        complain(said if said.startswith(f"{args.object}:") else f"{args.object}: {said}")
        return FAILED if isinstance(error, Error) else MISUSED
    if args.output is None:
        sys.stdout.write(text)
    else:
        try:
            _replace(Path(args.output), text)
        except OSError as error:
            complain(f"{args.output}: {error.strerror}")
            return FAILED
    return DONE


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all: a build that is interrupted leaves no half module."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
