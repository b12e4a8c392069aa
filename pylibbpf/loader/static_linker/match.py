"""Whether two files mean the same by a name: the rules of libbpf's linker.

Functions must have the same prototype, whatever their parameters are called; variables the same
type, with structs compared member by member, but for what is behind a pointer, where the name has
to do; sizes of arrays may differ, as a declaration may leave them open. const, volatile and
typedefs do not count. Maps must have the same definition, field by field.
(libbpf 1.7: glob_sym_btf_matches and map_defs_match in linker.c.)
"""

from __future__ import annotations

from pylibbpf.btf.parse import MAX_DEPTH
from pylibbpf.btf.rows import is_global, kind_of
from pylibbpf.btf.types import Kind
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.rows import Rows

__all__ = ["Comparison"]

_COMPOSITE = (Kind.STRUCT, Kind.UNION)
_SCALAR = (Kind.INT, Kind.FLOAT, Kind.ENUM, Kind.ENUM64)
_NAMED = (*_COMPOSITE, Kind.ENUM, Kind.ENUM64, Kind.FWD, Kind.FUNC, Kind.VAR)


class Comparison:
    """Compares what two files mean by names that they share.

    What it has once found to be the same, or is about to look into, it does not look at again: the
    first difference ends it all.
    """

    def __init__(self, ours: Rows, theirs: Rows) -> None:
        self._ours, self._theirs = ours, theirs
        self._begun: set[tuple[int, int, bool]] = set()
        self._begun_maps: set[tuple[int, int]] = set()

    def types(self, our_id: int, their_id: int) -> str | None:
        """Say in words what keeps two declarations from being of one thing; None: nothing does.

        Raises:
            BtfError: types nest without end.
        """
        return self._types(our_id, their_id, True, "", MAX_DEPTH)

    def maps(self, our_id: int, their_id: int) -> str | None:
        """The same for two definitions of a map, given the ids of their variables."""
        one, other = self._ours.types[our_id], self._theirs.types[their_id]
        if kind_of(one) != Kind.VAR or kind_of(other) != Kind.VAR:
            return "only one of them is a variable"
        return self._maps(one[2], other[2], "", MAX_DEPTH)

    def _types(self, our_id: int, their_id: int, exact: bool, path: str, depth: int) -> str | None:
        if not depth:
            raise BtfError(f"BTF type {our_id} has no end")
        our_id, their_id = self._ours.strip(our_id), self._theirs.strip(their_id)
        if (our_id, their_id, exact) in self._begun:
            return None
        self._begun.add((our_id, their_id, exact))
        one, other = self._ours.types[our_id], self._theirs.types[their_id]
        kind, their_kind = kind_of(one), kind_of(other)
        names = self._ours.name(our_id), self._theirs.name(their_id)
        where = path or "it"
        if kind != their_kind:
            alike = _declares(one) == _declares(other)
            if exact or not alike or names[0] != names[1]:
                return f"{where} is {self._said(our_id, their_id)}"
            return None
        if kind in _NAMED and names[0] != names[1]:
            return f"{where} is {self._said(our_id, their_id)}"
        if kind in _SCALAR:
            same = one[2] == other[2]
            return None if same else f"{where} is {self._said(our_id, their_id)}"
        if kind == Kind.PTR:
            return self._types(one[2], other[2], False, f"what {where} points to", depth - 1)
        if kind == Kind.ARRAY:
            return self._types(one[3], other[3], exact, f"an element of {where}", depth - 1)
        if kind in _COMPOSITE:
            return self._members(one, other, path, depth) if exact else None
        if kind == Kind.FUNC_PROTO:
            return self._prototypes(one, other, exact, depth)
        if kind in (Kind.FUNC, Kind.VAR):
            if is_global(one) != is_global(other):
                return f"{where} is static in one of them"
            return self._types(one[2], other[2], exact, path, depth - 1)
        if kind in (Kind.VOID, Kind.FWD):
            return None
        return f"{where} is {_word(kind)}, which is no type of a symbol"

    def _members(
        self, one: tuple[int, ...], other: tuple[int, ...], path: str, depth: int
    ) -> str | None:
        of = f" of {path}" if path else ""
        if len(one) != len(other):
            counts = f"{(len(one) - 3) // 3} members and {(len(other) - 3) // 3}"
            return f"{path or 'it'} has {counts}"
        for at in range(3, len(one), 3):
            name = self._ours.string(one[at])
            said = name.decode("utf-8", "backslashreplace") or "a member without a name"
            if name != self._theirs.string(other[at]):
                there = self._theirs.string(other[at]).decode("utf-8", "backslashreplace")
                return f"member {(at - 3) // 3 + 1}{of} is {said!r} and {there!r}"
            if one[at + 2] != other[at + 2]:
                return f"{said!r}{of} is at different places"
            inner = f"{path}.{said}" if path else said
            if found := self._types(one[at + 1], other[at + 1], True, inner, depth - 1):
                return found
        return None

    def _prototypes(
        self, one: tuple[int, ...], other: tuple[int, ...], exact: bool, depth: int
    ) -> str | None:
        if len(one) != len(other):
            return f"it takes {(len(one) - 3) // 2} parameters and {(len(other) - 3) // 2}"
        for at in range(4, len(one), 2):
            where = f"parameter {(at - 4) // 2 + 1}"
            if found := self._types(one[at], other[at], exact, where, depth - 1):
                return found
        return self._types(one[2], other[2], exact, "what it returns", depth - 1)

    # ---- maps

    def _maps(self, our_id: int, their_id: int, path: str, depth: int) -> str | None:
        """The first field in which two definitions differ."""
        if (our_id, their_id) in self._begun_maps:
            return None
        self._begun_maps.add((our_id, their_id))
        ours, theirs = _fields(self._ours, our_id), _fields(self._theirs, their_id)
        for field in (*ours, *theirs):
            if field not in ours or field not in theirs:
                return f"its {path}{field!r} is in one of them only"
        for field, type_id in ours.items():
            if found := self._field(field, type_id, theirs[field], path, depth):
                return found
        return None

    def _field(self, field: str, our_id: int, their_id: int, path: str, depth: int) -> str | None:
        if not depth:
            raise BtfError(f"BTF type {our_id} has no end")
        ours, theirs = self._ours, self._theirs
        if field in ("key", "value"):
            one, other = ours.types[ours.strip(our_id)], theirs.types[theirs.strip(their_id)]
            if kind_of(one) == kind_of(other) == Kind.PTR:
                # Sizes are compared too: those of arrays count here.
                if ours.size(one[2]) != theirs.size(other[2]):
                    sizes = f"{ours.size(one[2])} bytes and {theirs.size(other[2])}"
                    return f"its {path}{field!r} has {sizes}"
                found = self._types(one[2], other[2], True, "", depth - 1)
                return f"its {path}{field!r} differs: {found}" if found else None
        elif field == "values":
            inner, twin = _element(ours, our_id), _element(theirs, their_id)
            kinds = [kind_of(r.types[i]) for r, i in ((ours, inner), (theirs, twin))]
            if kinds == [Kind.STRUCT, Kind.STRUCT]:
                return self._maps(inner, twin, f"{path}inner ", depth - 1)
            if kinds[0] == kinds[1]:
                return None
            return f"its {path}'values' are of different kinds"
        numbers = _number(ours, our_id), _number(theirs, their_id)
        if None in numbers:
            return f"its {path}{field!r} holds no number"
        if numbers[0] != numbers[1]:
            return f"its {path}{field!r} is {numbers[0]} and {numbers[1]}"
        return None

    # ---- words

    def _said(self, our_id: int, their_id: int) -> str:
        here, there = _spell(self._ours, our_id), _spell(self._theirs, their_id)
        if here == there:
            sizes = self._ours.size(our_id), self._theirs.size(their_id)
            here, there = f"{here} of {sizes[0]} bytes", f"{there} of {sizes[1]}"
        return f"{here} and {there}"


def _declares(row: tuple[int, ...]) -> int:
    """Give the kind of a type, of a forward declaration that of what it declares."""
    kind = kind_of(row)
    if kind != Kind.FWD:
        return kind
    return Kind.UNION if row[1] >> 31 else Kind.STRUCT


def _spell(rows: Rows, type_id: int) -> str:
    row = rows.types[type_id]
    kind = _declares(row)
    name = rows.name(type_id).decode("utf-8", "backslashreplace")
    if kind in (Kind.INT, Kind.FLOAT):
        return repr(name)
    return f"{_word(kind)} {name!r}" if name else _word(kind)


def _word(kind: int) -> str:
    words = {
        Kind.PTR: "a pointer",
        Kind.FUNC_PROTO: "a function",
        Kind.FUNC: "the function",
        Kind.VAR: "the variable",
        Kind.VOID: "void",
        Kind.ARRAY: "an array",
        Kind.ENUM64: "enum",
    }
    return words.get(Kind(kind), Kind(kind).name.lower())


def _fields(rows: Rows, type_id: int) -> dict[str, int]:
    row = rows.types[rows.strip(type_id)]
    if kind_of(row) != Kind.STRUCT:
        raise BtfError("a map is defined by what is no struct")
    names = (
        rows.string(row[at]).decode("utf-8", "backslashreplace") for at in range(3, len(row), 3)
    )
    return dict(zip(names, row[4::3], strict=True))


def _number(rows: Rows, type_id: int) -> int | None:
    """Decode ``__uint``, a pointer to an array, or ``__ulong``, an enumerator."""
    row = rows.types[rows.strip(type_id)]
    if kind_of(row) == Kind.PTR:
        array = rows.types[rows.strip(row[2])]
        return array[5] if kind_of(array) == Kind.ARRAY else None
    if kind_of(row) == Kind.ENUM and len(row) > 3:
        return row[4]
    if kind_of(row) == Kind.ENUM64 and len(row) > 3:
        return row[5] << 32 | row[4]
    return None


def _element(rows: Rows, type_id: int) -> int:
    """Give what the pointers in an array point to."""
    row = rows.types[rows.strip(type_id)]
    if kind_of(row) == Kind.ARRAY:
        pointer = rows.types[rows.strip(row[3])]
        if kind_of(pointer) == Kind.PTR:
            return rows.strip(pointer[2])
    raise BtfError("the field 'values' of a map is no array of pointers")
