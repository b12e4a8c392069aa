"""Turn a BTF type into nodes, and refuse what no C compiler would lay out so.

BTF comes out of files. Members that overlap or leave their struct, structs within themselves,
arrays of gigabytes and unions whose views multiply without taking space must be found here, as
:class:`~pylibbpf.errors.BtfError`, before anything is allocated or compiled for them.
"""

from __future__ import annotations

from pylibbpf.btf.nodes import (
    Bits,
    Blob,
    Bool,
    Choice,
    Composite,
    Elements,
    Enumerated,
    Field,
    Node,
    Number,
    Real,
    Text,
)
from pylibbpf.btf.record import field_names, make_enumeration, make_record
from pylibbpf.btf.types import (
    Array,
    Datasec,
    Enum,
    Enum64,
    Float,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.btf.parse import Btf

__all__ = ["Layout"]

MAX_SIZE = 1 << 30  # bytes of a value; a BPF array map's value is smaller than 2**31
MAX_NESTING = 40  # structs and array dimensions within each other; the kernel's limit is 32
MAX_FIELDS = 1 << 14  # of one record, with those of its anonymous members
# How many Python objects a value may consist of: what any honest type needs for its bytes. Only
# nested unions (of a kernel's sk_buff, say, 3 deep) and arrays of empty structs need more.
MAX_OBJECTS = 1 << 20
OBJECTS_PER_BYTE = 16


class Layout:
    """Makes nodes for types of one BTF, each once."""

    __slots__ = ("_btf", "_nodes", "_objects", "decoders")

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._nodes: dict[tuple[int, bool], Node] = {}
        self._objects: dict[Node, int] = {}
        # What the codec has compiled for nodes.
        self.decoders: dict[Node, Any] = {}

    def node(self, type_id: int, *, tail: bool = True) -> Node:
        """Return the node of a type; with ``tail``, a flexible array at its end is one.

        Raises:
            BtfError: the type has no values, or cannot exist.
        """
        return self._node(type_id, tail, "", ())

    def without(self, node: Composite, raw: dict[int, Blob]) -> Composite:
        """Return a copy of a struct's node with some fields as bytes."""
        fields = tuple(
            Field(f.name, f.c_name, raw[i], f.bit) if i in raw else f
            for i, f in enumerate(node.fields)
        )
        cls = make_record(node.cls.__name__, node.cls._fields, [f.node.python for f in fields])
        return Composite(node.size, cls, fields, node.parts)

    def _node(self, type_id: int, tail: bool, name: str, outer: tuple[int, ...]) -> Node:
        """Make a node.

        ``name`` is that of the member, for types without one, and ``outer`` are the types that
        this one lies in.
        """
        btf = self._btf
        resolved = btf.resolve(type_id)
        found = btf.type(resolved)
        if isinstance(found, Var):
            return self._node(found.type_id, tail, name, self._within(resolved, outer))
        # An anonymous type is shown under the name by which it was met first.
        key = resolved, tail
        node = self._nodes.get(key)
        if node is not None:
            return node
        if not tail:
            # The same node, and class of records, as at an end, unless it is flexible there.
            node = self._node(type_id, True, name, outer)
            if not node.flexible:
                self._nodes[key] = node
                return node
        inside = self._within(resolved, outer)
        node = self._make(resolved, found, tail, self._typedef(type_id) or name, inside)
        objects = self._count(node)
        if objects > max(MAX_OBJECTS, OBJECTS_PER_BYTE * node.size):
            raise BtfError(f"a {btf.c_name(type_id)} would be {objects} values")
        self._objects[node] = objects
        self._nodes[key] = node
        return node

    def _within(self, type_id: int, outer: tuple[int, ...]) -> tuple[int, ...]:
        if type_id in outer:
            raise BtfError(f"{self._btf.c_name(type_id)} contains itself")
        if len(outer) >= MAX_NESTING:
            raise BtfError(f"{self._btf.c_name(outer[0])} nests more than {MAX_NESTING} types")
        return (*outer, type_id)

    def _typedef(self, type_id: int) -> str:
        """The name of the innermost typedef on the way to a type."""
        name = ""
        end = self._btf.resolve(type_id)
        while type_id != end:
            found = self._btf.type(type_id)
            if isinstance(found, Typedef):
                name = found.name
            type_id = found.type_id  # type: ignore[attr-defined] # resolve() went the same way
        return name

    def _make(
        self, type_id: int, found: Type, tail: bool, name: str, inside: tuple[int, ...]
    ) -> Node:
        btf = self._btf
        size = btf.sizeof(type_id)
        if size > MAX_SIZE:
            raise BtfError(f"{btf.c_name(type_id)} of {size} bytes is larger than {MAX_SIZE}")
        if isinstance(found, (Struct, Union)):
            return self._composite(type_id, found, tail, found.name or name, inside)
        if isinstance(found, Array):
            return self._array(found, tail, name, inside)
        if isinstance(found, Datasec) or not size:
            raise BtfError(f"{btf.c_name(type_id)} (BTF type {type_id}) has no value")
        if isinstance(found, Ptr):
            return Number(size, False)
        if isinstance(found, (Enum, Enum64)):
            cls = make_enumeration(found.name or name or "enum", found.values)
            return Enumerated(size, found.signed, cls) if len(cls) else Number(size, found.signed)
        if isinstance(found, Float):
            return Real(size) if size in Real.CODES else Blob(size)
        if not isinstance(found, Int):
            raise BtfError(f"{btf.c_name(type_id)} (BTF type {type_id}) has no value")
        return Bool(size) if found.bool else Number(size, found.signed)

    def _array(self, found: Array, tail: bool, name: str, inside: tuple[int, ...]) -> Node:
        element = self._btf.strip(found.type_id)
        # A char[0] that is not at the end is empty, one at the end takes what is left.
        count = None if tail and not found.nelems else found.nelems
        if isinstance(element, Int) and element.size == 1 and element.bits == 8:
            # clang marks char as a signed int and does not set BTF_INT_CHAR: the name tells.
            if element.name == "char" or (element.char and "signed" not in element.name):
                return Text(count)
            if not element.signed and not element.bool:
                return Blob(count)
        node = self._node(found.type_id, False, name, inside)
        if not node.size and count is None:
            count = 0
        return Elements(node, count)

    def _composite(
        self, type_id: int, found: Struct | Union, tail: bool, name: str, inside: tuple[int, ...]
    ) -> Node:
        fields: list[Field] = []
        parts = self._parts(type_id, 0, tail, fields, inside, [MAX_FIELDS])
        names = field_names([field.c_name for field in fields])
        seen: set[str] = set()
        for field, field_name in zip(fields, names, strict=True):
            if field_name in seen:
                raise BtfError(f"{self._btf.c_name(type_id)} has several members {field_name}")
            seen.add(field_name)
            field.name = field_name
        word = "union" if isinstance(found, Union) else "struct"
        cls = make_record(name or word, names, [field.node.python for field in fields])
        return Composite(found.size, cls, tuple(fields), parts)

    def _parts(
        self,
        type_id: int,
        base: int,
        tail: bool,
        fields: list[Field],
        inside: tuple[int, ...],
        budget: list[int],
    ) -> list[int | Choice]:
        """Append the fields of a struct or union that starts at bit ``base``.

        ``budget`` is how many members more may be looked at.
        """
        btf = self._btf
        found = btf.strip(type_id)
        assert isinstance(found, (Struct, Union))
        is_union = isinstance(found, Union)
        views: list[list[int | Choice]] = []
        spans: list[tuple[int, int, str]] = []
        last = len(found.members) - 1
        for position, member in enumerate(found.members):
            where = f"{btf.c_name(type_id)}, member {member.name or position}"
            budget[0] -= 1
            if budget[0] < 0:
                raise BtfError(f"{where}: more than {MAX_FIELDS} members in all")
            at_end = tail and (is_union or position == last)
            inner = btf.strip(member.type_id)
            parts: list[int | Choice]
            if not member.name and isinstance(inner, (Struct, Union)):
                if member.bitfield_size or member.bit_offset % 8:
                    raise BtfError(f"{where}: a struct is no bit-field")
                resolved = btf.resolve(member.type_id)
                within = self._within(resolved, inside)
                first = base + member.bit_offset
                parts = self._parts(resolved, first, at_end, fields, within, budget)
                start, width = member.bit_offset, 8 * inner.size
            else:
                start, width, node = self._member(member, at_end, where, inside)
                if not member.name:
                    continue  # padding
                parts = [len(fields)]
                fields.append(Field(member.name, member.name, node, base + start))
            if start + width > 8 * found.size:
                raise BtfError(
                    f"{where}: ends at bit {start + width} of {8 * found.size} in the type"
                )
            views.append(parts)
            spans.append((start, start + width, where))
        if is_union:
            return [Choice(views)] if views else []
        spans.sort()
        reached = 0
        for start, end, where in spans:
            if start < reached and start < end:
                raise BtfError(f"{where}: overlaps the member before it")
            reached = max(reached, end)
        return [part for view in views for part in view]

    def _member(
        self, member: Member, tail: bool, where: str, inside: tuple[int, ...]
    ) -> tuple[int, int, Node]:
        """Return first bit, width in bits, and node of a member."""
        start, bits = member.bit_offset, member.bitfield_size
        found = self._btf.strip(member.type_id)
        if not bits and isinstance(found, Int) and (found.offset or found.bits != 8 * found.size):
            # The older way to write a bit-field (without kind_flag): an int of few bits.
            start, bits = start + found.offset, found.bits
            if not bits:
                raise BtfError(f"{where}: an int without bits")
        node = self._node(member.type_id, tail, member.name, inside)
        if bits:
            if not isinstance(node, Number):
                raise BtfError(f"{where}: only integers and enums can be bit-fields")
            if bits > 8 * node.size:
                raise BtfError(f"{where}: a bit-field of {bits} bits in {node.size} bytes")
            return start, bits, Bits(node, bits)
        if start % 8:
            raise BtfError(f"{where}: starts at bit {start}, within a byte")
        return start, 8 * node.size, node

    def _count(self, node: Node) -> int:
        """How many Python objects a value of the node is made of, at most."""
        if isinstance(node, Elements):
            return 1 + self._objects[node.element] * (node.count or 0)
        if isinstance(node, Composite):
            return 1 + sum(self._objects.get(field.node, 1) for field in node.fields)
        return 1
