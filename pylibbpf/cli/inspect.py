"""Show what is in BPF object files, without loading them.

Needs neither libbpf nor any privilege, and reads old objects too (``SEC("maps")``, no BTF).

With ``--json``, standard output carries one JSON object per file and line. Keys are stable and
always there; what a file does not have is null or an empty list.

``file``
    The path as given.
``ok``, ``error``
    Whether the file could be read; if not, ``error`` says why and no other key is there.
``license``, ``version``
    The contents of these sections.
``btf``, ``dwarf``
    Whether the object has type information, and whether it has debug information.
``programs``
    ``name``, ``section``, ``type`` (the kernel's name in lower case, null where the section
    does not tell), ``attach_type`` (the same, null where the kernel is told none at load),
    ``flags`` (of BPF_PROG_LOAD, by name), ``auto_attach`` (the section says all that attaching
    needs), ``optional`` (``?`` before the section: loaded only when asked for), ``libbpf`` and
    ``kernel`` (the first versions that know the section's name and offer its hook, "5.10" for that
    one and those before it; null for a section that libbpf does not know), ``insns`` (its own),
    ``linked_insns`` (with the functions it uses), ``functions`` (their names, in the order of
    linking), ``maps`` (names it refers to), ``line`` (where it starts: ``file``, ``line``).
``functions``
    Functions that are not programs: ``name``, ``section``, ``insns``, ``linkage``.
``maps``
    ``name``, ``kind`` ("btf", "legacy", "data", "struct_ops"), ``section``, ``type`` (as above, or
    a number), ``key_size``, ``value_size``, ``max_entries``, ``flags``, ``map_extra``,
    ``numa_node``, ``pinning``, ``key``, ``value`` (C types, or null), ``inner`` (the map that is
    the template of a map of maps, or null), ``values`` (``[[index, name], ...]``), ``record``
    (for ring and perf buffers that a program sends to: ``type``, ``rule`` as in
    :mod:`pylibbpf.events`, ``size``, ``fields`` (``[[name, C type], ...]``), ``hint``; else null).
``globals``
    ``name``, ``section``, ``offset``, ``size``, ``type``, ``linkage``, ``value`` (the initial one;
    null where the type is not known, or cannot be, or the variable has over 4096 bytes).
``externs``
    ``name``, ``kind`` ("config", "variable", "function"), ``type``, ``weak``; with ``--btf``
    also ``found`` (whether that kernel has it with this type; null where BTF does not tell, or
    without ``--btf``) and ``problem`` (why not, or null).
``core_relocations``
    ``program`` (or function), ``insn``, ``kind``, ``type``, ``access``, ``path`` (``access`` in C),
    ``file``, ``line``, ``text`` (the C line, or null).

With ``--relocated`` comes what a loader would give the kernel instead, as
:mod:`pylibbpf.cli.relocated` lists it.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from pylibbpf.btf.codec import codec, to_json
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Struct, Union
from pylibbpf.cli import DONE, FAILED, MISUSED, complain, relocated
from pylibbpf.cli.relocated import attach_type, flags, release
from pylibbpf.cli.values import map_type, plain, show
from pylibbpf.errors import BtfError, Error
from pylibbpf.events import RecordType, record_type
from pylibbpf.isa.calls import OutputCall
from pylibbpf.loader.header import read_file
from pylibbpf.loader.kernel import Kernel
from pylibbpf.loader.link import Linker, sending_calls
from pylibbpf.loader.needs import missing_externs
from pylibbpf.loader.object import read
from pylibbpf.loader.releases import NEWEST
from pylibbpf.spec import (
    CoreRelocation,
    ExternKind,
    FunctionSpec,
    GlobalSpec,
    MapKind,
    MapSpec,
    ObjectSpec,
    ReferenceKind,
)
from pylibbpf.uapi.attaching import attaches_itself
from pylibbpf.uapi.enums import MapType
from pylibbpf.uapi.sections import program_type, section

# What an honest object never reaches; the others are kept from filling a disk.
_LARGEST_VALUE = 4096
_ALL_VALUES = 1 << 20
_LONGEST = 512
_PINNING = {0: None, 1: "by name"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``pylibbpf inspect``."""
    parser.add_argument("objects", nargs="+", metavar="OBJ", help="BPF object file (.bpf.o)")
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line")
    parser.add_argument(
        "--relocated",
        action="store_true",
        help="show the instructions that a loader would give this kernel, or that of --btf",
    )
    parser.add_argument(
        "--btf", metavar="FILE", help="the BTF of a kernel, to look up what the object needs of it"
    )
    parser.add_argument(
        "--program", metavar="NAME", help="with --relocated: this program alone (default: all)"
    )
    parser.add_argument(
        "--libbpf",
        metavar="X.Y",
        type=release,
        help="with --relocated: do as that release of libbpf, from 1.1 on (default: the newest)",
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
    """Print each object; the status is 1 if one could not be read, or not relocated."""
    for option in ("program", "libbpf"):
        if getattr(args, option) is not None and not args.relocated:
            complain(f"--{option} goes with --relocated")
            return MISUSED
    status = DONE
    kernel = None
    if args.btf is not None:
        try:
            kernel = relocated.kernel(args.btf)
        except (Error, OSError) as error:
            complain(plain(f"{args.btf}: {_said(error).removeprefix(f'{args.btf}: ')}"))
            return FAILED
    for number, path in enumerate(args.objects):
        try:
            if args.relocated:
                facts = relocated.relocated(
                    path, kernel, args.btf, args.program, libbpf=args.libbpf or NEWEST
                )
                lines = relocated.describe(facts)
            else:
                facts = inspect(path, dict(args.type), kernel)
                lines = describe(facts)
        except (Error, OSError) as error:
            status = FAILED
            sys.stdout.flush()
            complain(f"{plain(path)}: {plain(_said(error))}")
            if args.json:
                print(json.dumps({"file": path, "ok": False, "error": _said(error)}))
            continue
        if args.json:
            print(json.dumps({key: each for key, each in facts.items() if key != "relocated"}))
        else:
            print("\n" * bool(number) + "\n".join(plain(line) for line in lines))
    return status


def _said(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def inspect(
    path: str, types: dict[str, str] | None = None, kernel: Kernel | None = None
) -> dict[str, Any]:
    """Gather all that is said of one object file, as the module's docstring lists it.

    Externs are looked up in ``kernel``, where there is one.

    Raises:
        ElfError, BtfError: the file is no BPF object, or a broken one.
        OSError: it cannot be read.
    """
    data = read_file(path)
    spec = read(data)
    calls = [call for call, _, _ in sending_calls(spec)]
    linker = Linker(spec)
    return {
        "file": path,
        "ok": True,
        "license": spec.license,
        "version": spec.version,
        "btf": spec.btf is not None,
        "dwarf": spec.has_dwarf,
        "programs": [_program(linker, program) for program in spec.programs],
        "functions": [
            {
                "name": function.name,
                "section": function.section,
                "insns": function.insn_count,
                "linkage": function.linkage,
            }
            for function in spec.functions
            if not function.program
        ],
        "maps": [_map(spec, some, calls, data, types or {}) for some in spec.maps],
        "globals": list(_globals(spec)),
        "externs": list(_externs(spec, kernel)),
        "core_relocations": [
            _core(function, relocation)
            for function in spec.functions
            for relocation in function.core
        ],
    }


def _externs(spec: ObjectSpec, kernel: Kernel | None) -> Iterator[dict[str, Any]]:
    told = kernel is not None and kernel.whole and spec.btf is not None
    missing = missing_externs(spec, kernel) if kernel is not None else {}
    for extern in spec.externs:
        known = told and extern.kind is not ExternKind.CONFIG and extern.type_id is not None
        yield {
            "name": extern.name,
            "kind": extern.kind.value,
            "type": _c_name(spec.btf, extern.type_id),
            "weak": extern.weak,
            "found": extern.name not in missing if known else None,
            "problem": missing.get(extern.name),
        }


def _program(linker: Linker, program: FunctionSpec) -> dict[str, Any]:
    kind = program_type(program.section)
    functions = linker.used(program)
    maps = {
        reference.target
        for function in functions
        for reference in function.references
        if reference.kind in (ReferenceKind.MAP, ReferenceKind.DATA)
    }
    line = program.line(0)
    row = section(program.section)
    return {
        "name": program.name,
        "section": program.section,
        "type": kind.name.lower() if kind is not None else None,
        "attach_type": attach_type(row.attach_type) if row is not None else None,
        "flags": flags(row.flags) if row is not None else [],
        "auto_attach": attaches_itself(program.section),
        "optional": program.optional,
        "libbpf": _version(row.libbpf) if row is not None else None,
        "kernel": _version(row.kernel) if row is not None else None,
        "insns": program.insn_count,
        "linked_insns": sum(function.insn_count for function in functions),
        "functions": [function.name for function in functions[1:]],
        "maps": sorted(maps),
        "line": {"file": line.file, "line": line.number} if line is not None else None,
    }


def _version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _map(
    spec: ObjectSpec,
    some: MapSpec,
    calls: Iterable[OutputCall],
    data: bytes,
    types: dict[str, str],
) -> dict[str, Any]:
    return {
        "name": some.name,
        "kind": some.kind.value,
        "section": some.section,
        "type": _map_kind(some.type),
        "key_size": some.key_size,
        "value_size": some.value_size,
        "max_entries": some.max_entries,
        "flags": some.flags,
        "map_extra": some.map_extra,
        "numa_node": some.numa_node,
        "pinning": _PINNING.get(some.pinning, some.pinning),
        "key": _c_name(spec.btf, some.key_type_id),
        "value": _c_name(spec.btf, some.value_type_id),
        "inner": _map(spec, some.inner, (), b"", {}) if some.inner is not None else None,
        "values": [[index, name] for index, name in some.values],
        "record": _record(spec, some, calls, data, types),
    }


def _map_kind(number: int) -> str | int:
    try:
        return MapType(number).name.lower()
    except ValueError:
        return number


def _record(
    spec: ObjectSpec,
    some: MapSpec,
    calls: Iterable[OutputCall],
    data: bytes,
    types: dict[str, str],
) -> dict[str, Any] | None:
    """The record type of a ring or perf buffer; None for one that nobody sends to."""
    if some.type not in (MapType.RINGBUF, MapType.PERF_EVENT_ARRAY):
        return None
    user = types.get(some.name)
    sent = any(call.map in (some.name, None) for call in calls)
    found = record_type(some.name, user=user, btf=spec.btf, calls=calls, elf=lambda: data)
    if not sent and found.codec is None:
        return None
    return {
        "type": found.name,
        "rule": found.rule.value,
        "size": found.codec.size if found.codec is not None else None,
        "fields": _fields(found),
        "hint": found.hint,
    }


def _fields(found: RecordType) -> list[list[str]]:
    if found.found is None:
        return []
    btf, type_id = found.found
    struct = btf.strip(type_id)
    if not isinstance(struct, (Struct, Union)):
        return []
    return [[member.name, btf.c_name(member.type_id)] for member in struct.members]


def _globals(spec: ObjectSpec) -> Iterator[dict[str, Any]]:
    left = _ALL_VALUES
    for variable in spec.globals:
        shown = variable.size <= min(left, _LARGEST_VALUE)
        left -= variable.size if shown else 0
        yield {
            "name": variable.name,
            "section": variable.section,
            "offset": variable.offset,
            "size": variable.size,
            "type": _c_name(spec.btf, variable.type_id),
            "linkage": variable.linkage,
            "value": to_json(_initial(spec, variable)) if shown else None,
        }


def _initial(spec: ObjectSpec, variable: GlobalSpec) -> Any:
    if spec.btf is None or variable.type_id is None:
        return None
    try:
        return codec(spec.btf, variable.type_id).decode(spec.initial(variable))
    except (BtfError, ValueError):
        return None  # a type that no codec can be made of is still worth listing


def _c_name(btf: Btf | None, type_id: int | None) -> str | None:
    if btf is None or type_id is None:
        return None
    name = btf.c_name(type_id)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."


def _core(function: FunctionSpec, relocation: CoreRelocation) -> dict[str, Any]:
    line = function.line(relocation.insn)
    return {
        "program": function.name,
        "insn": relocation.insn,
        "kind": relocation.kind.value,
        "type": relocation.type_name,
        "access": relocation.access,
        "path": relocation.path,
        "file": line.file[-_LONGEST:] if line is not None else None,
        "line": line.number if line is not None else None,
        "text": line.text.strip()[:_LONGEST] if line is not None else None,
    }


def describe(facts: dict[str, Any]) -> Iterator[str]:
    """Turn the facts into lines for people, section by section; empty ones are left out."""
    yield facts["file"]
    has = [f"license {facts['license']}" if facts["license"] else "no license"]
    has.append("BTF" if facts["btf"] else "no BTF")
    has.append("DWARF" if facts["dwarf"] else "no DWARF")
    yield f"  {', '.join(has)}"
    for title, rows in (
        ("Programs", _program_rows(facts)),
        ("Functions", _function_rows(facts)),
        ("Maps", _map_rows(facts)),
        ("Records", _record_rows(facts)),
        ("Global variables", _global_rows(facts)),
        ("Needed from the kernel", _extern_rows(facts)),
        ("Needed from another object, to be linked with this one", _part_rows(facts)),
        ("Kernel types looked up at load (CO-RE)", _core_rows(facts)),
    ):
        lines = _columns(rows)
        if lines:
            yield ""
            yield title
            yield from lines


def _columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Align all cells but the last of each row; columns stay within reason."""
    table = list(rows)
    widths: dict[int, int] = {}
    for row in table:
        for column, cell in enumerate(row[:-1]):
            widths[column] = min(44, max(widths.get(column, 0), len(cell)))
    return [
        "  " + "  ".join(
            [cell.ljust(widths[column]) for column, cell in enumerate(row[:-1])] + [row[-1]]
        ).rstrip()
        for row in table
    ]  # fmt: skip


def _program_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for program in facts["programs"]:
        count = f"{program['linked_insns']} insns"
        notes = []
        if program["optional"]:
            notes.append("optional")
        if not program["auto_attach"]:
            notes.append("does not attach by itself")
        kind = program["type"] or "type not told by the section"
        if program["attach_type"]:
            kind += f" ({program['attach_type']})"
        notes += program["flags"]
        if program["kernel"] not in (None, "5.10"):
            notes.append(f"from Linux {program['kernel']} on")
        if program["libbpf"] not in (None, "1.0"):
            notes.append(f"libbpf {program['libbpf']}")
        if program["functions"]:
            notes.append(f"uses {', '.join(program['functions'])}")
        yield program["name"], program["section"], kind, count, ", ".join(notes)


def _function_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for function in facts["functions"]:
        yield function["name"], function["section"], f"{function['insns']} insns"


def _map_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for some in facts["maps"]:
        yield some["name"], str(some["type"]), _map_contents(some), _map_notes(some)
        if some["inner"] is not None:
            inner = some["inner"]
            yield "  of", str(inner["type"]), _map_contents(inner), _map_notes(inner)


def _map_contents(some: dict[str, Any]) -> str:
    if some["type"] in ("ringbuf", "user_ringbuf"):
        return _amount(some["max_entries"]) if some["max_entries"] else "size set at load"
    if some["kind"] == MapKind.DATA.value:
        return _amount(some["value_size"])
    key = some["key"] or (f"{some['key_size']} bytes" if some["key_size"] else "")
    value = some["value"] or (f"{some['value_size']} bytes" if some["value_size"] else "")
    return f"{key} -> {value}" if key and value else key or value


def _map_notes(some: dict[str, Any]) -> str:
    notes = []
    if some["kind"] not in (MapKind.DATA.value, MapKind.STRUCT_OPS.value):
        if some["type"] not in ("ringbuf", "user_ringbuf") and some["max_entries"]:
            notes.append(f"{some['max_entries']} entries")
        if some["flags"]:
            notes.append(f"flags {some['flags']:#x}")
    if some["pinning"]:
        notes.append(f"pinned {some['pinning']}")
    if some["kind"] == MapKind.LEGACY.value:
        notes.append("legacy definition")
    if some["values"]:
        shown = [f"{index}: {name}" for index, name in some["values"][:8]]
        more = ", ..." if len(some["values"]) > len(shown) else ""
        notes.append(f"{{{', '.join(shown)}{more}}}")
    return ", ".join(notes)


def _amount(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and not size % unit:
            return f"{size // unit} {name}"
    return f"{size} bytes"


_RULES = {
    "user": "as you said",
    "convention": "said by the map's definition",
    "dwarf": "found by DWARF",
    "value": "from the map whose values are sent",
    "size": "inferred: the only struct of that size",
    "bytes": "not known",
}


def _record_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for some in facts["maps"]:
        record = some["record"]
        if record is None:
            continue
        size = f", {record['size']} bytes" if record["size"] is not None else ""
        yield some["name"], f"{record['type']} ({_RULES[record['rule']]}{size})"
        for name, kind in record["fields"]:
            yield "", f"    {_declared(kind, name)}"
        for line in record["hint"].split("; ") if record["hint"] else ():
            yield "", line


def _declared(kind: str, name: str) -> str:
    """``char[16]`` and ``comm`` as ``char comm[16]``."""
    base, bracket, rest = kind.partition("[")
    star = "" if base.endswith("*") else " "
    return f"{base.rstrip() if bracket else base}{star}{name}{bracket}{rest}"


def _global_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for variable in facts["globals"]:
        value = variable["value"]
        kind = variable["type"] or f"{variable['size']} bytes"
        said = value if isinstance(value, str) and "enum " in kind else _value(value)
        text = "" if value is None else f"= {_shorter(said)}"
        yield variable["section"], _declared(kind, variable["name"]), text


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}={_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        if len(value) > 1 and all(each == value[0] for each in value):
            return f"[{_value(value[0])} x {len(value)}]"
        return "[" + ", ".join(_value(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return show(value)


def _shorter(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _extern_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    what = {"config": "configuration", "variable": "variable", "function": "function (kfunc)"}
    for extern in facts["externs"]:
        if extern["kind"] == ExternKind.OBJECT.value:
            continue
        notes = ["may be missing"] if extern["weak"] else []
        if extern["found"] is not None:
            notes.append("found" if extern["found"] else extern["problem"])
        yield extern["name"], what[extern["kind"]], "; ".join(notes)


def _part_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for extern in facts["externs"]:
        if extern["kind"] == ExternKind.OBJECT.value:
            yield (extern["name"],)


_QUESTIONS = {
    "byte_off": "",
    "byte_sz": "size",
    "field_exists": "exists?",
    "signed": "signed?",
    "lshift_u64": "bits",
    "rshift_u64": "bits",
    "local_type_id": "type id",
    "target_type_id": "type id",
    "type_exists": "exists?",
    "type_size": "size",
    "enumval_exists": "exists?",
    "enumval_value": "value",
    "type_matches": "matches?",
}


def _core_rows(facts: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Fold the relocations of all programs: one row per type, its fields in order of first use."""
    by_type: dict[str, dict[str, None]] = {}
    for relocation in facts["core_relocations"]:
        question = _QUESTIONS[relocation["kind"]]
        text = relocation["path"] or ("" if question else relocation["access"])
        said = f"{text} ({question})" if text and question else text or question
        by_type.setdefault(relocation["type"], {})[said] = None
    for name, fields in by_type.items():
        lines = textwrap.wrap(", ".join(fields), 72, break_long_words=False) or [""]
        for number, line in enumerate(lines):
            yield "" if number else name, line
