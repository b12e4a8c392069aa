"""What libbpf has against a map's definition, though it can be read.

The rules, in their order, are those of libbpf 1.7's parse_btf_map_def (libbpf.c) with its default
``relaxed_maps=false``; older and other loaders take more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibbpf.btf.types import Array, Enum, Enum64, FuncProto, Ptr, Struct
from pylibbpf.errors import BtfError
from pylibbpf.uapi.enums import MapType

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Member

__all__ = ["problem"]

_OUTER = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
_NUMBERS = ("type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "pinning")
_PIN_BY_NAME = 1


def problem(btf: Btf, struct: Struct, *, inner: bool = False) -> str:
    """Say why libbpf refuses a definition; "" where it does not."""
    return _Definition(btf, struct, inner).problem()


class _Definition:
    def __init__(self, btf: Btf, struct: Struct, inner: bool) -> None:
        self.btf = btf
        self.struct = struct
        self.inner = inner
        self.type = 0
        self.sizes = {"key": 0, "value": 0}

    def problem(self) -> str:
        for position, member in enumerate(self.struct.members):
            name = member.name
            if name in _NUMBERS:
                found = self._number(member)
            elif name in self.sizes:
                found = self._typed(member)
            elif name == "values":
                last = position == len(self.struct.members) - 1
                found = self._values(member) if last else "the field 'values' is not the last one"
            elif name == "map_extra":
                found = self._wide(member)
            else:
                found = f"the field {name!r} is unknown"
            if found:
                return found
        return "" if self.type else "it has no type"

    def _array(self, member: Member) -> Array | None:
        """The array whose length is a number: what __uint() makes."""
        pointer = self.btf.strip(member.type_id)
        array = self.btf.type(pointer.type_id) if isinstance(pointer, Ptr) else None
        return array if isinstance(array, Array) else None

    def _number(self, member: Member) -> str:
        array = self._array(member)
        if self.inner and member.name == "pinning":
            return "a map inside of another cannot be pinned"
        if array is None:
            return (
                f"the field {member.name!r} holds a plain number; libbpf since 1.0 wants "
                f"__uint({member.name}, ...)"
            )
        if member.name == "type":
            self.type = array.nelems
        if member.name == "pinning" and array.nelems > _PIN_BY_NAME:
            return f"its pinning is {array.nelems}, which is not LIBBPF_PIN_BY_NAME"
        if member.name.endswith("_size"):
            return self._size(member.name.removesuffix("_size"), array.nelems)
        return ""

    def _size(self, what: str, size: int) -> str:
        known = self.sizes[what]
        if known and known != size:
            return f"its {what} has {known} bytes, or {size}"
        self.sizes[what] = size
        return ""

    def _typed(self, member: Member) -> str:
        pointer = self.btf.type(member.type_id)
        if not isinstance(pointer, Ptr):
            return f"the field {member.name!r} is not what __type() makes"
        try:
            size = self.btf.sizeof(pointer.type_id)
        except BtfError as error:
            return f"the field {member.name!r} is of a type without a size: {error}"
        return self._size(member.name, size)

    def _values(self, member: Member) -> str:
        if self.inner:
            return "it holds maps of maps of maps"
        if self.type not in _OUTER and self.type != MapType.PROG_ARRAY:
            return "it has 'values', and is no map of maps or array of programs"
        if self.sizes["value"] not in (0, 4):
            return f"its values are descriptors of 4 bytes, not {self.sizes['value']}"
        array = self.btf.type(member.type_id)
        if not isinstance(array, Array) or array.nelems:
            return "the field 'values' is not what __array() makes"
        pointer = self.btf.strip(array.type_id)
        if not isinstance(pointer, Ptr):
            return "the field 'values' is no array of pointers"
        value = self.btf.strip(pointer.type_id)
        if self.type == MapType.PROG_ARRAY:
            return "" if isinstance(value, FuncProto) else "its values are no functions"
        if not isinstance(value, Struct):
            return "its values are no maps"
        found = problem(self.btf, value, inner=True)
        return f"the map inside: {found}" if found else ""

    def _wide(self, member: Member) -> str:
        some = self.btf.strip(member.type_id)
        if isinstance(some, Enum | Enum64):
            return "" if len(some.values) == 1 else "the field 'map_extra' is no number"
        return self._number(member)
