"""The number that a relocation asks for, once its path is known (libbpf: bpf_core_calc_relo)."""

from __future__ import annotations

import errno

from pylibbpf.btf.core.access import Spec, size_of, stripped
from pylibbpf.btf.core.kind import CoreKind
from pylibbpf.btf.core.stop import Stop
from pylibbpf.btf.parse import MAX_DEPTH
from pylibbpf.btf.types import Array, Enum, Enum64, Int, Ptr, Struct, Union
from pylibbpf.errors import BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.types import Member, Type

__all__ = ["Value", "may_resize", "value_of"]

U64 = (1 << 64) - 1


class Value:
    """A number of 64 bits, and of an offset what lies there: ``size`` bytes of type ``type_id``.

    ``validate`` tells whether the compiler must have come to the same number. ``size`` is 0 where
    an instruction's memory access does not depend on it.
    """

    __slots__ = ("number", "size", "type_id", "validate")

    def __init__(self, number: int, validate: bool = True, size: int = 0, type_id: int = 0) -> None:
        self.number = number & U64
        self.validate = validate
        self.size = size
        self.type_id = type_id


def value_of(kind: CoreKind, spec: Spec) -> Value:
    """Give the answer that these types have.

    Raises:
        Stop: they have none, though the path exists.
    """
    return _VALUES[kind](kind, spec)


def may_resize(ours: Type, theirs: Type) -> bool:
    """Whether an instruction may read or write the one type in the other's size.

    Pointers, and integers that are extended with zeroes. libbpf looks at the encoding as a whole:
    a signed char, whose encoding says that it is a char, too, passes.
    """
    if isinstance(ours, Ptr) and isinstance(theirs, Ptr):
        return True
    return (
        isinstance(ours, Int)
        and isinstance(theirs, Int)
        and not any(found.signed and not found.char and not found.bool for found in (ours, theirs))
    )


def _exists(kind: CoreKind, spec: Spec) -> Value:
    return Value(1)


def _field(kind: CoreKind, spec: Spec) -> Value:
    step = spec.steps[-1]
    if step.name is None:
        return _element(kind, spec, step.type_id)
    holder = spec.btf.type(step.type_id)
    assert isinstance(holder, (Struct, Union))
    member = holder.members[step.index]
    type_id, found = stripped(spec.btf, member.type_id)
    bits = member.bitfield_size
    if bits:
        start, size = _unit(spec, member, found)
    else:
        size = size_of(spec.btf, type_id, spec.pointer_size)
        start, bits = spec.bit_offset // 8, 8 * size
    validate = not member.bitfield_size  # the compiler may read a bit-field in another unit
    if kind is CoreKind.FIELD_BYTE_OFFSET:
        if not validate:
            return Value(start, False)
        return Value(start, True, _element_size(spec, type_id), type_id)
    if kind is CoreKind.FIELD_BYTE_SIZE:
        return Value(size, validate)
    if kind is CoreKind.FIELD_SIGNED:
        return Value(isinstance(found, (Int, Enum, Enum64)) and found.signed)
    if kind is CoreKind.FIELD_LSHIFT_U64:
        # 32 bits, as libbpf counts them
        return Value(64 - (spec.bit_offset + bits - 8 * start) & 0xFFFFFFFF, validate)
    return Value(64 - bits & 0xFFFFFFFF)


def _element(kind: CoreKind, spec: Spec, type_id: int) -> Value:
    if kind is CoreKind.FIELD_BYTE_OFFSET:
        return Value(spec.bit_offset // 8, True, _element_size(spec, type_id), type_id)
    if kind is CoreKind.FIELD_BYTE_SIZE:
        return Value(size_of(spec.btf, type_id, spec.pointer_size))
    raise Stop(f"{kind.value} is asked of an element of an array, where only members have it")


def _element_size(spec: Spec, type_id: int) -> int:
    """The size of what one instruction reads there: of arrays, an element's."""
    start = type_id
    for _ in range(MAX_DEPTH):
        type_id, found = stripped(spec.btf, type_id)
        if not isinstance(found, Array):
            return size_of(spec.btf, type_id, spec.pointer_size)
        type_id = found.type_id
    raise BtfError(f"BTF type {start} is a chain of arrays without an end")


def _unit(spec: Spec, member: Member, found: Type) -> tuple[int, int]:
    """The smallest integer that holds a bit-field: its byte offset and size."""
    size = getattr(found, "size", 0)
    if not size:
        raise Stop(f"the bit-field {member.name} is of no integer's type")
    bit = spec.bit_offset
    start = bit // 8 // size * size
    while bit + member.bitfield_size - 8 * start > 8 * size:
        if size >= 8:
            raise Stop(
                f"the bit-field {member.name} lies across the integers of 8 bytes that would be "
                "read for it",
                errno.E2BIG,
            )
        size *= 2
        start = bit // 8 // size * size
    return start, size


def _type_id(kind: CoreKind, spec: Spec) -> Value:
    # The compiler's own number changes where objects are linked.
    return Value(spec.root, False)


def _type_size(kind: CoreKind, spec: Spec) -> Value:
    return Value(size_of(spec.btf, spec.root, spec.pointer_size))


def _enum_value(kind: CoreKind, spec: Spec) -> Value:
    step = spec.steps[0]
    found = spec.btf.type(step.type_id)
    assert isinstance(found, (Enum, Enum64))
    number = found.values[step.index][1]
    if isinstance(found, Enum):
        # libbpf extends the sign even where the enum says that it has none.
        number = (number + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
    return Value(number)


_VALUES = {
    CoreKind.FIELD_BYTE_OFFSET: _field,
    CoreKind.FIELD_BYTE_SIZE: _field,
    CoreKind.FIELD_EXISTS: _exists,
    CoreKind.FIELD_SIGNED: _field,
    CoreKind.FIELD_LSHIFT_U64: _field,
    CoreKind.FIELD_RSHIFT_U64: _field,
    CoreKind.TYPE_ID_TARGET: _type_id,
    CoreKind.TYPE_EXISTS: _exists,
    CoreKind.TYPE_SIZE: _type_size,
    CoreKind.ENUMVAL_EXISTS: _exists,
    CoreKind.ENUMVAL_VALUE: _enum_value,
    CoreKind.TYPE_MATCHES: _exists,
}
