"""The text of a generated module."""

from __future__ import annotations

import base64
import hashlib
import textwrap
import zlib
from collections.abc import Mapping, Sequence

from pylibbpf.events import record_type
from pylibbpf.gen.maps import annotation
from pylibbpf.gen.types import Types, class_name, is_name, literal
from pylibbpf.loader.header import check_header
from pylibbpf.loader.link import sending_calls
from pylibbpf.loader.object import read
from pylibbpf.spec import ExternKind, MapKind, ObjectSpec
from pylibbpf.uapi.enums import MapType
from pylibbpf.variables import Globals

__all__ = ["write_module"]

# Names that the module itself uses.
_TAKEN = (
    *("Any", "DIGEST", "Literal", "Maps", "Path", "Programs", "SOURCE", "TYPE_CHECKING"),
    *("Variables", "base64", "hashlib", "open_object", "overload", "pylibbpf", "zlib"),
)
# Map type -> the method of the object that reads its records, and the class of what it gives.
_STREAMS = {
    MapType.RINGBUF: ("ringbuf", "RingBuffer"),
    MapType.PERF_EVENT_ARRAY: ("perfbuf", "PerfBuffer"),
}

_HEAD = '''"""The BPF object {file}, typed.

Made by ``pylibbpf gen``: make it again when the object changes.
"""

from __future__ import annotations

{imports}

import pylibbpf

DIGEST = "{digest}"
"""SHA-256 of the object that this module was made of."""

{where}'''

_FROM_FILE = '''SOURCE = Path(__file__).parent / {source}
"""Where the object lies."""'''

_FROM_FILE_READ = """return SOURCE.read_bytes()"""

_EMBEDDED = """# The object itself: zlib, base 64.
_OBJECT = (
{lines}
)"""

_EMBEDDED_READ = """return zlib.decompress(base64.b64decode(_OBJECT))"""

_OPEN = '''def open_object(
    source: str | bytes | None = None, *, check: bool = True, **options: Any
) -> {name}:
    """Open the object; ``options`` are those of :func:`pylibbpf.open_object`.

    ``source`` is another path, or the contents of an object. With ``check``, one that is not the
    object that this module was made of is refused: its types may be others.

    Raises:
        ValueError: another object than the one that the module was made of.
    """
    data = _read(source)
    if check and hashlib.sha256(data).hexdigest() != DIGEST:
        raise ValueError(
            "this is not the object that the module was made of: run pylibbpf gen again, or open "
            "it with check=False"
        )
    options.setdefault("name", {stem})
    return pylibbpf.open_object(data, cls={name}, **options)


def _read(source: str | bytes | None) -> bytes:
    if isinstance(source, bytes):
        return source
    if source is not None:
        return Path(source).read_bytes()
    {read}'''


def write_module(
    data: bytes,
    path: str,
    *,
    name: str | None = None,
    source: str | None = None,
    types: Mapping[str, str] | None = None,
) -> str:
    """Give the Python module for a BPF object.

    ``path`` is that of the object's file, which names it. ``name`` is the class of the opened
    object (default: after the file). ``types`` are the C types of records by map, where the
    object does not say them. ``source`` is where the module finds the object's file, relative to
    itself; None puts the object into the module.

    Raises:
        ElfError, BtfError: it is no BPF object that can be read.
        ValueError: ``name`` is no name for a class, or ``types`` has a map that is none.
    """
    check_header(data, path)
    spec = read(data)
    file = path.rpartition("/")[2]
    stem = file.partition(".")[0] or "object"
    if name is None:
        name = class_name(stem)
        name = f"{name}Object" if name in _TAKEN else name
    if not is_name(name) or name in _TAKEN:
        raise ValueError(f"{name!r} cannot be the name of the object's class")
    known = Types(spec.btf, (*_TAKEN, name))
    streams = _streams(spec, data, known, types or {})
    maps = {each.name: annotation(each, known) for each in spec.maps}
    programs = {each.name: "pylibbpf.Program" for each in spec.programs}
    variables = {each.name: known.of(each.type_id) for each in spec.globals}
    variables |= {
        each.name: known.of(each.type_id) for each in spec.externs if each.kind is ExternKind.CONFIG
    }
    typed = "\n\n".join(
        (
            _members("Maps", "pylibbpf.Named[pylibbpf.Map]", maps, "pylibbpf.Map"),
            _members("Programs", "pylibbpf.Named[pylibbpf.Program]", programs, "pylibbpf.Program"),
            _members("Variables", "pylibbpf.Globals", variables, "Any"),
        )
    )
    parts = (
        _head(data, file, source, uses_overload=bool(streams or maps or variables)),
        known.classes(),
        f"if TYPE_CHECKING:\n{textwrap.indent(typed, '    ')}",
        _object(name, file, streams),
        _OPEN.format(
            name=name,
            stem=literal(stem),
            read=_EMBEDDED_READ if source is None else _FROM_FILE_READ,
        ),
    )
    return "\n\n\n".join(part for part in parts if part) + "\n"


def _shown(text: str) -> str:
    """A name out of a file as a part of a docstring."""
    return ascii(text)[1:-1].replace('"', "'").replace("\\", "/")


def _head(data: bytes, file: str, source: str | None, *, uses_overload: bool) -> str:
    modules = ["hashlib"]
    names = ["TYPE_CHECKING", "Any"]
    if uses_overload:
        names += ["Literal", "overload"]
    if source is None:
        modules = ["base64", "hashlib", "zlib"]
        packed = base64.b64encode(zlib.compress(data, 9)).decode()
        lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(packed, 88))
        where = _EMBEDDED.format(lines=lines)
    else:
        where = _FROM_FILE.format(source=literal(source))
    imports = [f"import {module}" for module in modules]
    imports += ["from pathlib import Path", f"from typing import {', '.join(names)}"]
    return _HEAD.format(
        file=_shown(file),
        imports="\n".join(imports),
        digest=hashlib.sha256(data).hexdigest(),
        where=where,
    )


def _members(name: str, base: str, members: Mapping[str, str], most: str) -> str:
    """A class, for type checkers alone, whose attributes and items are ``members``."""
    hidden = dir(Globals if base == "pylibbpf.Globals" else Mapping)
    lines = [f"class {name}({base}):"]
    lines += [
        f"    {each}: {kind}"
        for each, kind in members.items()
        if is_name(each) and each not in hidden and not each.startswith("_")
    ]
    different = {each: kind for each, kind in members.items() if kind != most}
    if different:
        for each, kind in different.items():
            lines += [
                "",
                "    @overload",
                f"    def __getitem__(self, name: Literal[{literal(each)}]) -> {kind}: ...",
            ]
        lines += [
            "",
            "    @overload",
            f"    def __getitem__(self, name: str) -> {most}: ...",
            "",
            "    def __getitem__(self, name: str) -> Any: ...",
        ]
    if len(lines) == 1:
        lines.append(f'    """None: the object has no {name.lower()}."""')
    return "\n".join(lines)


def _streams(
    spec: ObjectSpec, data: bytes, known: Types, types: Mapping[str, str]
) -> list[tuple[str, str, str, str, str | None]]:
    """Method, class, map, annotation of the records, and the type's C name where it is given."""
    names = [each.name for each in spec.maps if each.type in _STREAMS]
    for name in types:
        if name not in names:
            raise ValueError(f"no ring or perf buffer {name!r} (there are: {', '.join(names)})")
    calls = [call for call, _, _ in sending_calls(spec)]
    found = []
    for each in spec.maps:
        if each.type not in _STREAMS or each.kind is MapKind.DATA:
            continue
        user = types.get(each.name)
        records = record_type(each.name, user=user, btf=spec.btf, calls=calls, elf=lambda: data)
        method, cls = _STREAMS[MapType(each.type)]
        found.append((method, cls, each.name, known.of_codec(records.codec), user))
    return found


def _kinds(method: str, records: str) -> list[tuple[tuple[str, ...], str]]:
    """What a stream can give, each with the options that ask for it."""
    if method != "perfbuf":
        return [((), records)]
    return [
        (("*", "with_cpu: Literal[True]"), f"pylibbpf.CpuRecord[{records}]"),
        (("*", "with_cpu: Literal[False] = False"), records),
    ]


def _object(name: str, file: str, streams: Sequence[tuple[str, str, str, str, str | None]]) -> str:
    lines = [
        f"class {name}(pylibbpf.Object):",
        f'    """{_shown(file)}, opened by :func:`open_object`."""',
        "",
        "    maps: Maps",
        "    programs: Programs",
        "    globals: Variables",
    ]
    for method, cls in dict.fromkeys((method, cls) for method, cls, *_ in streams):
        given = {}
        for which, _, map_name, records, user in streams:
            if which != method:
                continue
            if user is not None:
                given[map_name] = user
            for option, item in _kinds(method, records):
                lines += [
                    "",
                    "    @overload",
                    f"    def {method}(",
                    "        self,",
                    f"        name: Literal[{literal(map_name)}],",
                    "        type: None = None,",
                    *(f"        {each}," for each in option),
                    "        **options: Any,",
                    f"    ) -> pylibbpf.{cls}[{item}]: ...",
                ]
        lines += [
            "",
            "    @overload",
            f"    def {method}(",
            "        self, name: str, type: str | None = None, **options: Any",
            f"    ) -> pylibbpf.{cls}[Any]: ...",
            "",
            f"    def {method}(",
            "        self, name: str, type: str | None = None, **options: Any",
            f"    ) -> pylibbpf.{cls}[Any]:",
        ]
        if given:
            table = ", ".join(f"{literal(k)}: {literal(v)}" for k, v in given.items())
            lines.append(f"        type = type or {{{table}}}.get(name)")
        lines.append(f"        return super().{method}(name, type, **options)")
    return "\n".join(lines)
