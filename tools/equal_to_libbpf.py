#!/usr/bin/env python3
"""Compares what our loader and a libbpf make of BPF objects, instruction by instruction.

    equal_to_libbpf.py PATH... [--libbpf PATH] [--btf FILE] [--json] [--all]

PATH is an object or a folder of objects (``*.o``, with the folders below). Each is given to libbpf
as far as the first BPF_PROG_LOAD, with all programs (tests/differential/libbpf_load.py: nothing is
loaded), and relocated by our loader. What is not equal is printed, with the first difference of
each program; then the counts. ``--all`` prints a line for each object. Exit status 1 if anything
differs. Needs root.

``--libbpf`` is the library to compare with (default: PYLIBBPF_LIBBPF, or the system's), ``--btf``
the types that CO-RE is resolved against on both sides (default: this kernel's).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def objects(paths: Sequence[Path]) -> Iterator[Path]:
    """List the objects named, and those in the folders named."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*.o") if each.is_file())
        else:
            yield path


def main() -> int:
    equality = importlib.import_module("differential.equality")  # found by the path set above
    doc = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=doc[0], epilog="See the head of the file.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--libbpf", help="the library to compare with")
    parser.add_argument("--btf", help="the types for CO-RE (default: this kernel's)")
    parser.add_argument("--json", action="store_true", help="one line of JSON per object")
    parser.add_argument("--all", action="store_true", help="a line for each object")
    parser.add_argument("--workers", type=int, help="how many at a time (default: CPUs)")
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    programs = insns = maps = 0
    bad = False
    for each in equality.compare_all(
        objects(args.paths), libbpf=args.libbpf, btf=args.btf, workers=args.workers
    ):
        bad |= not each.verdict.good
        counts[each.verdict.value] += 1
        programs, insns, maps = programs + each.programs, insns + each.insns, maps + each.maps
        if args.json:
            print(json.dumps({**dataclasses.asdict(each), "verdict": each.verdict.value}))
        elif args.all or not each.verdict.good:
            print(f"{each.path}: {each.verdict.value}")
            for line in each.detail.splitlines():
                print(f"    {line}")
    if not args.json:
        total = sum(counts.values())
        print(f"{total} objects: {programs} programs, {insns} instructions, {maps} maps")
        for word, count in counts.most_common():
            print(f"{count:6} {word}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
