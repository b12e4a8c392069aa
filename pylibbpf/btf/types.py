"""The 19 kinds of BTF types as plain Python objects.

The encoding is that of ``include/uapi/linux/btf.h`` and the kernel's
``Documentation/bpf/btf.rst``. Other types are named by their id, never by reference, so that
any graph of types, a broken one too, can be held. The objects are facts: nobody changes them.
"""

from __future__ import annotations

import enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = [
    "Array",
    "Const",
    "Datasec",
    "DeclTag",
    "Enum",
    "Enum64",
    "Float",
    "Func",
    "FuncProto",
    "Fwd",
    "Int",
    "Kind",
    "Member",
    "Ptr",
    "Restrict",
    "Struct",
    "Type",
    "TypeTag",
    "Typedef",
    "Union",
    "Var",
    "VarSecinfo",
    "Void",
    "Volatile",
]


class Kind(enum.IntEnum):
    """The kinds of types, numbered as in ``BTF_KIND_*``."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


class _Fact:
    """Equality, hash and repr by the slots of the class and of its bases."""

    __slots__ = ()

    def _values(self) -> tuple[object, ...]:
        return tuple(
            getattr(self, slot) for cls in type(self).__mro__[::-1] for slot in _slots(cls)
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        names = [slot for cls in type(self).__mro__[::-1] for slot in _slots(cls)]
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({inner})"


def _slots(cls: type) -> tuple[str, ...]:
    slots: tuple[str, ...] = cls.__dict__.get("__slots__", ())
    return slots


class Type(_Fact):
    """Any BTF type: ``kind`` says which, ``name`` is "" where there is none."""

    __slots__ = ()
    kind: ClassVar[Kind]
    name: str


class Void(Type):
    """``void``, always type 0."""

    __slots__ = ()
    kind = Kind.VOID
    name = ""


class Int(Type):
    """An integer of ``size`` bytes, of which ``bits`` from bit ``offset`` on are used."""

    __slots__ = ("bits", "bool", "char", "name", "offset", "signed", "size")
    kind = Kind.INT

    def __init__(
        self,
        name: str,
        size: int,
        bits: int,
        offset: int = 0,
        signed: bool = False,
        char: bool = False,
        bool: bool = False,
    ) -> None:
        self.name = name
        self.size = size
        self.bits = bits
        self.offset = offset
        self.signed = signed
        self.char = char
        self.bool = bool


class Ptr(Type):
    """A pointer to ``type_id``."""

    __slots__ = ("type_id",)
    kind = Kind.PTR
    name = ""

    def __init__(self, type_id: int) -> None:
        self.type_id = type_id


class Array(Type):
    """``nelems`` elements of ``type_id``; 0 elements for a flexible array."""

    __slots__ = ("index_type_id", "nelems", "type_id")
    kind = Kind.ARRAY
    name = ""

    def __init__(self, type_id: int, index_type_id: int, nelems: int) -> None:
        self.type_id = type_id
        self.index_type_id = index_type_id
        self.nelems = nelems


class Member(_Fact):
    """A member of a struct or union.

    ``bit_offset`` counts bits from the start of the struct; ``bitfield_size`` is the width of a
    bit-field in bits, 0 where the member is none.
    """

    __slots__ = ("bit_offset", "bitfield_size", "name", "type_id")

    def __init__(self, name: str, type_id: int, bit_offset: int, bitfield_size: int = 0) -> None:
        self.name = name
        self.type_id = type_id
        self.bit_offset = bit_offset
        self.bitfield_size = bitfield_size


class _Composite(Type):
    __slots__ = ("members", "name", "size")

    def __init__(self, name: str, size: int, members: tuple[Member, ...]) -> None:
        self.name = name
        self.size = size
        self.members = members


class Struct(_Composite):
    """A struct of ``size`` bytes."""

    __slots__ = ()
    kind = Kind.STRUCT


class Union(_Composite):
    """A union of ``size`` bytes."""

    __slots__ = ()
    kind = Kind.UNION


class _Enumeration(Type):
    __slots__ = ("name", "signed", "size", "values")

    def __init__(
        self, name: str, size: int, signed: bool, values: tuple[tuple[str, int], ...]
    ) -> None:
        self.name = name
        self.size = size
        self.signed = signed
        self.values = values


class Enum(_Enumeration):
    """An enumeration of ``size`` bytes with values of 32 bits.

    Compilers older than LLVM 15 do not record the sign: there ``signed`` is False and a
    negative value shows as its unsigned twin.
    """

    __slots__ = ()
    kind = Kind.ENUM


class Enum64(_Enumeration):
    """An enumeration of ``size`` bytes with values of 64 bits (kernel 6.0, LLVM 15)."""

    __slots__ = ()
    kind = Kind.ENUM64


class Fwd(Type):
    """A struct or union that is declared but not defined."""

    __slots__ = ("is_union", "name")
    kind = Kind.FWD

    def __init__(self, name: str, is_union: bool = False) -> None:
        self.name = name
        self.is_union = is_union


class _Reference(Type):
    __slots__ = ("name", "type_id")

    def __init__(self, name: str, type_id: int) -> None:
        self.name = name
        self.type_id = type_id


class Typedef(_Reference):
    """Another name for ``type_id``."""

    __slots__ = ()
    kind = Kind.TYPEDEF


class Volatile(_Reference):
    """``volatile``."""

    __slots__ = ()
    kind = Kind.VOLATILE


class Const(_Reference):
    """``const``."""

    __slots__ = ()
    kind = Kind.CONST


class Restrict(_Reference):
    """``restrict``."""

    __slots__ = ()
    kind = Kind.RESTRICT


class TypeTag(_Reference):
    """``__attribute__((btf_type_tag("name")))`` on ``type_id``.

    ``attribute``: it is ``__attribute__((name))`` (kind_flag, as pahole writes from 1.30 on).
    """

    __slots__ = ("attribute",)
    kind = Kind.TYPE_TAG

    def __init__(self, name: str, type_id: int, attribute: bool = False) -> None:
        super().__init__(name, type_id)
        self.attribute = attribute


class Func(Type):
    """A function whose prototype is ``type_id``; linkage 0 static, 1 global, 2 extern."""

    __slots__ = ("linkage", "name", "type_id")
    kind = Kind.FUNC

    def __init__(self, name: str, type_id: int, linkage: int = 1) -> None:
        self.name = name
        self.type_id = type_id
        self.linkage = linkage


class FuncProto(Type):
    """A prototype: return type ``type_id`` and ``params`` as (name, type id).

    A last parameter ("", 0) stands for ``...``.
    """

    __slots__ = ("params", "type_id")
    kind = Kind.FUNC_PROTO
    name = ""

    def __init__(self, type_id: int, params: tuple[tuple[str, int], ...]) -> None:
        self.type_id = type_id
        self.params = params


class Var(Type):
    """A global variable; linkage 0 static, 1 global, 2 extern."""

    __slots__ = ("linkage", "name", "type_id")
    kind = Kind.VAR

    def __init__(self, name: str, type_id: int, linkage: int = 1) -> None:
        self.name = name
        self.type_id = type_id
        self.linkage = linkage


class VarSecinfo(_Fact):
    """Where a variable (or extern function) lies in its section: ``offset``, ``size`` in bytes."""

    __slots__ = ("offset", "size", "type_id")

    def __init__(self, type_id: int, offset: int, size: int) -> None:
        self.type_id = type_id
        self.offset = offset
        self.size = size


class Datasec(Type):
    """A data section of ``size`` bytes (0 where the compiler left it to libbpf)."""

    __slots__ = ("name", "size", "vars")
    kind = Kind.DATASEC

    def __init__(self, name: str, size: int, vars: tuple[VarSecinfo, ...]) -> None:
        self.name = name
        self.size = size
        self.vars = vars


class Float(Type):
    """A floating-point number of ``size`` bytes."""

    __slots__ = ("name", "size")
    kind = Kind.FLOAT

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size


class DeclTag(Type):
    """``__attribute__((btf_decl_tag("name")))`` on the declaration ``type_id``.

    ``component_idx`` is the member or parameter that is tagged, -1 for the declaration itself.
    """

    __slots__ = ("component_idx", "name", "type_id")
    kind = Kind.DECL_TAG

    def __init__(self, name: str, type_id: int, component_idx: int = -1) -> None:
        self.name = name
        self.type_id = type_id
        self.component_idx = component_idx
