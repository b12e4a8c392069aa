"""Tell on which kernels BPF objects load, from the kernels' BTF: nothing is loaded.

Needs neither libbpf nor any privilege. Exit status: 0 all objects load on all kernels, 1 some do
not, 2 a file cannot be read.

With ``--json``, standard output carries one JSON object per object and kernel and line, as they
are found out. Keys are stable; what there is not is null or an empty list.

``file``, ``kernel``, ``btf``
    The object's path, the kernel's name (from the path of its BTF) and the path of its BTF.
``ok``, ``error``
    Whether both could be read; if not, ``error`` says why and no other key is there.
``loads``
    Whether nothing is missing that loading needs.
``relocations``, ``resolved``
    How many CO-RE relocations the object has, and how many of them have an answer.
``problems``
    What is asked for and not there: ``verdict`` ("fails": the object does not load; "optional": a
    program of ``SEC("?...")`` does not; "attach": it loads, but cannot be attached; "guarded":
    the program checks before and never comes to it), ``what`` ("relocation", "helper", "kernel
    function", "variable", "target", "struct_ops", "map type", "program type", "attach type",
    "extern": what another object is to define, or "object": libbpf loads it on no kernel),
    ``name``, ``message``, ``programs`` (which it stops, or which check; empty: the whole object),
    ``function`` and ``insn`` (where in the code, counted in the function), ``file``, ``line``,
    ``text`` (the C line); of relocations also ``kind``, ``type``, ``access``, ``path`` (as
    ``pylibbpf inspect`` has them) and ``candidates`` (the kernel's types that were looked at).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from pylibbpf.cli import DONE, FAILED, MISUSED, complain
from pylibbpf.cli.values import plain
from pylibbpf.errors import Error
from pylibbpf.loader.portability import Portability, portability
from pylibbpf.loader.problem import Problem, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONGEST = 512
_NAMED = 4  # kernels, programs and types that are named, before the others are counted
_PLACES = 8  # the same of lines of C, and of what asks in one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf portability``."""
    parser.add_argument("objects", nargs="+", metavar="OBJ", help="BPF object file (.bpf.o)")
    parser.add_argument(
        "--btf",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="BTF, a vmlinux, an archive of BTF, or a folder of these (default: this kernel's)",
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="use N processes (default: 1; 0: one for each CPU)",
    )
    parser.add_argument(
        "--all", action="store_true", help="show what programs check for themselves, too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def _jobs(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes (1, 2, ...; 0)")
    return number or len(os.sched_getaffinity(0))


def main(args: argparse.Namespace) -> int:
    """Print what becomes of each object on each kernel."""
    status = DONE
    found: dict[str, list[Portability]] = {path: [] for path in args.objects}
    told = set()
    try:
        for each in portability(args.objects, args.btf, jobs=args.jobs):
            if each.error is not None:
                status = MISUSED
                if (each.path, each.error) not in told:
                    told.add((each.path, each.error))
                    sys.stdout.flush()
                    complain(f"{plain(each.path)}: {plain(each.error)}")
            elif not each.loads:
                status = max(status, FAILED)
            if args.json:
                print(json.dumps(facts(each)), flush=True)
            else:
                found[each.object].append(each)
    except Error as error:
        complain(plain(str(error)))
        return MISUSED
    except OSError as error:
        if error.filename is None:
            raise
        complain(plain(f"{error.filename}: {error.strerror}"))
        return MISUSED
    if not args.json:
        for number, (path, results) in enumerate(found.items()):
            print("\n" * bool(number) + "\n".join(map(plain, describe(path, results, args.all))))
    return status


def facts(result: Portability) -> dict[str, Any]:
    """Gather all that is said of one object and kernel, as the module's docstring lists it."""
    about = {"file": result.object, "kernel": result.kernel, "btf": result.path}
    if result.error is not None:
        return {**about, "ok": False, "error": result.error}
    return {
        **about,
        "ok": True,
        "error": None,
        "loads": result.loads,
        "relocations": result.relocations,
        "resolved": result.resolved,
        "problems": [_problem(each) for each in result.problems],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    relocation, line = problem.relocation, problem.line
    return {
        "verdict": problem.verdict.value,
        "what": problem.what,
        "name": problem.name[:_LONGEST],
        "message": problem.message[:_LONGEST],
        "programs": list(problem.programs),
        "function": problem.function,
        "insn": problem.insn,
        "file": line.file[-_LONGEST:] if line is not None else None,
        "line": line.number if line is not None else None,
        "text": line.text.strip()[:_LONGEST] if line is not None else None,
        "kind": relocation.kind.value if relocation is not None else None,
        "type": relocation.type_name[:_LONGEST] if relocation is not None else None,
        "access": relocation.access if relocation is not None else None,
        "path": relocation.path[:_LONGEST] if relocation is not None else None,
        "candidates": [name[:_LONGEST] for name in problem.candidates],
    }


_TITLES = {
    Verdict.FAILS: "It does not load:",
    Verdict.OPTIONAL: "Programs that are loaded only when asked for, and then fail:",
    Verdict.ATTACH: "It loads, but cannot be attached:",
    Verdict.GUARDED: "Not there, but the program checks and does without:",
}


def describe(path: str, results: list[Portability], everything: bool = False) -> Iterator[str]:
    """Turn the results for one object into lines for people: a table, and what is missing."""
    loads = sum(each.loads for each in results)
    on = f"all {loads}" if loads == len(results) and loads > 1 else f"{loads} of {len(results)}"
    yield f"{path}: loads on {on} kernel{'s' * (len(results) != 1)}"
    yield ""
    width = min(60, max((len(each.kernel) for each in results), default=0))
    for each in results:
        yield f"  {each.kernel:<{width}}  {_word(each):<13}  {_notes(each)}".rstrip()
    for verdict, title in _TITLES.items():
        if verdict is Verdict.GUARDED and not everything:
            continue
        missing: dict[tuple[str, str], list[tuple[Portability, Problem]]] = {}
        for each in results:
            for problem in each.problems:
                if problem.verdict is verdict:
                    missing.setdefault(_key(problem), []).append((each, problem))
        if missing:
            yield ""
            yield title
        for found in missing.values():
            yield from _about(found, len(results))


def _word(result: Portability) -> str:
    if result.error is not None:
        return "unreadable"
    return "loads" if result.loads else "does not load"


def _notes(result: Portability) -> str:
    notes = []
    if result.relocations:
        notes.append(f"CO-RE {result.resolved} of {result.relocations}")
    for verdict, text in (
        (Verdict.FAILS, "{} missing"),
        (Verdict.ATTACH, "{} cannot be attached"),
        (Verdict.OPTIONAL, "{} in optional programs"),
        (Verdict.GUARDED, "{} checked for"),
    ):
        count = len({_key(each) for each in result.problems if each.verdict is verdict})
        if count:
            notes.append(text.format(count))
    return ", ".join(notes)


def _key(problem: Problem) -> tuple[str, str]:
    return problem.name, problem.message


def _about(found: list[tuple[Portability, Problem]], count: int) -> Iterator[str]:
    """One thing that is missing: where it is asked for, and on which kernels."""
    first = found[0][1]
    yield ""
    yield f"  {first.message}"
    if first.relocation is not None:
        kinds = dict.fromkeys(p.relocation.kind.value for _, p in found if p.relocation is not None)
        yield f"    asked for: {', '.join(kinds)} of {first.name}"
        if first.candidates:
            yield f"    looked at: {', '.join(first.candidates[:_NAMED])}"
    places: dict[str, dict[str, None]] = {}
    for _, problem in found:
        place = places.setdefault(_line(problem), {})
        if problem.programs:
            place[_who(problem)] = None
    for line, who in list(places.items())[:_PLACES]:
        if line:
            yield f"    {line}"
        shown = list(who)[:_PLACES]
        for each in shown:
            yield f"    {'  ' * bool(line)}{each}"
        if len(who) > len(shown):
            yield f"    {'  ' * bool(line)}and {len(who) - len(shown)} more"
    if len(places) > _PLACES:
        yield f"    and {len(places) - _PLACES} more lines"
    if count > 1:
        kernels = dict.fromkeys((each.kernel, each.path) for each, _ in found)
        yield f"    on {_kernels([name for name, _ in kernels], count)}"


def _line(problem: Problem) -> str:
    line = problem.line
    if line is None:
        return ""
    text = line.text.strip()[:_LONGEST]
    return f"{line.file[-_LONGEST:]}:{line.number}: {text}".rstrip(": ")


def _who(problem: Problem) -> str:
    names = ", ".join(problem.programs[:_NAMED])
    more = len(problem.programs) - _NAMED
    text = f"program{'s' * (len(problem.programs) > 1)} {names}"
    if more > 0:
        text += f" and {more} more"
    if problem.function is not None and problem.insn is not None:
        of = "" if problem.programs == (problem.function,) else f" of {problem.function}"
        text += f", instruction {problem.insn}{of}"
    return text


def _kernels(names: Iterable[str], count: int) -> str:
    names = list(names)
    if len(names) == count:
        return f"all {count} kernels"
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
