"""Write a typed Python module for a BPF object, or link several objects into one.

pylibbpf gen OBJ writes a module for editors and mypy. pylibbpf gen object OUTPUT INPUT... links,
as bpftool gen object does: functions, variables and maps that one input declares extern and
another defines become one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pylibbpf.cli import DONE, FAILED, MISUSED, complain
from pylibbpf.cli.output import replace
from pylibbpf.cli.values import map_type
from pylibbpf.errors import Error
from pylibbpf.gen import write_module
from pylibbpf.loader.header import read_file
from pylibbpf.loader.static_linker import link_objects

LINK = "object"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf gen``."""
    parser.usage = (
        "pylibbpf gen [-h] [-o FILE.py] [--class NAME] [--embed] [--type MAP=STRUCT] OBJ\n"
        "       pylibbpf gen object OUTPUT INPUT [INPUT ...]"
    )
    parser.add_argument("object", metavar="OBJ", help="BPF object file (.bpf.o)")
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="after the word 'object': where the linked object goes, then what to link",
    )
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
    """Write the module, or the linked object."""
    # Without files the word may still be the name of one.
    if args.files or (args.object == LINK and not os.path.exists(LINK)):
        return _link(args)
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
            replace(Path(args.output), text.encode("utf-8"))
        except OSError as error:
            complain(f"{args.output}: {error.strerror}")
            return FAILED
    return DONE


def _link(args: argparse.Namespace) -> int:
    if args.object != LINK:
        complain(f"one object has one module: what are {', '.join(args.files)} for?")
        return MISUSED
    if args.output is not None or args.name is not None or args.embed or args.type:
        complain("gen object links objects: options are for modules")
        return MISUSED
    output, *inputs = args.files or [""]
    if not inputs:
        complain("gen object OUTPUT INPUT...: there is no object to link")
        return MISUSED
    try:
        data = link_objects(inputs)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        return FAILED
    try:
        replace(Path(output), data)
    except OSError as error:
        complain(f"{output}: {error.strerror}")
        return FAILED
    return DONE
