"""Write the types in BTF as C (btf c), or tell what differs between two (btf diff)."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

from pylibbpf.btf.c_dump import c_header
from pylibbpf.btf.diff import KINDS, Change, Detail, Place, diff
from pylibbpf.btf.kept import VMLINUX
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Kind
from pylibbpf.cli import DONE, FAILED, MISUSED, complain
from pylibbpf.cli.btf_source import read_types
from pylibbpf.cli.output import replace
from pylibbpf.cli.values import plain
from pylibbpf.errors import BtfError, Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FILE = (
    "BTF (plain or compressed), an ELF file with .BTF (BPF object, vmlinux, module), or a bzImage"
)
_C = """\
The header has all types of FILE, each after those that it needs, in C that clang compiles for BPF
(-target bpf): sizes and offsets are those of FILE, and accesses are recorded for CO-RE. Types that
share a name get ___2, ___3 and so on behind it, which CO-RE ignores. Kernel functions that
programs may call (kfuncs) are declared as __ksym. Whoever includes it may define before

  BPF_NO_PRESERVE_ACCESS_INDEX  to do without CO-RE
  BPF_NO_KFUNC_PROTOTYPES       to declare kfuncs otherwise
"""
_DIFF = """\
Types are compared by name: their size, members (name, place, type), enumerators and prototypes. A
member's type has changed where it is called otherwise; what lies behind its name is told under that
name. Exit status: 0 no difference, 1 there are some, 2 a file cannot be read.

With --json, each line is a JSON object of one type:

  kind, name      "struct", "union", "enum", "typedef", "function" or "variable", and its name
  change          "added", "removed" or "changed"
  details         what differs: objects with "what" ("size", "member", "enumerator", "type",
                  "kind"), "name", "before" and "after" (null: not there). A member is an object
                  with "offset" and "bits" (of a bit-field, else 0), both in bits, and "type"; one
                  of a type without a name has a path (a.b, a[].b, a->b).
"""
_KINDS_ONE = ", ".join(KINDS)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs of ``pylibbpf btf``."""
    verbs = parser.add_subparsers(dest="btf_verb", required=True, metavar="VERB")

    def verb(name: str, summary: str, more: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name,
            help=summary,
            description=f"{summary}\n\n{more}",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    c = verb("c", "Write types as a C header: vmlinux.h.", _C)
    c.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        default=VMLINUX,
        help=f"{_FILE} (default: this kernel)",
    )
    c.add_argument(
        "--base",
        metavar="FILE",
        help="the kernel of a module (default for /sys/kernel/btf/MODULE: this kernel)",
    )
    c.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME",
        help="only this type (task_struct, 'struct task_struct') or kfunc, and what it needs "
        "(repeatable)",
    )
    c.add_argument(
        "-o", "--output", metavar="FILE.h", help="where the header goes (default: standard output)"
    )
    c.add_argument(
        "--guard",
        default="__VMLINUX_H__",
        metavar="NAME",
        help="the macro against including it twice (default: %(default)s)",
    )

    compare = verb(
        "diff", "Tell which types differ between two kernels, modules or objects.", _DIFF
    )
    for name in ("before", "after"):
        compare.add_argument(name, metavar=name.upper(), help=_FILE)
    compare.add_argument(
        "--base", nargs=2, metavar="FILE", default=(None, None), help="the kernels of two modules"
    )
    compare.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME",
        help="only types (functions, variables) of this name (repeatable)",
    )
    compare.add_argument(
        "--kind",
        action="append",
        choices=KINDS,
        metavar="KIND",
        help=f"only these (repeatable): {_KINDS_ONE}",
    )
    compare.add_argument("--names-only", action="store_true", help="only which, not what in them")
    compare.add_argument("--json", action="store_true", help="one JSON object per line")


def main(args: argparse.Namespace) -> int:
    """Run one of the verbs."""
    # Types refer to each other by number: there is nothing to collect, and looking for it among
    # a kernel's 100,000 types takes a fifth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _write(args) if args.btf_verb == "c" else _compare(args)
    finally:
        if collects:
            gc.enable()


def _problem(path: str, error: Error | OSError) -> None:
    if isinstance(error, OSError) and error.strerror:
        path = os.fsdecode(error.filename) if error.filename else path
        complain(plain(f"{path}: {error.strerror}"))
        return
    said = str(error)
    complain(plain(said if said.startswith(f"{path}: ") else f"{path}: {said}"))


# btf c


def _write(args: argparse.Namespace) -> int:
    if not (args.guard.isidentifier() and args.guard.isascii()):
        complain(f"--guard {plain(args.guard)!r} is no name of a macro")
        return MISUSED
    try:
        btf = read_types(args.file, args.base)
        ids: list[int] | None = None
        if args.type:
            ids = []
            for name in args.type:
                found = _named(btf, name)
                if not found:
                    complain(plain(f"{args.file}: no type {name!r}{_similar(btf, name)}"))
                    return FAILED
                ids += found
        text = c_header(btf, ids, guard=args.guard)
    except (Error, OSError) as error:
        _problem(args.file, error)
        return FAILED
    if args.output is None:
        sys.stdout.write(text)
        return DONE
    try:
        replace(Path(args.output), text.encode())
    except OSError as error:
        complain(f"{args.output}: {error.strerror}")
        return FAILED
    return DONE


_TAGS = {
    "struct": (Kind.STRUCT,),
    "union": (Kind.UNION,),
    "enum": (Kind.ENUM, Kind.ENUM64),
}
_TYPES = (Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.TYPEDEF)


def _named(btf: Btf, text: str) -> list[int]:
    """All types that may be called so in C; else the kfunc of that name."""
    word, _, name = text.strip().rpartition(" ")
    if word:
        return btf.find(name, *_TAGS[word.strip()]) if word.strip() in _TAGS else []
    return btf.find(name, *_TYPES) or btf.find(name, Kind.FUNC)[:1]


def _similar(btf: Btf, text: str) -> str:
    import difflib

    name = text.split()[-1] if text.split() else ""
    names = {found.name for _, found in btf.types(*_TYPES) if abs(len(found.name) - len(name)) < 3}
    close = difflib.get_close_matches(name, names - {""}, n=3, cutoff=0.8)
    return f"; there is {', '.join(close)}" if close else ""


# btf diff


def _compare(args: argparse.Namespace) -> int:
    sides = []
    for path, base in ((args.before, args.base[0]), (args.after, args.base[1])):
        try:
            sides.append(read_types(path, base))
        except (Error, OSError) as error:
            _problem(path, error)
            return MISUSED
    names = [name.split()[-1] for name in args.type if name.split()]
    for name in names:
        if not any(btf.find(name) for btf in sides):
            complain(plain(f"neither {args.before} nor {args.after} has a type {name!r}"))
            return MISUSED
    show = _as_json if args.json else _as_text
    status = DONE
    try:
        for change in diff(*sides, names=names, kinds=args.kind or KINDS):
            status = FAILED
            for line in show(change, args.names_only):
                print(line)
    except BtfError as error:
        complain(plain(str(error)))
        return MISUSED
    return status


def _as_json(change: Change, names_only: bool) -> Iterator[str]:
    told: dict[str, Any] = {
        "kind": change.kind,
        "name": change.name,
        "change": _word(change),
    }
    if not names_only:
        told["details"] = [
            {
                "what": each.what,
                "name": each.name,
                "before": _value(each.before),
                "after": _value(each.after),
            }
            for each in change.details
        ]
    yield json.dumps(told)


def _word(change: Change) -> str:
    return "changed" if change.before and change.after else "removed" if change.before else "added"


def _value(value: object) -> object:
    if isinstance(value, Place):
        return {"offset": value.offset, "bits": value.bits, "type": value.type}
    return value


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _as_text(change: Change, names_only: bool) -> Iterator[str]:
    sign = _SIGNS[_word(change)]
    about = [each for each in change.details if each.what in ("size", "type", "kind")]
    head = f"{sign} {change.kind} {change.name}"
    if names_only:
        yield plain(head)
        return
    # What a type is only in one of both, its name tells.
    facts = ", ".join(_fact(each) for each in about if sign == "~" or each.what != "kind")
    yield plain(f"{head}: {facts}" if facts else head)
    if sign != "~":
        return
    for line in _details([each for each in change.details if each not in about]):
        yield plain(f"    {line}")


def _fact(detail: Detail) -> str:
    there = [each for each in (detail.before, detail.after) if each is not None]
    return " -> ".join(map(str, there)) + (" bytes" if detail.what == "size" else "")


def _details(details: Iterable[Detail]) -> Iterator[str]:
    """Lines for members and enumerators; those that only moved, and by as much, share one."""
    run: list[Detail] = []
    for each in details:
        if run and _moved(each) != _moved(run[0]):
            yield _moves(run)
            run = []
        if _moved(each):
            run.append(each)
        elif each.before is None:
            yield f"+ {each.name}{_is(each.after)}"
        elif each.after is None:
            yield f"- {each.name}{_is(each.before)}"
        else:
            yield f"~ {each.name}{_is(each.before)} ->{_is(each.after).lstrip(':=')}"
    if run:
        yield _moves(run)


def _is(value: object) -> str:
    return f": {value}" if isinstance(value, Place) else f" = {value}"


def _moved(detail: Detail) -> int:
    """By how many bits a member has moved, where nothing else of it has changed."""
    was, becomes = detail.before, detail.after
    if not (isinstance(was, Place) and isinstance(becomes, Place)):
        return 0
    if (was.type, was.bits) != (becomes.type, becomes.bits):
        return 0
    return becomes.offset - was.offset


def _moves(run: list[Detail]) -> str:
    by = _moved(run[0])
    size = f"{abs(by) // 8} bytes" if not by % 8 else f"{abs(by)} bits"
    where = f"{size} {'later' if by > 0 else 'earlier'}"
    if len(run) == 1:
        return f"~ {run[0].name}: {where}{_at(run[0])}"
    return f"~ {run[0].name} to {run[-1].name}: {len(run)} members {where}{_at(run[0])}"


def _at(detail: Detail) -> str:
    assert isinstance(detail.before, Place)
    assert isinstance(detail.after, Place)
    return f" ({detail.before.where} -> {detail.after.where})"
