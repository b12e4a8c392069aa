"""Whether two types, each of its own BTF, mean the same bytes."""

from __future__ import annotations

from pylibbpf.btf.types import Array, Datasec, Enum, Enum64, Float, Int, Ptr, Struct, Union, Var

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Type

__all__ = ["difference"]

# What libbpf makes of kinds that a kernel does not know yet (bpf_object__sanitize_btf): as large,
# but without a meaning.
_SANITIZED = ((Float, Struct), (Enum64, Union))


def difference(ours: Btf, our_id: int, theirs: Btf, their_id: int, name: str = "") -> str | None:
    """The first difference in words, or None where both types are read alike.

    Names of structs and typedefs may differ, and an enumeration may have more values; names,
    places and kinds of members may not. What pointers point to does not matter.
    """
    return _Comparison(ours, theirs).types(our_id, their_id, name)


class _Comparison:
    def __init__(self, ours: Btf, theirs: Btf) -> None:
        self._ours, self._theirs = ours, theirs
        self._same: set[tuple[int, int]] = set()

    def types(self, our_id: int, their_id: int, path: str) -> str | None:
        """The first difference; ``path`` names what is of these types."""
        pair = self._ours.resolve(our_id), self._theirs.resolve(their_id)
        if pair in self._same:
            return None
        found = self._unlike(self._ours.strip(our_id), self._theirs.strip(their_id), path, pair)
        if found is None:
            self._same.add(pair)
        return found

    def _unlike(self, our: Type, their: Type, path: str, pair: tuple[int, int]) -> str | None:
        if isinstance(our, Struct | Union) and type(our) is type(their):
            return self._members(our, their, path)
        if isinstance(our, Array) and isinstance(their, Array) and our.nelems == their.nelems:
            return self.types(our.type_id, their.type_id, f"{path}[]")
        if isinstance(our, Datasec) and isinstance(their, Datasec):
            return self._variables(our, their, path)
        if isinstance(our, Enum | Enum64) and isinstance(their, Enum | Enum64):
            if our.size == their.size:
                return self._values(our, their, path)
        elif self._alike(our, their):
            return None
        here, there = self._ours.c_name(pair[0]), self._theirs.c_name(pair[1])
        if here == there:
            here, there = f"{here} ({_about(our)})", f"{there} ({_about(their)})"
        return f"{path or 'it'} is {here} here and {there} there"

    def _alike(self, our: Type, their: Type) -> bool:
        if isinstance(our, Int) and isinstance(their, Int):
            return _facts(our) == _facts(their)
        if isinstance(our, Float) and isinstance(their, Float):
            return our.size == their.size
        for kind, sanitized in _SANITIZED:
            for one, other in ((our, their), (their, our)):
                if isinstance(one, kind) and isinstance(other, sanitized):
                    return bool(one.size == other.size)
        return isinstance(our, Ptr) and isinstance(their, Ptr)

    def _members(self, our: Struct | Union, their: Struct | Union, path: str) -> str | None:
        if said := _only_one("member", _names(our), _names(their), path):
            return said
        for one, other in zip(our.members, their.members, strict=True):
            name = f"{path}.{one.name}" if path and one.name else path or one.name
            if one.name != other.name:
                return f"{name} stands where {path or 'it'} has {other.name or 'another'} there"
            if (one.bit_offset, one.bitfield_size) != (other.bit_offset, other.bitfield_size):
                return f"{name} is at {_place(one)} here and at {_place(other)} there"
            if said := self.types(one.type_id, other.type_id, name):
                return said
        if our.size != their.size:
            return f"{path or 'it'} has {our.size} bytes here and {their.size} there"
        return None

    def _values(self, our: Enum | Enum64, their: Enum | Enum64, path: str) -> str | None:
        there = dict(their.values)
        for name, value in our.values:
            if there.get(name, value) != value:
                return f"{name} of {path or 'it'} is {value} here and {there[name]} there"
        return None

    def _variables(self, our: Datasec, their: Datasec, path: str) -> str | None:
        here = {self._ours.type(each.type_id).name: each for each in our.vars}
        there = {self._theirs.type(each.type_id).name: each for each in their.vars}
        if said := _only_one("variable", here, there, path):
            return said
        for name, one in here.items():
            other = there[name]
            if one.offset != other.offset:
                return f"variable {name} is at byte {one.offset} here and {other.offset} there"
            # A variable's type is that of a VAR.
            inner, twin = self._ours.type(one.type_id), self._theirs.type(other.type_id)
            if not (isinstance(inner, Var) and isinstance(twin, Var)):
                continue  # an extern function has no bytes
            if said := self.types(inner.type_id, twin.type_id, name):
                return said
        return None


def _names(found: Struct | Union) -> list[str]:
    return [each.name for each in found.members]


def _only_one(what: str, here: Iterable[str], there: Iterable[str], path: str) -> str | None:
    ours, theirs = list(here), list(there)
    of = f" of {path}" if path else ""
    for names, others, where, where_not in (
        (ours, theirs, "here", "there"),
        (theirs, ours, "there", "here"),
    ):
        if alone := [each for each in names if each not in others]:
            return f"{what} {alone[0] or 'without a name'}{of} is {where} and not {where_not}"
    if len(ours) != len(theirs):
        return f"{path or 'it'} has {len(ours)} {what}s here and {len(theirs)} there"
    return None


def _place(member: object) -> str:
    bit, width = member.bit_offset, member.bitfield_size  # type: ignore[attr-defined]
    return f"bit {bit} ({width} bits)" if width else f"byte {bit // 8}"


def _facts(found: Int) -> tuple[object, ...]:
    return found.size, found.bits, found.offset, found.signed, found.bool


def _about(found: Type) -> str:
    size = getattr(found, "size", None)
    return type(found).__name__.lower() if size is None else f"{size} bytes"
