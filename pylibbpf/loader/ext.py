"""The section ``.BTF.ext``: function types, C lines and CO-RE relocations per code section.

Layout: the kernel's Documentation/bpf/btf.rst, section 4.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from struct import Struct
from typing import TYPE_CHECKING

from pylibbpf.btf.types import Array, Enum, Enum64, Union
from pylibbpf.btf.types import Struct as BtfStruct
from pylibbpf.errors import BtfError
from pylibbpf.spec import CoreKind, CoreRelocation, Line

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf

__all__ = ["BtfExt"]

_BTF_MAGIC = 0xEB9F
_HEADER = Struct("<HBBIIIII")  # up to the lines
_CORE = Struct("<II")
_SECTION = Struct("<II")

_FUNC = Struct("<II")
_LINE = Struct("<IIII")
_RELO = Struct("<IIII")

_CORE_KINDS = tuple(CoreKind)

# libbpf takes no longer paths: BPF_CORE_SPEC_MAX_LEN in relo_core.h.
_LONGEST = 64


@dataclasses.dataclass(frozen=True, slots=True)
class BtfExt:
    """What ``.BTF.ext`` says, by section name; offsets are bytes from the section's start.

    Line and CO-RE entries carry that byte offset in ``insn`` until they are given to a function.
    """

    functions: dict[str, dict[int, int]]
    lines: dict[str, list[Line]]
    core: dict[str, list[CoreRelocation]]

    @classmethod
    def parse(cls, data: bytes, btf: Btf) -> BtfExt:
        """Take the section apart; ``btf`` holds the types and names that it refers to.

        Raises:
            BtfError: it is damaged.
        """
        return _parse(data, btf)

    @classmethod
    def empty(cls) -> BtfExt:
        return cls({}, {}, {})


class _Texts:
    """The strings of BTF that are referred to.

    Each is read once, and what all references add up to is limited: whoever writes them out
    again should not be made to fill a disk.
    """

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._known: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._left = 1 << 27

    def at(self, offset: int) -> str:
        if offset not in self._known:
            self._known[offset] = self._counted(self._btf.string(offset))
        return self._counted(self._known[offset])

    def type(self, type_id: int) -> str:
        if type_id not in self._names:
            self._names[type_id] = self._btf.c_name(type_id)
        return self._counted(self._names[type_id])

    def _counted(self, text: str) -> str:
        self._left -= len(text)
        if self._left < 0:
            raise BtfError("the text that .BTF.ext refers to has no end")
        return text


def _parse(data: bytes, btf: Btf) -> BtfExt:
    texts = _Texts(btf)
    if len(data) < _HEADER.size:
        raise BtfError(f".BTF.ext is truncated: {len(data)} bytes")
    magic, version, _, header, func, func_size, line, line_size = _HEADER.unpack_from(data)
    if magic != _BTF_MAGIC or version != 1:
        raise BtfError(f".BTF.ext has magic {magic:#x} and version {version}, not 0xeb9f and 1")
    core = core_size = 0
    if header >= _HEADER.size + _CORE.size and len(data) >= _HEADER.size + _CORE.size:
        core, core_size = _CORE.unpack_from(data, _HEADER.size)
    functions: dict[str, dict[int, int]] = {}
    for section, (offset, type_id) in _records(data, header + func, func_size, _FUNC, texts):
        functions.setdefault(section, {})[offset] = type_id
    lines: dict[str, list[Line]] = {}
    for section, (offset, file, text, where) in _records(
        data, header + line, line_size, _LINE, texts
    ):
        lines.setdefault(section, []).append(
            Line(offset, texts.at(file), where >> 10, where & 0x3FF, texts.at(text))
        )
    relocations: dict[str, list[CoreRelocation]] = {}
    for order, (section, (offset, type_id, access, number)) in enumerate(
        _records(data, header + core, core_size, _RELO, texts)
    ):
        if number >= len(_CORE_KINDS):
            raise BtfError(f".BTF.ext has a CO-RE relocation of unknown kind {number}")
        kind = _CORE_KINDS[number]
        path = texts.at(access)
        relocations.setdefault(section, []).append(
            CoreRelocation(
                offset,
                kind,
                type_id,
                texts.type(type_id),
                path,
                _path(btf, kind, type_id, path),
                order,
            )
        )
    for some in lines.values():
        some.sort(key=lambda entry: entry.insn)
    return BtfExt(functions, lines, relocations)


def _records(
    data: bytes, start: int, size: int, layout: Struct, texts: _Texts
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Walk one of the three tables: a record size, then per section a head and its records."""
    if not size:
        return
    end = start + size
    if end > len(data) or size < 4:
        raise BtfError(f".BTF.ext is truncated: a table ends at byte {end} of {len(data)}")
    step = int.from_bytes(data[start : start + 4], "little")
    if step < layout.size:
        raise BtfError(f".BTF.ext has records of {step} bytes, expected {layout.size} or more")
    at = start + 4
    while at < end:
        if at + _SECTION.size > end:
            raise BtfError(".BTF.ext is truncated in the head of a section")
        name, count = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        if at + step * count > end:
            raise BtfError(f".BTF.ext is truncated: {count} records of {step} bytes do not fit")
        section = texts.at(name)
        for position in range(at, at + step * count, step):
            yield section, layout.unpack_from(data, position)
        at += step * count


def _path(btf: Btf, kind: CoreKind, type_id: int, access: str) -> str:
    """Spell an access string in C; "" where it makes no sense, since only people read this."""
    try:
        steps = [int(step) for step in access.split(":", _LONGEST)]
    except ValueError:
        return ""
    if kind.of_enum:
        enum = btf.strip(type_id)
        if isinstance(enum, (Enum, Enum64)) and len(steps) == 1:
            return enum.values[steps[0]][0] if 0 <= steps[0] < len(enum.values) else ""
        return ""
    if not kind.of_field:
        return ""
    text = f"[{steps[0]}]" if steps[0] else ""
    current = btf.strip(type_id)
    for step in steps[1:]:
        if isinstance(current, (BtfStruct, Union)):
            if not 0 <= step < len(current.members):
                return ""
            member = current.members[step]
            if member.name:
                text += f".{member.name}" if text else member.name
            current = btf.strip(member.type_id)
        elif isinstance(current, Array):
            text += f"[{step}]"
            current = btf.strip(current.type_id)
        else:
            return ""
    return text
