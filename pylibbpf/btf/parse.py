"""Read BTF: the type information in ``.BTF`` of an object or in ``/sys/kernel/btf``.

Layout from the kernel's ``Documentation/bpf/btf.rst``; the limits are those of
``kernel/bpf/btf.c``. The input may be anything: what is wrong with it raises
:class:`~pylibbpf.errors.BtfError` and nothing else. Reading is lazy, because the kernel's own BTF
has some 100,000 types of which a program needs a few: one pass notes where each type starts, and
a type becomes an object when it is first asked for.
"""

from __future__ import annotations

import struct

from pylibbpf.btf.names import essential
from pylibbpf.btf.raw import TYPE, scan, sections
from pylibbpf.btf.types import (
    Array,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Member,
    Ptr,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    VarSecinfo,
    Void,
    Volatile,
)
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pylibbpf.btf.index import NameIndex

    Buffer = bytes | bytearray | memoryview
    Build = Callable[["Btf", str, int, int, int], Type]

__all__ = ["Btf", "Known"]

# Longest chain of typedefs, qualifiers and array dimensions that is followed, and deepest
# nesting of structs. The kernel stops at 32 (MAX_RESOLVE_DEPTH), but DWARF knows no limit.
MAX_DEPTH = 128

_U32 = struct.Struct("<I")
_ARRAY = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_ENUM64 = struct.Struct("<III")
_SECINFO = struct.Struct("<III")
_PARAM = struct.Struct("<II")

_KINDS = list(Kind)
_VOID = Void()
_MODIFIERS = (Typedef, Const, Volatile, Restrict, TypeTag)
# All that C lets one write (libbpf 1.7: determine_ptr_size).
_LONG_NAMES = frozenset(
    {
        "long",
        "long int",
        "int long",
        "unsigned long",
        "long unsigned",
        "unsigned long int",
        "unsigned int long",
        "long unsigned int",
        "long int unsigned",
        "int unsigned long",
        "int long unsigned",
    }
)


class Known:
    """What reading some BTF found out: where its types start, and their names."""

    __slots__ = ("names", "offsets")

    def __init__(self, offsets: Sequence[int], names: NameIndex) -> None:
        self.offsets = offsets
        self.names = names


class Btf:
    """The types of one object, of a kernel, or of a kernel module.

    ``data`` is the raw BTF, ``base`` the BTF that a split one (a module's) extends; its ids and
    strings go on where those of ``base`` end. Type ids are ints from 0 (void) on. ``known`` is what
    :meth:`known` of the same data gave: then nothing is looked through.

    Every method raises :class:`~pylibbpf.errors.BtfError` where an id does not exist or the type
    it needs is broken: the pass at construction checks header and sizes, each type's own ids and
    names are checked when it is first asked for.

    Raises:
        BtfError: ``data`` is not BTF, big-endian, cut short, or of a kind unknown.
    """

    __slots__ = (
        "_aligns",
        "_data",
        "_first",
        "_index",
        "_len",
        "_names",
        "_offsets",
        "_pointer_size",
        "_str_end",
        "_str_first",
        "_str_start",
        "_types",
        "base",
        "memo",
    )

    _offsets: Sequence[int]
    _names: NameIndex | None
    _str_first: int

    def __init__(
        self, data: Buffer, base: Btf | None = None, *, known: Known | None = None
    ) -> None:
        raw = data if type(data) is bytes else bytes(data)
        type_start, type_end, str_start, str_end = sections(raw, base is not None)
        self._begin(raw, base)
        self._str_start = str_start
        self._str_end = str_end
        if known is not None:
            self._offsets, self._names = known.offsets, known.names
        else:
            self._offsets = scan(raw, type_start, type_end, self._first)
        self._len = self._first + len(self._offsets)

    @classmethod
    def from_types(
        cls, types: Sequence[Type], pointer_size: int = 8, base: Btf | None = None
    ) -> Btf:
        """Build from type objects, which get the ids 1, 2, ... (after those of ``base``).

        ``pointer_size`` is in bytes. Ids within the types are checked when they are used.
        """
        btf = cls.__new__(cls)
        btf._begin(b"", base)
        btf._pointer_size = pointer_size
        btf._types.update(enumerate(types, btf._first))
        btf._len = btf._first + len(types)
        return btf

    def _begin(self, data: bytes, base: Btf | None) -> None:
        self.base = base
        # What other modules derive from these types and want to keep as long as they live.
        self.memo: dict[object, object] = {}
        self._data = data
        self._first = 1 if base is None else len(base)
        self._len = self._first
        self._str_first = 0 if base is None else base._str_first + base._str_len
        self._str_start = self._str_end = 0
        self._offsets = ()
        self._types: dict[int, Type] = {} if base is not None else {0: _VOID}
        self._index: dict[int | str, int | list[int]] = {}
        self._names = None
        self._aligns: dict[int, int] = {}
        self._pointer_size = 0

    @property
    def _str_len(self) -> int:
        return self._str_end - self._str_start

    @property
    def first_id(self) -> int:
        """The first id that is not one of ``base``."""
        return self._first

    def __len__(self) -> int:
        """The number of ids: one more than the last, as 0 is void; with those of ``base``."""
        return self._len

    def __repr__(self) -> str:
        split = f" on {self.base!r}" if self.base is not None else ""
        return f"<Btf: {self._len} types{split}>"

    def known(self) -> Known:
        """Give what was found out about the data as a whole, to be kept for another time."""
        return Known(self._offsets, self.names)

    # Types by id and by name

    def type(self, type_id: int) -> Type:
        """Return the type with this id."""
        found = self._types.get(type_id)
        if found is not None:
            return found
        if self.base is not None and 0 <= type_id < self._first:
            return self.base.type(type_id)
        if not self._first <= type_id < self._len:
            raise BtfError(f"BTF has no type {type_id} (it has ids 0 to {self._len - 1})")
        found = self._types[type_id] = self._build(type_id)
        return found

    def kind(self, type_id: int) -> Kind:
        """Return the kind of this type, without building the type."""
        if self.base is not None and type_id < self._first:
            return self.base.kind(type_id)
        at = type_id - self._first
        if not 0 <= at < len(self._offsets):
            return self.type(type_id).kind
        return _KINDS[self._data[self._offsets[at] + 7] & 0x1F]

    def types(self, *kinds: Kind) -> Iterator[tuple[int, Type]]:
        """Yield (id, type) of this BTF's own types, not those of ``base``; of these kinds only."""
        for type_id in range(self._first, self._len):
            if not kinds or self.kind(type_id) in kinds:
                yield type_id, self.type(type_id)

    def find(self, name: str, *kinds: Kind) -> list[int]:
        """Return the ids of all types with this name (of these kinds), base first; may be empty.

        The first call reads all names, 20 ms for a kernel's BTF. Anonymous types are not found.
        """
        if not name:
            return []
        found = self.base.find(name, *kinds) if self.base is not None else []
        if self._names is not None:
            own = [i for i in self._names.ids(essential(name)) if self._name(i) == name]
        else:
            own = self._indexed(name)
        return found + [i for i in own if not kinds or self.kind(i) in kinds]

    def find_flavours(self, name: str) -> list[int]:
        """Return the ids of this BTF's own types called ``name`` or ``name___anything``, in order.

        ``name`` is without a flavour (:func:`pylibbpf.btf.names.essential`).
        """
        return [i for i in self.names.ids(name) if essential(self._name(i)) == name]

    @property
    def names(self) -> NameIndex:
        """The index of all names, made when first asked for: 70 ms for a kernel's BTF."""
        if self._names is None:
            self._names = self._make_names()
            self._index = {}
        return self._names

    def string(self, offset: int) -> str:
        r"""Return the string at this offset of the string section (``.BTF.ext`` refers to it).

        Bytes that are not UTF-8 are shown as ``\xNN``.
        """
        own = offset - self._str_first
        if own < 0 and self.base is not None:
            return self.base.string(offset)
        start = self._str_start + own
        if not 0 <= own < self._str_len:
            if offset == 0:
                return ""
            raise BtfError(f"BTF string offset {offset} is outside its {self._str_len} bytes")
        return self._data[start : self._data.index(0, start)].decode("utf-8", "backslashreplace")

    # What follows from types

    @property
    def pointer_size(self) -> int:
        """Bytes of a pointer: told by the size of C's ``long``, 8 where there is none."""
        if not self._pointer_size:
            self._pointer_size = self._guess_pointer_size()
        return self._pointer_size

    def resolve(self, type_id: int) -> int:
        """Return the id behind typedefs, const, volatile, restrict and type tags."""
        start = type_id
        for _ in range(MAX_DEPTH):
            found = self.type(type_id)
            if not isinstance(found, _MODIFIERS):
                return type_id
            type_id = found.type_id
        raise BtfError(f"BTF type {start} is a chain of typedefs without an end")

    def strip(self, type_id: int) -> Type:
        """Return the type behind typedefs, const, volatile, restrict and type tags."""
        return self.type(self.resolve(type_id))

    def sizeof(self, type_id: int) -> int:
        """Return the size in bytes; of a variable, that of its type.

        Raises:
            BtfError: the type has no size (void, a function, a forward declaration).
        """
        start, times = type_id, 1
        for _ in range(MAX_DEPTH):
            found = self.type(self.resolve(type_id))
            if isinstance(found, (Int, Struct, Union, Enum, Enum64, Float, Datasec)):
                return times * found.size
            if isinstance(found, Ptr):
                return times * self.pointer_size
            if isinstance(found, Array):
                times *= found.nelems
            elif not isinstance(found, Var):
                raise BtfError(f"{self.c_name(start)} (BTF type {start}) has no size")
            type_id = found.type_id
        raise BtfError(f"BTF type {start} is a chain of arrays without an end")

    def alignof(self, type_id: int) -> int:
        """Return the alignment in bytes that C gives the type (1 for a packed struct).

        Raises:
            BtfError: the type has no alignment, or contains itself.
        """
        return self._alignof(type_id, MAX_DEPTH)

    def c_name(self, type_id: int) -> str:
        """Spell the type as C does: ``struct event *``, ``char[16]``, ``__u32``.

        A typedef is spelled by its name; a struct without one is ``struct (anonymous)``.
        """
        return self._declare(type_id, "", [MAX_DEPTH])

    # Below: how

    def _alignof(self, type_id: int, depth: int) -> int:
        resolved = self.resolve(type_id)
        known = self._aligns.get(resolved)
        if known is not None:
            return known
        if depth == 0:
            raise BtfError(f"BTF type {type_id} contains itself")
        found = self.type(resolved)
        if isinstance(found, (Int, Enum, Enum64, Float)):
            # libbpf's btf__align_of: nothing is aligned beyond a pointer, but 128-bit ints.
            limit = 16 if isinstance(found, Int) and found.size == 16 else self.pointer_size
            align = max(1, min(found.size, limit))
        elif isinstance(found, Ptr):
            align = self.pointer_size
        elif isinstance(found, (Array, Var)):
            align = self._alignof(found.type_id, depth - 1)
        elif isinstance(found, (Struct, Union)):
            align = 1
            for member in found.members:
                inner = self._alignof(member.type_id, depth - 1)
                if not member.bitfield_size and member.bit_offset % (8 * inner):
                    align = 1  # a member off its alignment: the struct is packed
                    break
                align = max(align, inner)
            if found.size % align:
                align = 1
        else:
            raise BtfError(f"{self.c_name(type_id)} (BTF type {type_id}) has no alignment")
        self._aligns[resolved] = align
        return align

    def _declare(self, type_id: int, inner: str, budget: list[int]) -> str:
        """Spell a declaration of ``inner`` with this type, from the inside out."""
        while True:
            budget[0] -= 1
            if budget[0] < 0:
                raise BtfError(f"the name of BTF type {type_id} has no end")
            found = self.type(type_id)
            if isinstance(found, Ptr):
                inner = "*" + inner
            elif isinstance(found, Array):
                inner = f"({inner})" if inner.startswith("*") else inner
                inner = f"{inner}[{found.nelems or ''}]"
            elif isinstance(found, FuncProto):
                inner = f"({inner})" if inner.startswith("*") else inner
                params = [
                    "..." if not i and not name else self._declare(i, "", budget)
                    for name, i in found.params
                ]
                inner = f"{inner}({', '.join(params) or 'void'})"
            elif isinstance(found, (Const, Volatile, Restrict)):
                word = found.kind.name.lower()
                pointee = self.type(found.type_id)
                if isinstance(pointee, Ptr):
                    inner = f"{word} {inner}".rstrip()
                elif not isinstance(pointee, (Array, FuncProto)):
                    # C writes "const int *", not "int const *"
                    return f"{word} {self._declare(found.type_id, inner, budget)}"
            elif isinstance(found, (Func, Var)):
                inner = found.name + inner
            elif not isinstance(found, TypeTag):
                return _join(_plain_name(found), inner)
            type_id = found.type_id

    def _build(self, type_id: int) -> Type:
        at = self._offsets[type_id - self._first]
        name_off, info, size = TYPE.unpack_from(self._data, at)
        build = _BUILD[info >> 24 & 0x1F]
        return build(self, self.string(name_off), info, size, at + TYPE.size)

    def _checked(self, type_id: int) -> int:
        if type_id >= self._len:
            raise BtfError(f"BTF refers to type {type_id}, but ends at {self._len - 1}")
        return type_id

    def _name(self, type_id: int) -> str:
        """The name of one of this BTF's own types, without building the type."""
        if not self._offsets:
            return self._types[type_id].name
        return self.string(_U32.unpack_from(self._data, self._offsets[type_id - self._first])[0])

    def _make_names(self) -> NameIndex:
        from pylibbpf.btf.index import NameIndex  # few need it, and it needs zlib

        if not self._offsets:
            own = range(self._first, self._len)
            return NameIndex.of_names((i, self._types[i].name) for i in own)
        unpack, data = _U32.unpack_from, self._data
        return NameIndex.of_offsets(
            [unpack(data, at)[0] for at in self._offsets],
            self._first,
            data[self._str_start : self._str_end],
            self._str_first,
            self.string,
        )

    def _indexed(self, name: str) -> list[int]:
        """Own types of this name, by an index that is quicker to make, and has no flavours."""
        if not self._index:
            self._index = self._make_index()
        # Types read from data are indexed by where their name is: smaller, and quicker to make.
        keys: list[int] | list[str] = self._string_offsets(name) if self._offsets else [name]
        own: list[int] = []
        for key in keys:
            ids = self._index.get(key, ())
            own += (ids,) if isinstance(ids, int) else ids
        own.sort()
        return own

    def _make_index(self) -> dict[int | str, int | list[int]]:
        index: dict[int | str, int | list[int]] = {}
        unpack, data = _U32.unpack_from, self._data
        names: Iterable[int | str] = (
            [unpack(data, at)[0] for at in self._offsets]
            if self._offsets
            else [self._types[type_id].name for type_id in range(self._first, self._len)]
        )
        for type_id, name in enumerate(names, self._first):
            if name:
                known = index.setdefault(name, type_id)
                if known is type_id:
                    continue
                if isinstance(known, list):
                    known.append(type_id)
                else:
                    index[name] = [known, type_id]
        return index

    def _string_offsets(self, name: str) -> list[int]:
        """Offsets of all strings equal to ``name``, those inside longer strings included.

        Writers store a string once, but may let one be the tail of another, and a split BTF may
        use the strings of its base.
        """
        offsets = [] if self.base is None else self.base._string_offsets(name)
        needle = name.encode("utf-8", "surrogatepass") + b"\0"
        at = self._data.find(needle, self._str_start, self._str_end)
        while at >= 0:
            offsets.append(at - self._str_start + self._str_first)
            at = self._data.find(needle, at + 1, self._str_end)
        return offsets

    def _guess_pointer_size(self) -> int:
        for type_id in range(self._first, self._len):
            if self.kind(type_id) is Kind.INT:
                found = self.type(type_id)
                if isinstance(found, Int) and found.name in _LONG_NAMES and found.size in (4, 8):
                    return found.size
        return 8 if self.base is None else self.base.pointer_size


def _join(base: str, inner: str) -> str:
    close = not inner or inner[0] == "[" or (inner[0] == "(" and inner[1:2] != "*")
    return base + inner if close else f"{base} {inner}"


def _plain_name(found: Type) -> str:
    if isinstance(found, Void):
        return "void"
    if isinstance(found, Datasec):
        return found.name
    word = ""
    if isinstance(found, Struct) or (isinstance(found, Fwd) and not found.is_union):
        word = "struct "
    elif isinstance(found, (Union, Fwd)):
        word = "union "
    elif isinstance(found, (Enum, Enum64)):
        word = "enum "
    return word + (found.name or "(anonymous)")


def _int(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    (word,) = _U32.unpack_from(btf._data, at)
    encoding, offset, bits = word >> 24 & 0xF, word >> 16 & 0xFF, word & 0xFF
    if offset + bits > 8 * size:
        raise BtfError(f"BTF int {name!r} has {bits} bits at {offset} in {size} bytes")
    return Int(name, size, bits, offset, bool(encoding & 1), bool(encoding & 2), bool(encoding & 4))


def _array(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    type_id, index_type_id, nelems = _ARRAY.unpack_from(btf._data, at)
    return Array(btf._checked(type_id), btf._checked(index_type_id), nelems)


def _members(btf: Btf, info: int, at: int) -> tuple[Member, ...]:
    string, checked = btf.string, btf._checked
    end = at + _MEMBER.size * (info & 0xFFFF)
    rows = _MEMBER.iter_unpack(btf._data[at:end])
    if info >> 31:  # kind_flag: the offset also holds the width of a bit-field
        return tuple(
            [Member(string(n), checked(t), off & 0xFFFFFF, off >> 24) for n, t, off in rows]
        )
    return tuple([Member(string(n), checked(t), off) for n, t, off in rows])


def _struct(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    return Struct(name, size, _members(btf, info, at))


def _union(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    return Union(name, size, _members(btf, info, at))


def _enum(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    signed = bool(info >> 31)
    rows = struct.iter_unpack("<Ii" if signed else "<II", btf._data[at : at + 8 * (info & 0xFFFF)])
    return Enum(name, size, signed, tuple([(btf.string(n), value) for n, value in rows]))


def _enum64(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    signed = bool(info >> 31)
    rows = _ENUM64.iter_unpack(btf._data[at : at + _ENUM64.size * (info & 0xFFFF)])
    values = []
    for name_off, low, high in rows:
        value = high << 32 | low
        values.append((btf.string(name_off), value - (1 << 64) * (signed and high >> 31)))
    return Enum64(name, size, signed, tuple(values))


def _func_proto(btf: Btf, name: str, info: int, type_id: int, at: int) -> Type:
    rows = _PARAM.iter_unpack(btf._data[at : at + _PARAM.size * (info & 0xFFFF)])
    params = tuple([(btf.string(n), btf._checked(t)) for n, t in rows])
    return FuncProto(btf._checked(type_id), params)


def _var(btf: Btf, name: str, info: int, type_id: int, at: int) -> Type:
    return Var(name, btf._checked(type_id), _U32.unpack_from(btf._data, at)[0])


def _datasec(btf: Btf, name: str, info: int, size: int, at: int) -> Type:
    rows = _SECINFO.iter_unpack(btf._data[at : at + _SECINFO.size * (info & 0xFFFF)])
    return Datasec(name, size, tuple([VarSecinfo(btf._checked(t), o, s) for t, o, s in rows]))


def _decl_tag(btf: Btf, name: str, info: int, type_id: int, at: int) -> Type:
    (idx,) = struct.unpack_from("<i", btf._data, at)
    return DeclTag(name, btf._checked(type_id), idx)


def _type_tag(btf: Btf, name: str, info: int, type_id: int, at: int) -> Type:
    return TypeTag(name, btf._checked(type_id), bool(info >> 31))


def _reference(cls: type[Typedef | Const | Volatile | Restrict]) -> Build:
    return lambda btf, name, info, type_id, at: cls(name, btf._checked(type_id))


# Each: (btf, name, info, size or type id, offset of what follows) to the type object.
_BUILD: dict[int, Build] = {
    Kind.INT: _int,
    Kind.PTR: lambda btf, name, info, type_id, at: Ptr(btf._checked(type_id)),
    Kind.ARRAY: _array,
    Kind.STRUCT: _struct,
    Kind.UNION: _union,
    Kind.ENUM: _enum,
    Kind.FWD: lambda btf, name, info, size, at: Fwd(name, bool(info >> 31)),
    Kind.TYPEDEF: _reference(Typedef),
    Kind.VOLATILE: _reference(Volatile),
    Kind.CONST: _reference(Const),
    Kind.RESTRICT: _reference(Restrict),
    Kind.FUNC: lambda btf, name, info, i, at: Func(name, btf._checked(i), info & 0xFFFF),
    Kind.FUNC_PROTO: _func_proto,
    Kind.VAR: _var,
    Kind.DATASEC: _datasec,
    Kind.FLOAT: lambda btf, name, info, size, at: Float(name, size),
    Kind.DECL_TAG: _decl_tag,
    Kind.TYPE_TAG: _type_tag,
    Kind.ENUM64: _enum64,
}
