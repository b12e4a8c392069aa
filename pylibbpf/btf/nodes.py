"""How a value of each shape lies in memory: what a codec is made of.

A node knows its size in bytes, the Python type of its value, and how to write a value with every
check (``put``). What reads a node is generated source (``codec.py``): a node with a ``code`` is
one item of :mod:`struct`'s formats, and ``read`` gives the expression that makes the value of it.
"""

from __future__ import annotations

import struct
from operator import index as as_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from pylibbpf.btf.record import Enumeration, Record

    Bind = Callable[[str, object], str]

_MASK_ALL = b"\xff"


class Sink:
    """Where ``put`` writes.

    Views of a union share bytes. So with ``shared`` it is noted which bits each value claims, and
    two values that claim the same bits must agree on them: then a record of all views of a union,
    as ``decode`` gives it, can be written, and one whose views contradict each other cannot.
    """

    __slots__ = ("claimed", "data")

    def __init__(self, size: int, shared: bool) -> None:
        self.data = bytearray(size)
        self.claimed = bytearray(size) if shared else None

    def grow(self, size: int) -> None:
        """Make room, for a flexible array."""
        more = bytes(max(0, size - len(self.data)))
        self.data += more
        if self.claimed is not None:
            self.claimed += more

    def write(self, at: int, data: bytes, path: str, *, claim: bool = True) -> None:
        """Write whole bytes. Without ``claim``, only those that no other value has claimed."""
        end = at + len(data)
        claimed = self.claimed
        if claimed is None:
            self.data[at:end] = data
            return
        if any(claimed[at:end]):
            size = end - at
            held = int.from_bytes(claimed[at:end], "little")
            old = int.from_bytes(self.data[at:end], "little") & held
            new = int.from_bytes(data, "little")
            if claim and (new ^ old) & held:
                raise _disagree(path)
            data = (new & ~held | old).to_bytes(size, "little")
        self.data[at:end] = data
        if claim:
            claimed[at:end] = _MASK_ALL * (end - at)

    def write_bits(self, at: int, width: int, value: int, path: str) -> None:
        """Write ``width`` bits from bit ``at`` on, and leave those around them."""
        first, end = at // 8, (at + width + 7) // 8
        shift = at % 8
        mask = ((1 << width) - 1) << shift
        new = value << shift & mask
        old = int.from_bytes(self.data[first:end], "little")
        if self.claimed is not None:
            held = int.from_bytes(self.claimed[first:end], "little")
            if (new ^ old) & held & mask:
                raise _disagree(path)
            self.claimed[first:end] = (held | mask).to_bytes(end - first, "little")
        self.data[first:end] = (old & ~mask | new).to_bytes(end - first, "little")


def _disagree(path: str) -> ValueError:
    return ValueError(
        f"{path}: differs from another view of the same bytes of its union; "
        "give a dict with one of them"
    )


class Node:
    """A shape: ``size`` in bytes (the fixed part), ``python`` the type of its values."""

    __slots__ = ("python", "size")
    code: str | None = None  # of module struct, for one item of the node's whole size
    flexible = False  # takes whatever data is left

    size: int
    python: Any

    def read(self, raw: str, bind: Bind) -> str:
        """Give the expression of the value, made of the item of ``code`` called ``raw``."""
        raise NotImplementedError

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        """Write ``value`` at byte ``at``.

        ``path`` names the value in errors, which are ``TypeError``, ``OverflowError`` (an
        integer out of range) and ``ValueError``.
        """
        raise NotImplementedError


def _expected(path: str, what: str, value: object) -> TypeError:
    return TypeError(f"{path}: expected {what}, got {type(value).__name__}")


_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Number(Node):
    """An integer or a pointer of any number of bytes."""

    __slots__ = ("code", "signed")

    def __init__(self, size: int, signed: bool) -> None:
        self.size = size
        self.signed = signed
        self.python = int
        code = _CODES.get(size, f"{size}s")
        self.code = code.lower() if signed else code

    @property
    def is_plain(self) -> bool:
        """Whether :mod:`struct` writes the values, and refuses others, as ``put`` does."""
        return self.size in _CODES

    def read(self, raw: str, bind: Bind) -> str:
        if self.size in _CODES:
            return raw
        signed = ", signed=True" if self.signed else ""
        return f'{bind("from_bytes", int.from_bytes)}({raw}, "little"{signed})'

    def check(self, value: Any, path: str, bits: int) -> int:
        """Return ``value`` as an int that fits into ``bits``, or raise."""
        try:
            number = as_int(value)
        except TypeError:
            raise _expected(path, "int", value) from None
        low, high = (-1 << bits - 1, 1 << bits - 1) if self.signed else (0, 1 << bits)
        if not low <= number < high:
            raise OverflowError(f"{path}: {number} is outside {low} to {high - 1}")
        return number

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        number = self.check(value, path, 8 * self.size)
        sink.write(at, number.to_bytes(self.size, "little", signed=self.signed), path)


class Bool(Number):
    """C's ``bool``; any byte but 0 reads as True."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(size, False)
        self.python = bool
        if size == 1:
            self.code = "?"

    @property
    def is_plain(self) -> bool:  # struct takes any value as true
        return False

    def read(self, raw: str, bind: Bind) -> str:
        return raw if self.size == 1 else f"{super().read(raw, bind)} != 0"

    def check(self, value: Any, path: str, bits: int) -> int:
        if not isinstance(value, int):
            raise _expected(path, "bool", value)
        if value not in (0, 1):
            raise OverflowError(f"{path}: {value} is outside 0 to 1")
        return int(value)

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        number = self.check(value, path, 1)
        # True stands for any byte but 0: it must not contradict another view of that byte.
        sink.write(at, number.to_bytes(self.size, "little"), path, claim=not number)


class Known(dict[int, "Enumeration"]):
    """The enumerators by value; a value without one is given as it is."""

    __slots__ = ()

    def __missing__(self, value: int) -> int:
        return value


class Enumerated(Number):
    """A C enum."""

    __slots__ = ("known",)

    def __init__(self, size: int, signed: bool, cls: type[Enumeration]) -> None:
        super().__init__(size, signed)
        self.python = cls
        self.known = Known({member.value: member for member in cls})

    def read(self, raw: str, bind: Bind) -> str:
        return f"{bind('known', self.known)}[{super().read(raw, bind)}]"

    def check(self, value: Any, path: str, bits: int) -> int:
        if isinstance(value, str):
            member = self.python.__members__.get(value)
            if member is None:
                raise ValueError(f"{path}: enum {self.python.__name__} has no {value!r}")
            value = member
        return super().check(value, path, bits)


class Real(Node):
    """A floating-point number of 2, 4 or 8 bytes."""

    __slots__ = ("code",)
    code: str
    CODES: ClassVar[dict[int, str]] = {2: "e", 4: "f", 8: "d"}

    def __init__(self, size: int) -> None:
        self.size = size
        self.python = float
        self.code = self.CODES[size]

    def read(self, raw: str, bind: Bind) -> str:
        return raw

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        try:
            data = struct.pack("<" + self.code, value)
        except struct.error:
            raise _expected(path, "float", value) from None
        except OverflowError:
            raise OverflowError(f"{path}: {value} is too large for {self.size} bytes") from None
        # The bits of a NaN do not survive being a Python float: let an exact view have them.
        sink.write(at, data, path, claim=value == value)


class Blob(Node):
    """``u8[]``, or anything wanted raw: bytes. With ``size`` None, all that is left."""

    __slots__ = ("code", "flexible")
    what = "bytes"

    def __init__(self, size: int | None) -> None:
        self.flexible = size is None
        self.size = size or 0
        self.python = bytes
        self.code = None if size is None else f"{size}s"

    def read(self, raw: str, bind: Bind) -> str:
        return raw

    def bytes_of(self, value: Any, path: str) -> bytes:
        """Return the bytes to write, or raise ``TypeError``."""
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise _expected(path, self.what, value)
        return bytes(value)

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        data = self.bytes_of(value, path)
        if self.flexible:
            sink.grow(at + len(data))
        elif len(data) > self.size:
            raise ValueError(f"{path}: {len(data)} bytes do not fit into {self.size}")
        sink.write(at, data.ljust(self.size, b"\0"), path)


class Text(Blob):
    """``char[]``: str to the first NUL, with ``surrogateescape`` for what is not UTF-8."""

    __slots__ = ()
    what = "str or bytes"

    def __init__(self, size: int | None) -> None:
        super().__init__(size)
        self.python = str

    def read(self, raw: str, bind: Bind) -> str:
        nul = bind("nul", b"\0")
        return f'{raw}.partition({nul})[0].decode("utf-8", "surrogateescape")'

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        if not isinstance(value, str):
            super().put(sink, at, value, path)
            return
        try:
            data = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ValueError(f"{path}: {value!r} cannot be written as UTF-8") from None
        if b"\0" in data:
            raise ValueError(f"{path}: a NUL within a str would end it; give bytes")
        if self.flexible:
            sink.grow(at + len(data) + 1)
        elif len(data) > self.size:
            raise ValueError(f"{path}: {len(data)} bytes do not fit into {self.size}")
        # What follows the NUL was lost when the str was read: another view may have it.
        sink.write(at, data + b"\0" * (self.flexible or len(data) < self.size), path)


class Elements(Node):
    """An array of ``count`` elements; with ``count`` None, as many as are left."""

    __slots__ = ("count", "element", "flexible")

    def __init__(self, element: Node, count: int | None) -> None:
        self.element = element
        self.count = count
        self.flexible = count is None
        self.size = element.size * (count or 0)
        self.python = tuple.__class_getitem__((element.python, ...))

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        if isinstance(value, (str, bytes, bytearray, dict)) or not hasattr(value, "__len__"):
            raise _expected(path, "a sequence", value)
        if self.count is not None and len(value) != self.count:
            raise ValueError(f"{path}: expected {self.count} elements, got {len(value)}")
        put, step = self.element.put, self.element.size
        try:
            items = list(value)
        except TypeError:
            raise _expected(path, "a sequence", value) from None
        if self.flexible:
            sink.grow(at + step * len(items))
        if isinstance(self.element, Number) and self.element.is_plain:
            try:
                data = struct.pack(f"<{len(items)}{self.element.code}", *items)
            except struct.error:
                pass  # one of them is wrong: find out which
            else:
                sink.write(at, data, path)
                return
        for position, item in enumerate(items):
            put(sink, at + step * position, item, f"{path}[{position}]")


class Bits(Node):
    """A bit-field: ``width`` bits of an integer, bool or enum. Its field says where it lies."""

    __slots__ = ("base", "width")

    def __init__(self, base: Number, width: int) -> None:
        self.base = base
        self.width = width
        self.size = base.size
        self.python = base.python

    def read_at(self, unit: str, shift: int, bind: Bind) -> str:
        """Give the expression of the value, ``shift`` bits up in the integer called ``unit``."""
        mask = (1 << self.width) - 1
        value = f"({unit} >> {shift} & {mask})" if shift else f"({unit} & {mask})"
        if isinstance(self.base, Bool):
            return f"({value} != 0)"
        if self.base.signed:
            sign = 1 << (self.width - 1)
            value = f"(({value} ^ {sign}) - {sign})"
        if isinstance(self.base, Enumerated):
            return f"{bind('known', self.base.known)}[{value}]"
        return value

    def put_at(self, sink: Sink, bit: int, value: Any, path: str) -> None:
        """Write the value from bit ``bit`` on."""
        sink.write_bits(bit, self.width, self.base.check(value, path, self.width), path)


class Field:
    """A field of a record: its name in Python and in C, and where it lies.

    ``offset`` is in bytes from the start of the record; ``bit``, for a bit-field, in bits.
    """

    __slots__ = ("bit", "c_name", "name", "node", "offset")

    def __init__(self, name: str, c_name: str, node: Node, bit: int) -> None:
        self.name = name
        self.c_name = c_name
        self.node = node
        self.bit = bit
        self.offset = bit // 8


class Choice:
    """An anonymous union within a record: ``views`` are lists of fields (indices) or choices."""

    __slots__ = ("views",)

    def __init__(self, views: list[list[int | Choice]]) -> None:
        self.views = views


class Composite(Node):
    """A struct or union as a record of ``cls``; what was anonymous within it is flattened.

    ``parts`` says which fields make a complete value: all, or of a choice at least one view.
    """

    __slots__ = ("cls", "fields", "flexible", "parts", "shared")

    def __init__(
        self, size: int, cls: type[Record], fields: tuple[Field, ...], parts: list[int | Choice]
    ) -> None:
        self.size = size
        self.cls = cls
        self.python = cls
        self.fields = fields
        self.parts = parts
        self.flexible = any(field.node.flexible for field in fields)
        self.shared = any(isinstance(part, Choice) for part in parts) or any(
            shares_bytes(field.node) for field in fields
        )

    def put(self, sink: Sink, at: int, value: Any, path: str) -> None:
        for field, item in self._items(value, path):
            inner = f"{path}.{field.name}"
            if isinstance(field.node, Bits):
                field.node.put_at(sink, 8 * at + field.bit, item, inner)
            else:
                field.node.put(sink, at + field.offset, item, inner)

    def _items(self, value: Any, path: str) -> list[tuple[Field, Any]]:
        """Pair fields and values, by position or by name."""
        fields = self.fields
        if isinstance(value, (tuple, list)):
            names = getattr(value, "_fields", None)
            if names is not None and tuple(names) != self.cls._fields:
                raise _expected(path, f"a record {self.cls.__name__}", value)
            if len(value) != len(fields):
                raise TypeError(f"{path}: expected {len(fields)} fields, got {len(value)}")
            return list(zip(fields, value, strict=True))
        if not hasattr(value, "keys") or not hasattr(value, "__getitem__"):
            raise _expected(path, f"a record {self.cls.__name__}, dict or tuple", value)
        left = set(value.keys())
        items: dict[int, tuple[Field, Any]] = {}
        for position, field in enumerate(fields):
            for name in (field.name, field.c_name):
                if name in left:
                    left.discard(name)
                    items[position] = (field, value[name])
                    break
        if left:
            raise TypeError(f"{path}: no field {', '.join(sorted(map(str, left)))}")
        missing = [self._names(part) for part in self.parts if not _complete(part, items)]
        if missing:
            raise TypeError(f"{path}: missing {', '.join(missing)}")
        return list(items.values())

    def _names(self, part: int | Choice) -> str:
        if isinstance(part, int):
            return self.fields[part].name
        views = [" and ".join(map(self._names, view)) for view in part.views if view]
        return f"one of ({', '.join(views)})"


def _complete(part: int | Choice, given: dict[int, tuple[Field, Any]]) -> bool:
    if isinstance(part, int):
        return part in given
    return not part.views or any(all(_complete(p, given) for p in view) for view in part.views)


def shares_bytes(node: Node) -> bool:
    """Whether some value in the node shares bytes with another, as the views of a union do."""
    while isinstance(node, Elements):
        node = node.element
    return isinstance(node, Composite) and node.shared
