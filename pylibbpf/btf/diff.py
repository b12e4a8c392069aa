"""What differs between the types of two BTFs, by name: structs, unions, enumerations, typedefs,
functions and variables.

Types are compared as they are written: where the type of a member keeps its name, only what is
behind that name has changed, and that is told once, under its own name. What has no name is part
of the type that it lies in.
"""

from __future__ import annotations

import re

from pylibbpf.btf.types import (
    Array,
    Const,
    Enum,
    Enum64,
    Func,
    Kind,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pylibbpf.btf.parse import Btf

__all__ = ["KINDS", "Change", "Detail", "diff"]

# What is compared, in the order in which it is told.
KINDS = ("struct", "union", "enum", "typedef", "function", "variable")
_WORDS = {
    Kind.STRUCT: "struct",
    Kind.UNION: "union",
    Kind.ENUM: "enum",
    Kind.ENUM64: "enum",
    Kind.TYPEDEF: "typedef",
    Kind.FUNC: "function",
    Kind.VAR: "variable",
}
ANONYMOUS = "(anonymous)"  # enumerations without a name: their enumerators are compared as one

# GCC's "long unsigned int" is clang's "unsigned long".
_INTEGERS = re.compile(r"\b(?:(?:unsigned|signed|long|short|int|char)\b ?)+")

MAX_NESTING = 40  # types without a name within each other; the kernel's limit is 32
MAX_CHARACTERS = 1 << 28  # of all names that are compared; those of a kernel have 10 million


class Detail:
    """One thing that differs in a type.

    ``what`` is "size", "member", "enumerator", "type" (of a typedef, function or variable) or
    "kind" (of what it is a name for); ``name`` that of the member or enumerator, "" for others.
    ``before`` and ``after`` are what there is, None where there is nothing: numbers of bytes,
    values, types as C text, and of members a :class:`Place`.
    """

    __slots__ = ("after", "before", "name", "what")

    def __init__(self, what: str, name: str, before: object, after: object) -> None:
        self.what = what
        self.name = name
        self.before = before
        self.after = after


class Place:
    """Where a member is: offset in bits, width in bits if it is a bit-field (else 0), its type."""

    __slots__ = ("bits", "offset", "type")

    def __init__(self, offset: int, bits: int, type: str) -> None:
        self.offset = offset
        self.bits = bits
        self.type = type

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Place):
            return NotImplemented
        return (self.offset, self.bits, self.type) == (other.offset, other.bits, other.type)

    def __hash__(self) -> int:
        return hash((self.offset, self.bits, self.type))

    @property
    def where(self) -> str:
        """The offset in bytes, and behind a dot the bits that are more."""
        bits = f".{self.offset % 8}" if self.offset % 8 else ""
        return f"{self.offset // 8}{bits}"

    def __str__(self) -> str:
        return f"{self.type}{f' : {self.bits}' if self.bits else ''} at {self.where}"


class Change:
    """A type that is only in one of both, or differs: ``before`` and ``after`` say where it is.

    ``kind`` is one of :data:`KINDS`.
    """

    __slots__ = ("after", "before", "details", "kind", "name")

    def __init__(
        self, kind: str, name: str, before: bool, after: bool, details: tuple[Detail, ...] = ()
    ) -> None:
        self.kind = kind
        self.name = name
        self.before = before
        self.after = after
        self.details = details


class _Form:
    """All that is compared of one type: single facts, and members and enumerators by name."""

    __slots__ = ("facts", "members", "values")

    def __init__(self) -> None:
        self.facts: dict[str, object] = {}
        self.members: dict[str, Place] = {}
        self.values: dict[str, int] = {}

    def key(self) -> object:
        """Equal for what is equal, and quick to look up."""
        return tuple(frozenset(each.items()) for each in (self.facts, self.members, self.values))


def diff(
    before: Btf,
    after: Btf,
    *,
    names: Collection[str] = (),
    kinds: Collection[str] = KINDS,
) -> Iterator[Change]:
    """Tell what differs, by kind and name; of some names only, if there are any.

    Where several types have the same name, those that are equal are left out, and others compared
    in their order.

    Raises:
        BtfError: one of them is damaged, or types without a name nest without bound.
    """
    old, new = _Side(before), _Side(after)
    wanted = frozenset(names)
    for kind in KINDS:
        if kind not in kinds:
            continue
        ours, theirs = old.index(kind), new.index(kind)
        for name in sorted({*ours, *theirs}):
            if wanted and name not in wanted:
                continue
            yield from _alike_named(kind, name, old, ours.get(name, ()), new, theirs.get(name, ()))
        if kind == "enum" and not wanted:
            details = tuple(_entries("enumerator", old.loose(), new.loose()))
            if details:
                yield Change(kind, ANONYMOUS, True, True, details)


def _alike_named(
    kind: str, name: str, old: _Side, ours: Iterable[int], new: _Side, theirs: Iterable[int]
) -> Iterator[Change]:
    before = [old.form(each) for each in ours]
    after = [new.form(each) for each in theirs]
    before, after = _without(before, after), _without(after, before)
    for was, becomes in zip(before, after, strict=False):
        yield Change(kind, name, True, True, tuple(_details(was, becomes)))
    for form in before[len(after) :]:
        yield Change(kind, name, True, False, tuple(_details(form, _NOTHING)))
    for form in after[len(before) :]:
        yield Change(kind, name, False, True, tuple(_details(_NOTHING, form)))


def _without(forms: list[_Form], others: list[_Form]) -> list[_Form]:
    """Those that have no equal among the others, each of which is the equal of one."""
    left: dict[object, int] = {}
    for form in others:
        key = form.key()
        left[key] = left.get(key, 0) + 1
    alone = []
    for form in forms:
        key = form.key()
        if left.get(key):
            left[key] -= 1
        else:
            alone.append(form)
    return alone


_NOTHING = _Form()


def _details(before: _Form, after: _Form) -> Iterator[Detail]:
    for what in ("kind", "size", "type"):
        was, becomes = before.facts.get(what), after.facts.get(what)
        if was != becomes:
            yield Detail(what, "", was, becomes)
    yield from _entries("member", before.members, after.members)
    yield from _entries("enumerator", before.values, after.values)


def _entries(
    what: str, before: Mapping[str, object], after: Mapping[str, object]
) -> Iterator[Detail]:
    if before == after:
        return
    for name, was in before.items():
        becomes = after.get(name)
        if becomes is None or was != becomes:
            yield Detail(what, name, was, becomes)
    for name, becomes in after.items():
        if name not in before:
            yield Detail(what, name, None, becomes)


class _Side:
    """The types of one BTF, in forms that can be compared."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._names: dict[int, str] = {}
        self._left = MAX_CHARACTERS
        self._by_kind: dict[str, dict[str, list[int]]] = {kind: {} for kind in KINDS}
        self._loose: dict[str, object] = {}
        whole: Btf | None = btf
        layers = []
        while whole is not None:
            layers.append(whole)
            whole = whole.base
        for layer in reversed(layers):
            for type_id, found in layer.types(*_WORDS):
                if found.name:
                    of_kind = self._by_kind[_WORDS[found.kind]]
                    of_kind.setdefault(found.name, []).append(type_id)
                elif isinstance(found, (Enum, Enum64)):
                    self._loose.update(found.values)

    def index(self, kind: str) -> dict[str, list[int]]:
        return self._by_kind[kind]

    def loose(self) -> dict[str, object]:
        return self._loose

    def form(self, type_id: int) -> _Form:
        form = _Form()
        found = self._btf.type(type_id)
        if isinstance(found, (Typedef, Func, Var)):
            target = self._btf.type(found.type_id)
            if isinstance(found, Typedef) and not target.name and self._fill(form, found.type_id):
                return form
            form.facts["type"] = self._name(found.type_id)
        else:
            self._fill(form, type_id)
        return form

    def _fill(self, form: _Form, type_id: int) -> bool:
        """Take in a struct, union or enumeration; False if it is none."""
        found = self._btf.type(type_id)
        if isinstance(found, (Struct, Union)):
            form.facts["kind"] = _WORDS[found.kind]
            form.facts["size"] = found.size
            self._members(form, found, "", 0, MAX_NESTING)
        elif isinstance(found, (Enum, Enum64)):
            form.facts["kind"] = "enum"
            form.facts["size"] = found.size
            form.values.update(found.values)
        else:
            return False
        return True

    def _members(
        self, form: _Form, found: Struct | Union, path: str, base: int, depth: int
    ) -> None:
        if not depth:
            raise BtfError(f"more than {MAX_NESTING} types without a name lie in each other")
        for member in found.members:
            offset = base + member.bit_offset
            name = path + member.name
            if member.name:
                if name in form.members:
                    name = f"{name}@{offset}"
                self._charge(len(name))
                form.members[name] = Place(offset, member.bitfield_size, self._name(member.type_id))
            inner, joint, start = self._bare(member.type_id, offset)
            if isinstance(inner, (Struct, Union)):
                self._members(form, inner, name + joint if member.name else path, start, depth - 1)
            elif isinstance(inner, (Enum, Enum64)):
                self._charge(sum(len(each) for each, _ in inner.values))
                form.values.update(inner.values)

    def _bare(
        self, type_id: int, offset: int
    ) -> tuple[Struct | Union | Enum | Enum64 | None, str, int]:
        """The type without a name that a member is made of, how to write its members, and where."""
        joint = "."
        for _ in range(MAX_NESTING):
            found = self._btf.type(type_id)
            if isinstance(found, (Struct, Union, Enum, Enum64)):
                return (None if found.name else found), joint, offset
            if isinstance(found, Array):
                joint = "[]."
            elif isinstance(found, Ptr):
                joint, offset = "->", 0
            elif not isinstance(found, (Const, Volatile, Restrict, TypeTag)):
                break
            type_id = found.type_id
        return None, joint, offset

    def _name(self, type_id: int) -> str:
        name = self._names.get(type_id)
        if name is None:
            name = _INTEGERS.sub(_integer, self._btf.c_name(type_id))
            self._names[type_id] = name
            self._charge(len(name))
        return name

    def _charge(self, length: int) -> None:
        self._left -= length
        if self._left < 0:
            raise BtfError(f"the names in these types take more than {MAX_CHARACTERS} characters")


def _integer(found: re.Match[str]) -> str:
    """An integer's name with its words in one order."""
    words = found[0].split()
    size = [word for word in words if word in ("char", "short", "long")] or ["int"]
    if "unsigned" in words:
        size.insert(0, "unsigned")
    elif "signed" in words and "char" in words:
        size.insert(0, "signed")
    return " ".join(size) + (" " if found[0].endswith(" ") else "")
