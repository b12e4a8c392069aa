"""Types of DWARF as types of BTF, so that one codec serves both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    Union,
    Void,
    Volatile,
)
from pylibbpf.errors import BtfError

__all__ = [
    "DIE_STEPS",
    "TypeBuilder",
    "attribute",
    "byte_size",
    "children",
    "is_open_ended",
    "same_type",
    "stripped",
    "target_of",
]

# What building one entry takes, compared with stepping over it.
DIE_STEPS = 40

Die = Any  # pyelftools has no types of its own

_QUALIFIERS: dict[str, type[Const | Volatile | Restrict]] = {
    "DW_TAG_const_type": Const,
    "DW_TAG_volatile_type": Volatile,
    "DW_TAG_restrict_type": Restrict,
}
_TRANSPARENT = (*_QUALIFIERS, "DW_TAG_typedef", "DW_TAG_atomic_type")

# Deeper than any chain or nesting that a person writes.
_DEPTH = 64
_MOST = 0xFFFF

# DW_ATE_*: how a base type is encoded (DWARF 5, section 7.8).
_BOOLEAN, _FLOAT, _SIGNED, _SIGNED_CHAR = 0x02, 0x04, 0x05, 0x06


def children(die: Die) -> Iterator[Die]:
    """List the entries right under one; more than BTF could have members are refused."""
    for number, child in enumerate(die.iter_children()):
        if number > _MOST:
            raise BtfError("DWARF has an entry with too many entries under it")
        yield child


def attribute(die: Die, name: str) -> Any | None:
    """Give the value of an attribute, taken from the abstract origin of an inlined copy too."""
    for _ in range(_DEPTH):
        if name in die.attributes:
            return die.attributes[name].value
        origin = _origin(die)
        if origin is None:
            return None
        die = origin
    return None


def target_of(die: Die) -> Die | None:
    """Give the type that a type, variable or member refers to; None for void."""
    for _ in range(_DEPTH):
        if "DW_AT_type" in die.attributes:
            return die.get_DIE_from_attribute("DW_AT_type")
        origin = _origin(die)
        if origin is None:
            return None
        die = origin
    return None


def _origin(die: Die) -> Die | None:
    for name in ("DW_AT_abstract_origin", "DW_AT_specification"):
        if name in die.attributes:
            return die.get_DIE_from_attribute(name)
    return None


def stripped(die: Die | None, *, typedefs: bool = True) -> Die | None:
    """Look through qualifiers and typedefs; None for void."""
    for _ in range(_DEPTH):
        if die is None or die.tag not in _TRANSPARENT:
            return die
        if die.tag == "DW_TAG_typedef" and not typedefs:
            return die
        die = target_of(die)
    raise BtfError("DWARF has a type that is an alias of itself")


def byte_size(die: Die) -> int | None:
    """Give the size of a type in bytes; None for what has none, such as a declared struct."""
    count = 1
    for _ in range(_DEPTH):
        inner = stripped(die)
        if inner is None:
            return None
        if inner.tag == "DW_TAG_array_type":
            for length in _lengths(inner):
                count *= length
            die = target_of(inner)
            if die is None:
                return None
            continue
        if inner.tag == "DW_TAG_pointer_type":
            return count * 8
        size = inner.attributes.get("DW_AT_byte_size")
        return count * size.value if size is not None else None
    return None


def is_open_ended(die: Die) -> bool:
    """Tell whether a struct ends with an array of no given length."""
    struct = stripped(die)
    last = None
    if struct is not None and struct.tag == "DW_TAG_structure_type":
        for child in children(struct):
            if child.tag == "DW_TAG_member":
                last = child
    array = stripped(target_of(last)) if last is not None else None
    return array is not None and array.tag == "DW_TAG_array_type" and 0 in _lengths(array)


def same_type(a: Die, b: Die) -> bool:
    """Tell whether two types are one: units may each have a copy of it."""
    if a.offset == b.offset:
        return True
    name = attribute(a, "DW_AT_name")
    return (
        name is not None
        and name == attribute(b, "DW_AT_name")
        and a.tag == b.tag
        and byte_size(a) == byte_size(b)
    )


def _lengths(array: Die) -> list[int]:
    """The lengths of the dimensions; 0 for a flexible one."""
    lengths = []
    for child in children(array):
        if child.tag == "DW_TAG_subrange_type":
            count = child.attributes.get("DW_AT_count")
            bound = child.attributes.get("DW_AT_upper_bound")
            if count is not None:
                lengths.append(_number(count))
            else:
                lengths.append(_number(bound) + 1 if bound is not None else 0)
    return lengths


def _number(some: Any) -> int:
    if not isinstance(some.value, int):
        raise BtfError("DWARF has an array whose length is no constant")
    # clang writes "no bound" as -1 in a fixed-size form as well.
    return 0 if some.value in (-1, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF) else int(some.value)


class TypeBuilder:
    """Collects types, each once; pointers to structs lead to a declaration, not further."""

    def __init__(self, tick: Callable[[int], None]) -> None:
        self._tick = tick
        self._types: list[Type] = []
        self._ids: dict[tuple[int, bool], int] = {}

    def btf(self) -> Btf:
        return Btf.from_types(self._types)

    def add(self, die: Die | None, depth: int = 0, *, behind: bool = False) -> int:
        """Add a type and what it is made of; give its id.

        ``behind`` a pointer the contents of structs are of no use to anybody.
        """
        self._tick(DIE_STEPS)
        if die is None or die.tag == "DW_TAG_unspecified_type":
            return 0
        if depth > _DEPTH:
            raise BtfError("DWARF has a type nested too deeply")
        key = (die.offset, behind)
        if key not in self._ids:
            self._types.append(Void())  # keeps the place
            self._ids[key] = number = len(self._types)
            self._types[number - 1] = self._made(die, depth + 1, behind)
        return self._ids[key]

    def _made(self, die: Die, depth: int, behind: bool) -> Type:
        tag = die.tag
        name = attribute(die, "DW_AT_name")
        text = name.decode("utf-8", "backslashreplace") if name is not None else ""
        size = die.attributes["DW_AT_byte_size"].value if "DW_AT_byte_size" in die.attributes else 0
        if tag == "DW_TAG_base_type":
            return _base(text, size, die.attributes["DW_AT_encoding"].value)
        if tag in ("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type"):
            union = tag == "DW_TAG_union_type"
            if "DW_AT_declaration" in die.attributes or (behind and text):
                return Fwd(text, union)
            members = tuple(self._members(die, depth, behind))
            return Union(text, size, members) if union else Struct(text, size, members)
        if tag == "DW_TAG_enumeration_type":
            return self._enum(die, text, size)
        if tag == "DW_TAG_pointer_type":
            return Ptr(self.add(target_of(die), depth, behind=True))
        if tag == "DW_TAG_typedef":
            return Typedef(text, self.add(target_of(die), depth, behind=behind))
        if tag in _QUALIFIERS:
            return _QUALIFIERS[tag]("", self.add(target_of(die), depth, behind=behind))
        if tag == "DW_TAG_atomic_type":
            return Volatile("", self.add(target_of(die), depth, behind=behind))
        if tag == "DW_TAG_array_type":
            return self._array(die, depth, behind)
        if tag == "DW_TAG_subroutine_type":
            return self._prototype(die, depth)
        raise BtfError(f"DWARF has a type of the kind {tag}, which BTF cannot say")

    def _prototype(self, die: Die, depth: int) -> FuncProto:
        parameters = [
            ("", 0)
            if child.tag == "DW_TAG_unspecified_parameters"
            else ("", self.add(target_of(child), depth, behind=True))
            for child in children(die)
        ]
        return FuncProto(self.add(target_of(die), depth, behind=True), tuple(parameters))

    def _array(self, die: Die, depth: int, behind: bool) -> Array:
        element = self.add(target_of(die), depth, behind=behind)
        lengths = _lengths(die) or [0]
        # The last dimension is the innermost array.
        for length in reversed(lengths[1:]):
            self._types.append(Array(element, self._index(), length))
            element = len(self._types)
        return Array(element, self._index(), lengths[0])

    def _index(self) -> int:
        key = (-1, False)
        if key not in self._ids:
            self._types.append(Int("__ARRAY_SIZE_TYPE__", 4, 32, 0, False, False, False))
            self._ids[key] = len(self._types)
        return self._ids[key]

    def _members(self, die: Die, depth: int, behind: bool) -> list[Member]:
        members = []
        for child in children(die):
            if child.tag != "DW_TAG_member":
                continue
            name = attribute(child, "DW_AT_name")
            text = name.decode("utf-8", "backslashreplace") if name is not None else ""
            offset, width = _bits(child)
            type_id = self.add(target_of(child), depth, behind=behind)
            members.append(Member(text, type_id, offset, width))
        return members

    def _enum(self, die: Die, text: str, size: int) -> Enum | Enum64:
        values = []
        for child in children(die):
            self._tick(DIE_STEPS)
            if child.tag == "DW_TAG_enumerator":
                name = child.attributes["DW_AT_name"].value.decode("utf-8", "backslashreplace")
                values.append((name, child.attributes["DW_AT_const_value"].value))
        base = stripped(target_of(die))
        signed = any(value < 0 for _, value in values)
        if base is not None and "DW_AT_encoding" in base.attributes:
            signed = base.attributes["DW_AT_encoding"].value in (_SIGNED, _SIGNED_CHAR)
        made = Enum64 if size == 8 else Enum
        return made(text, size, signed, tuple(values))


def _base(name: str, size: int, encoding: int) -> Int | Float:
    if encoding == _FLOAT:
        return Float(name, size)
    # As LLVM writes BTF: char is a signed integer without the mark CHAR.
    signed = encoding in (_SIGNED, _SIGNED_CHAR)
    return Int(name, size, size * 8, 0, signed, False, encoding == _BOOLEAN)


def _bits(member: Die) -> tuple[int, int]:
    """Give the offset of a member in bits, and its width if it is a bit field."""
    attributes = member.attributes
    width = attributes["DW_AT_bit_size"].value if "DW_AT_bit_size" in attributes else 0
    if "DW_AT_data_bit_offset" in attributes:
        return attributes["DW_AT_data_bit_offset"].value, width
    location = attributes.get("DW_AT_data_member_location")
    start = location.value if location is not None else 0
    if not isinstance(start, int):
        raise BtfError("DWARF has a member whose place is computed")
    if "DW_AT_bit_offset" in attributes:
        # DWARF 2 and 3 count from the high end of the storage unit.
        unit = attributes.get("DW_AT_byte_size")
        size = unit.value if unit is not None else byte_size(target_of(member)) or 0
        return start * 8 + size * 8 - attributes["DW_AT_bit_offset"].value - width, width
    return start * 8, width
