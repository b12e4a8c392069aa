"""The record classes and enumerations of a generated module, and annotations made of them.

Everything that comes out of the object file is data: a name that is no identifier never becomes
part of the module's code, but a string literal.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from pylibbpf.btf.codec import Codec, codec
from pylibbpf.btf.nodes import Bits, Blob, Bool, Composite, Elements, Enumerated, Node, Real, Text
from pylibbpf.btf.parse import Btf
from pylibbpf.errors import BtfError

__all__ = ["Types", "class_name", "is_name", "literal"]

# Names of tuple that a field may hide: mypy is told.
_HIDDEN = frozenset(("count", "index"))


def is_name(text: str) -> bool:
    """Whether a name out of a file can stand in Python code as it is."""
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text)


def literal(text: str) -> str:
    """A string literal in double quotes, as formatters of code have them."""
    quoted = ascii(text)
    inner = quoted[1:-1]
    return quoted if '"' in inner or "'" in inner else f'"{inner}"'


def class_name(text: str) -> str:
    """``opensnoop_event`` becomes ``OpensnoopEvent``."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if is_name(name) else f"T{name}"


class Types:
    """Collects the classes that annotations refer to."""

    def __init__(self, btf: Btf | None, taken: Iterable[str]) -> None:
        self._btf = btf
        self._taken = set(taken)
        self._names: dict[tuple[str, tuple[object, ...]], str] = {}
        self._classes: list[str] = []

    def of(self, type_id: int | None) -> str:
        """Give the annotation of a type's values; ``bytes`` where there is no type."""
        if self._btf is None or not type_id:
            return "bytes"
        try:
            return self.of_codec(codec(self._btf, type_id))
        except BtfError:
            return "bytes"  # no codec can be made of it, so its values are bytes at run time, too

    def of_codec(self, made: Codec | None) -> str:
        return "bytes" if made is None else self._of(made.node)

    def _of(self, node: Node) -> str:
        if isinstance(node, Bits):
            return self._of(node.base)
        if isinstance(node, Composite):
            return self._record(node)
        if isinstance(node, Enumerated):
            # A number that the enumeration has no name for stays an int.
            return f"{self._enumeration(node)} | int"
        if isinstance(node, Elements):
            return f"tuple[{self._of(node.element)}, ...]"
        for kind, name in ((Bool, "bool"), (Text, "str"), (Blob, "bytes"), (Real, "float")):
            if isinstance(node, kind):
                return name
        return "int"

    def _record(self, node: Composite) -> str:
        cls = node.cls
        key = (cls.__name__, cls._fields)
        known = self._names.get(key)
        if known is not None:
            return known
        if not all(is_name(field) for field in cls._fields):
            return "pylibbpf.Record"  # fields by position only
        self._names[key] = name = self._free(cls.__name__)
        lines = [
            f"class {name}(pylibbpf.Record, c_name={literal(cls.__name__)}):",
            "    __slots__ = ()",
        ]
        for field in node.fields:
            hides = "  # type: ignore[assignment]  # of tuple" if field.name in _HIDDEN else ""
            lines.append(f"    {field.name}: {self._of(field.node)}{hides}")
        self._classes.append("\n".join(lines))
        return name

    def _enumeration(self, node: Enumerated) -> str:
        cls = node.python
        members = [(name, member.value) for name, member in cls.__members__.items()]
        key = (cls.__name__, tuple(members))
        known = self._names.get(key)
        if known is not None:
            return known
        if not members or not all(is_name(each) for each, _ in members):
            return "pylibbpf.Enumeration"
        self._names[key] = name = self._free(cls.__name__)
        lines = [f"class {name}(pylibbpf.Enumeration, c_name={literal(cls.__name__)}):"]
        lines += [f"    {each} = {value}" for each, value in members]
        self._classes.append("\n".join(lines))
        return name

    def _free(self, c_name: str) -> str:
        wanted = name = class_name(c_name)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._taken.add(name)
        return name

    def classes(self) -> str:
        """Give the code of all classes, each after those that it refers to."""
        return "\n\n\n".join(self._classes)
