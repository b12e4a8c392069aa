"""Bytes into Python values and back, by BTF type.

A :class:`Codec` is made once for each type: the type's layout becomes Python source, in which
all plain members are read by one call of :mod:`struct`, and the source is compiled. Values are

=====================================  =====================================================
integers, pointers, bit-fields         int
``bool``                               bool
enums                                  a member of an IntEnum; int, where the value has no name
float, double, ``_Float16``            float (``long double``: bytes)
``char[]``                             str, to the first NUL, undecodable bytes as surrogates
arrays of an unsigned char (``u8[]``)  bytes
other arrays                           tuple
structs                                a record; anonymous members are flattened into it
unions                                 a record of all its views
a flexible array at the end            as its type says, of all the data that is left
=====================================  =====================================================

All is little-endian, as BTF that can be read here is.
"""

from __future__ import annotations

import struct

from pylibbpf.btf.layout import Layout
from pylibbpf.btf.nodes import (
    Bits,
    Blob,
    Bool,
    Composite,
    Elements,
    Field,
    Node,
    Number,
    Real,
    Sink,
    Text,
    shares_bytes,
)
from pylibbpf.btf.record import to_json
from pylibbpf.btf.types import Int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from pylibbpf.btf.parse import Btf

    # Anything that gives bytes; memoryviews must be of format "B".
    Buffer = Any

    class Decode(Protocol):
        def __call__(self, data: Buffer, offset: int = 0) -> Any: ...

    Encode = Callable[[Any], bytes]
    Decoders = dict[Node, Decode]

__all__ = ["Codec", "codec", "to_json"]

# A nested struct is read by its parent's own unpack call, unless source and format grew so much
# larger by it that compiling costs more than the calls saved.
_INLINE_FIELDS = 128
_INLINE_DEPTH = 8
_LANES = 8


def codec(btf: Btf, type_id: int, *, raw: Iterable[str] = ()) -> Codec:
    """Return the codec of a type, made at the first call and kept with ``btf``.

    ``raw`` names members of a struct that are to be bytes, whatever their type.

    Raises:
        BtfError: the type has no values (void, a function, a forward declaration), or is laid
            out as no compiler would.
        ValueError: ``raw`` names what is no member, or a bit-field.
    """
    key = "codec", type_id, frozenset(raw)
    found = btf.memo.get(key)
    if not isinstance(found, Codec):
        found = btf.memo[key] = Codec(btf, type_id, key[2])
    return found


class Codec:
    """Translates between bytes and values of one type. Made by :func:`codec`.

    ``size``
        Bytes of the type; of one that ends in a flexible array, without that array.
    ``flexible``
        Whether it ends in a flexible array.
    ``type_name``
        The type as C spells it: ``struct event``.
    ``python_type``
        The class of the values: a record class, an IntEnum, int, bool, float, str, bytes, tuple.
    ``scalar``
        The format character of :mod:`struct` if the type is a plain integer of 1, 2, 4 or 8
        bytes (not a bool, enum or pointer), else None.
    ``node``
        The tree that the type became (:mod:`pylibbpf.btf.nodes`).
    ``decode(data, offset=0)``
        Return the value that starts ``offset`` bytes into ``data`` (any bytes-like object).
        What follows the value is ignored, as the kernel pads records. Data that ends within
        an array which is the type's end gives what is there of it; otherwise data that is too
        short raises ``ValueError``.
    ``encode(value)``
        Return the bytes of a value. Structs may be given as records, as dicts or by position.
        All fields must be there; of a union at least one view, and all that are given must
        agree. An array of chars or bytes may be shorter than its type. Raises ``TypeError``,
        ``OverflowError`` (an integer that does not fit) or ``ValueError``, which name the field.
    """

    __slots__ = (
        "_cut",
        "_decoders",
        "decode",
        "encode",
        "flexible",
        "node",
        "python_type",
        "scalar",
        "size",
        "type_name",
    )

    decode: Decode
    encode: Encode

    def __init__(self, btf: Btf, type_id: int, raw: frozenset[str]) -> None:
        layout = btf.memo.get("layout")
        if not isinstance(layout, Layout):
            layout = btf.memo["layout"] = Layout(btf)
        self.type_name = btf.c_name(type_id)
        node = layout.node(type_id)
        if raw:
            node = _with_raw(layout, node, raw, self.type_name)
        self.node = node
        self._decoders = layout.decoders
        self._cut: Node | None = None
        self.size = node.size
        self.flexible = node.flexible
        self.python_type: type[Any] = tuple if isinstance(node, Elements) else node.python
        plain = type(node) is Number and node.is_plain and isinstance(btf.strip(type_id), Int)
        self.scalar: str | None = node.code if plain else None
        self.decode = _compile_decode(node, self._short, self._decoders)
        self.encode = self._first_encode

    def __repr__(self) -> str:
        return f"<Codec of {self.type_name}: {self.size} bytes>"

    def _first_encode(self, value: Any) -> bytes:
        """Compile the encoder when it is first needed: most codecs only read."""
        return self.encoder()(value)

    def encoder(self) -> Encode:
        """Return the compiled ``encode``, for a caller that keeps it."""
        if self.encode == self._first_encode:
            self.encode = _compile_encode(self.node, self._slow_encode)
        return self.encode

    def _slow_encode(self, value: Any) -> bytes:
        """Write with all checks. The compiled encoder hands over whatever it cannot do."""
        node = self.node
        size = node.size
        if node.flexible and (cut := _cut_node(node)) is not None:
            size = cut.size  # what C pads the struct with would be taken for elements
        sink = Sink(size, shares_bytes(node))
        name = node.cls.__name__ if isinstance(node, Composite) else self.type_name
        node.put(sink, 0, value, name)
        return bytes(sink.data)

    def _short(self, data: Buffer, offset: int) -> Any:
        """Read data that ends before the type does, if it ends within a trailing array."""
        size = memoryview(data).nbytes - offset
        cut = self._cut
        if cut is None:
            cut = self._cut = _cut_node(self.node)
        if cut is None or not cut.size <= size or offset < 0:
            raise ValueError(f"{self.type_name} needs {self.size} bytes, got {max(size, 0)}")
        return _decoder(cut, self._decoders)(data, offset)


def _with_raw(layout: Layout, node: Node, raw: frozenset[str], type_name: str) -> Node:
    fields: tuple[Field, ...] = node.fields if isinstance(node, Composite) else ()
    blobs: dict[int, Blob] = {}
    left = set(raw)
    for position, field in enumerate(fields):
        if field.name in raw or field.c_name in raw:
            left -= {field.name, field.c_name}
            if isinstance(field.node, Bits):
                raise ValueError(f"{type_name}.{field.name} is a bit-field: it has no bytes")
            blobs[position] = Blob(None if field.node.flexible else field.node.size)
    if left:
        raise ValueError(f"{type_name} has no member {', '.join(sorted(left))}")
    assert isinstance(node, Composite)
    return layout.without(node, blobs)


def _cut_node(node: Node) -> Node | None:
    """Return the node for data that may end within the array at the end of a type, if one is."""
    if isinstance(node, Composite):
        ends = [_end(field) for field in node.fields]
        at = max(range(len(ends)), key=lambda i: (node.fields[i].offset, ends[i]), default=-1)
        if at < 0 or any(end > node.fields[at].offset for i, end in enumerate(ends) if i != at):
            return None
        last = node.fields[at]
        inner = last.node if last.node.flexible else _cut_node(last.node)
        if inner is None or isinstance(inner, Composite):
            return None
        fields = list(node.fields)
        fields[at] = Field(last.name, last.c_name, inner, last.bit)
        return Composite(last.offset, node.cls, tuple(fields), node.parts)
    if isinstance(node, Blob):
        return type(node)(None)
    if isinstance(node, Elements) and node.element.size:
        return Elements(node.element, None)
    return None


def _end(field: Field) -> int:
    if isinstance(field.node, Bits):
        return (field.bit + field.node.width + 7) // 8
    return field.offset + field.node.size


# Reading


def _compile_decode(node: Node, short: Callable[[Buffer, int], Any], decoders: Decoders) -> Decode:
    """Compile the function that reads a node, and hands data that is too short to ``short``."""
    source = _Reader(decoders)
    value = source.value(node, 0, 0)
    check, *rest = source.unpack(node.size, check=True)
    source.bind("error", struct.error)
    source.names["short"] = short
    decode: Decode = source.function(
        ["try:", f"    {check}", "except error:", "    return short(data, offset)", *rest],
        value,
    )
    return decode


def _decoder(node: Node, decoders: Decoders) -> Decode:
    """Return the function that reads a node where data is known to be long enough.

    It is compiled once: a type may lie in many places of others.
    """
    known = decoders.get(node)
    if known is not None:
        return known
    source = _Reader(decoders)
    lines: list[str] = []
    if isinstance(node, Elements):
        value = _elements(node, source, lines)
    elif isinstance(node, Blob) and node.flexible:
        value = node.read("bytes(data[offset:])", source.bind)
    else:
        value = source.value(node, 0, 0)
        lines = source.unpack(node.size, check=False)
    decode: Decode = source.function(lines, value)
    decoders[node] = decode
    return decode


def _elements(node: Elements, source: _Reader, lines: list[str]) -> str:
    """Return the expression of an array's value; append to ``lines`` what goes before it."""
    element, step = node.element, node.element.size
    if node.count is None:
        lines.append(f"count = max(0, len(data) - offset) // {step}")
    count = "count" if node.count is None else str(node.count)
    if isinstance(element, (Number, Real)) and element.read("raw", source.bind) == "raw":
        if node.count is None:
            source.bind("unpack_from", struct.unpack_from)
            return f'unpack_from(f"<{{count}}{element.code}", data, offset)'
        unpack = source.bind("unpack", struct.Struct(f"<{count}{element.code}").unpack_from)
        return f"{unpack}(data, offset)"
    one = source.bind("one", _decoder(element, source.decoders))
    if not step:
        return f"({one}(data, offset),) * {count}"
    return f"tuple([{one}(data, i) for i in range(offset, offset + {step} * {count}, {step})])"


class _Source:
    """A function that is being written, and the objects its source names."""

    __slots__ = ("_count", "names")
    arguments = ""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"new": tuple.__new__}
        self._count = 0

    def bind(self, name: str, value: object) -> str:
        """Return the name by which the source can use ``value``: ``name``, or like it."""
        while self.names.get(name, value) is not value:
            self._count += 1
            name = f"{name.rstrip('0123456789')}{self._count}"
        self.names[name] = value
        return name

    def variable(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def function(self, lines: Iterable[str], value: str) -> Any:
        """Compile. Nothing of the BTF is in the source: neither names nor strings."""
        body = "\n".join([f"    {line}" for line in (*lines, f"return {value}")])
        exec(f"def function({self.arguments}):\n{body}\n", self.names)  # noqa: S102
        return self.names.pop("function")


class _Reader(_Source):
    """Collects what is to be unpacked while the expression of the value is built."""

    __slots__ = ("_fields", "_slots", "_wide", "decoders")
    arguments = "data, offset=0"

    def __init__(self, decoders: Decoders) -> None:
        super().__init__()
        self.decoders = decoders
        self._slots: list[tuple[int, int, str, str]] = []  # offset, size, code, variable
        self._wide: list[str] = []  # variables of units of bit-fields that are still bytes
        self._fields = 0

    def value(self, node: Node, at: int, depth: int) -> str:
        """Return the expression of the value of a node ``at`` bytes into the type."""
        if isinstance(node, Composite):
            fields = self._fields + len(node.fields)
            if depth == 0 or (fields <= _INLINE_FIELDS and depth < _INLINE_DEPTH):
                self._fields = fields
                return self._composite(node, at, depth)
        elif node.code is not None:
            return node.read(self._slot(at, node.size, node.code), self.bind)
        decode = self.bind("decode", _decoder(node, self.decoders))
        return f"{decode}(data, offset + {at})" if at else f"{decode}(data, offset)"

    def _composite(self, node: Composite, at: int, depth: int) -> str:
        units = self._units(node, at)
        values = []
        for field in node.fields:
            if isinstance(field.node, Bits):
                first, unit = units[field.bit]
                values.append(field.node.read_at(unit, field.bit - first, self.bind))
            else:
                values.append(self.value(field.node, at + field.offset, depth + 1))
        cls = self.bind("cls", node.cls)
        return f"new({cls}, ({', '.join(values)}{',' * bool(values)}))"

    def _units(self, node: Composite, at: int) -> dict[int, tuple[int, str]]:
        """Read the bit-fields of a record: by first bit, the unit's first bit and variable.

        Neighbours are read as one integer of up to 8 bytes.
        """
        bits = sorted((f.bit, _end(f)) for f in node.fields if isinstance(f.node, Bits))
        others = sorted(f.offset for f in node.fields if not isinstance(f.node, Bits))
        firsts: list[int] = []  # of each group, its first byte
        ends: list[int] = []
        members: list[list[int]] = []  # first bits of its fields
        for bit, end in bits:
            start = bit // 8
            reached = max(end, ends[-1]) if ends else 0
            if ends and start <= ends[-1] and reached - firsts[-1] <= 8:
                ends[-1] = reached
                members[-1].append(bit)
            else:
                firsts.append(start)
                ends.append(end)
                members.append([bit])
        units: dict[int, tuple[int, str]] = {}
        behind = 0
        for position, (start, end) in enumerate(zip(firsts, ends, strict=True)):
            size = end - start
            # A power of two is read as it is: take padding along where that makes one.
            while behind < len(others) and others[behind] < end:
                behind += 1
            limit = min(
                [node.size, *others[behind : behind + 1], *firsts[position + 1 : position + 2]]
            )
            whole = 1 << (size - 1).bit_length()
            if whole <= 8 and start + whole <= limit:
                size = whole
            if size in (1, 2, 4, 8):
                unit = self._slot(at + start, size, "BHIQ"[size.bit_length() - 1])
            else:
                unit = self._slot(at + start, size, f"{size}s")
                self._wide.append(unit)
            for bit in members[position]:
                units[bit] = (8 * start, unit)
        return units

    def _slot(self, at: int, size: int, code: str) -> str:
        variable = self.variable()
        self._slots.append((at, size, code, variable))
        return variable

    def unpack(self, size: int, check: bool) -> list[str]:
        """Return the lines that read all slots; with ``check``, the first fails on short data.

        What lies one behind the other is read by one call; views of a union take several.
        """
        lanes: list[list[Any]] = []  # [start, reached, format, variables]
        for at, width, code, variable in sorted(self._slots):
            for lane in lanes[:_LANES]:
                if lane[1] <= at:
                    break
            else:
                lane = [at, at, "<", []]
                lanes.append(lane)
            lane[2] += f"{at - lane[1]}x{code}" if at > lane[1] else code
            lane[1] = at + width
            lane[3].append(variable)
        if check and (not lanes or lanes[0][0]):
            lanes.insert(0, [0, 0, "<", []])
        if check and lanes[0][1] < size:
            lanes[0][2] += f"{size - lanes[0][1]}x"
        lines = []
        for start, _, code, variables in lanes:
            unpack = self.bind("unpack", struct.Struct(code).unpack_from)
            call = f"{unpack}(data, offset + {start})" if start else f"{unpack}(data, offset)"
            lines.append(f"{', '.join(variables)}, = {call}" if variables else call)
        if self._wide:
            wide = self.bind("from_bytes", int.from_bytes)
            lines += [f'{unit} = {wide}({unit}, "little")' for unit in self._wide]
        return lines


# Writing


def _compile_encode(node: Node, slow: Encode) -> Encode:
    """Compile the function that writes a node.

    It does what is common without a detour, and only that: whatever it meets that it does not
    know, wrong values included, goes to ``slow``.
    """
    source = _Writer()
    source.lines.append("item = value")
    if not source.add(node, 0, "item", 0):
        return slow
    source.pad(node.size)
    source.bind("slow", slow)
    source.bind("error", struct.error)
    source.bind("pack", struct.Struct(source.format).pack)
    lines = ["try:", *(f"    {line}" for line in source.lines)]
    lines += [f"    return pack({', '.join(source.items)})"]
    lines += ["except (error, TypeError, ValueError, OverflowError, KeyError):", "    pass"]
    encode: Encode = source.function(lines, "slow(value)")
    return encode


class _Writer(_Source):
    """Collects the items of one call of ``pack``, and the lines that take the value apart."""

    __slots__ = ("_at", "_fields", "format", "items", "lines")
    arguments = "value"

    def __init__(self) -> None:
        super().__init__()
        self.format = "<"
        self.items: list[str] = []
        self.lines: list[str] = []
        self._at = 0
        self._fields = 0

    def pad(self, at: int) -> None:
        if at > self._at:
            self.format += f"{at - self._at}x"
        self._at = at

    def _item(self, at: int, size: int, code: str, item: str) -> bool:
        if at < self._at:
            return False
        self.pad(at)
        self.format += code
        self._at += size
        self.items.append(item)
        return True

    def _unless(self, condition: str) -> None:
        self.lines += [f"if not ({condition}):", "    return slow(value)"]

    def add(self, node: Node, at: int, name: str, depth: int) -> bool:
        """Add the value called ``name``; return False where only the slow way will do."""
        if node.flexible or not node.size or self._fields > _INLINE_FIELDS:
            return False
        self._fields += 1
        if isinstance(node, Composite):
            return not node.shared and depth < _INLINE_DEPTH and self._record(node, at, name, depth)
        if isinstance(node, Elements):
            element = node.element
            if not (
                isinstance(element, Real) or (isinstance(element, Number) and element.is_plain)
            ):
                return False
            self._unless(f"{name}.__class__ is tuple and len({name}) == {node.count}")
            return self._item(at, node.size, f"{node.count}{node.element.code}", "*" + name)
        if isinstance(node, Text):
            self.lines += [
                f"if {name}.__class__ is str:",
                f'    {name} = {name}.encode("utf-8", "surrogateescape")',
                f"    if 0 in {name}:",
                "        return slow(value)",
            ]
        if isinstance(node, Blob):
            self._unless(f"{name}.__class__ is bytes and len({name}) <= {node.size}")
        elif isinstance(node, Bool):
            self._unless(f"{name}.__class__ is bool")
        elif not (isinstance(node, Real) or (isinstance(node, Number) and node.is_plain)):
            return False
        assert node.code is not None
        return self._item(at, node.size, node.code, name)

    def _record(self, node: Composite, at: int, name: str, depth: int) -> bool:
        if not node.fields or any(isinstance(field.node, Bits) for field in node.fields):
            return False
        variables = [self.variable() for _ in node.fields]
        targets = ", ".join(variables) + ","
        cls = self.bind("cls", node.cls)
        fields = self.bind("names", node.cls._fields)
        self.lines += [
            f"kind = {name}.__class__",
            f"if kind is {cls} or kind is tuple:",
            f"    {targets} = {name}",
            f"elif kind is dict and len({name}) == {len(variables)}:",
            f"    {targets} = [{name}[field] for field in {fields}]",
            "else:",
            "    return slow(value)",
        ]
        pairs = sorted(zip(node.fields, variables, strict=True), key=lambda pair: pair[0].offset)
        return all(self.add(f.node, at + f.offset, variable, depth + 1) for f, variable in pairs)
