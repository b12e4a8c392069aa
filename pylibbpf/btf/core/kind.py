"""The thirteen questions that a CO-RE relocation can ask."""

from __future__ import annotations

import enum

__all__ = ["CoreKind"]


class CoreKind(enum.Enum):
    """What a CO-RE relocation asks of the kernel's types (uapi linux/bpf.h, bpf_core_relo_kind).

    The values are libbpf's words for them; their order is that of the numbers.
    """

    FIELD_BYTE_OFFSET = "byte_off"
    FIELD_BYTE_SIZE = "byte_sz"
    FIELD_EXISTS = "field_exists"
    FIELD_SIGNED = "signed"
    FIELD_LSHIFT_U64 = "lshift_u64"
    FIELD_RSHIFT_U64 = "rshift_u64"
    TYPE_ID_LOCAL = "local_type_id"
    TYPE_ID_TARGET = "target_type_id"
    TYPE_EXISTS = "type_exists"
    TYPE_SIZE = "type_size"
    ENUMVAL_EXISTS = "enumval_exists"
    ENUMVAL_VALUE = "enumval_value"
    TYPE_MATCHES = "type_matches"

    @property
    def of_field(self) -> bool:
        return self in _OF_FIELD

    @property
    def of_enum(self) -> bool:
        return self in _OF_ENUM

    @property
    def of_type(self) -> bool:
        return self in _OF_TYPE


# Tuples: a search by identity is quicker than the hash of an enumerator.
_OF_FIELD = tuple(CoreKind)[:6]
_OF_ENUM = (CoreKind.ENUMVAL_EXISTS, CoreKind.ENUMVAL_VALUE)
_OF_TYPE = tuple(kind for kind in CoreKind if kind not in _OF_FIELD + _OF_ENUM)
