"""The section ``.BTF.ext``: function types, C lines and CO-RE relocations per code section.

Layout: the kernel's Documentation/bpf/btf.rst, section 4.2.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pylibbpf.btf.types import Array, Enum, Enum64, Union
from pylibbpf.btf.types import Struct as BtfStruct
from pylibbpf.errors import BtfError
from pylibbpf.loader.ext_tables import read_tables
from pylibbpf.spec import CoreKind, CoreRelocation, Line

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf

__all__ = ["BtfExt"]

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
    function_types, code_lines, core = read_tables(data, texts.at)
    functions: dict[str, dict[int, int]] = {}
    for section, (offset, type_id) in function_types:
        functions.setdefault(section, {})[offset] = type_id
    lines: dict[str, list[Line]] = {}
    for section, (offset, file, text, where) in code_lines:
        lines.setdefault(section, []).append(
            Line(offset, texts.at(file), where >> 10, where & 0x3FF, texts.at(text))
        )
    relocations: dict[str, list[CoreRelocation]] = {}
    for order, (section, (offset, type_id, access, number)) in enumerate(core):
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
