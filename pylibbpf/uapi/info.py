"""What the kernel says of a map: struct bpf_map_info of include/uapi/linux/bpf.h, Linux 7.2."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = ["MapInfo"]

# The members in turn, each with its format character of struct.
MEMBERS = (
    ("type", "I"),
    ("id", "I"),
    ("key_size", "I"),
    ("value_size", "I"),
    ("max_entries", "I"),
    ("map_flags", "I"),
    ("name", "16s"),
    ("ifindex", "I"),
    ("btf_vmlinux_value_type_id", "I"),
    ("netns_dev", "Q"),
    ("netns_ino", "Q"),
    ("btf_id", "I"),
    ("btf_key_type_id", "I"),
    ("btf_value_type_id", "I"),
    ("btf_vmlinux_id", "I"),  # 6.10
    ("map_extra", "Q"),  # 5.16
)
_FORMAT = struct.Struct("=" + "".join(code for _, code in MEMBERS))


class MapInfo:
    """The facts of a map; what this kernel does not tell is 0."""

    __slots__ = (
        "btf_id",
        "btf_vmlinux_id",
        "btf_vmlinux_value_type_id",
        "flags",
        "id",
        "ifindex",
        "key_size",
        "key_type_id",
        "map_extra",
        "max_entries",
        "name",
        "netns_dev",
        "netns_ino",
        "type",
        "value_size",
        "value_type_id",
    )

    ROOM: ClassVar[int] = 128
    """Bytes to give the kernel: more than the struct has."""

    def __init__(self, data: bytes) -> None:
        (
            self.type,
            self.id,
            self.key_size,
            self.value_size,
            self.max_entries,
            self.flags,
            name,
            self.ifindex,
            self.btf_vmlinux_value_type_id,
            self.netns_dev,
            self.netns_ino,
            self.btf_id,
            self.key_type_id,
            self.value_type_id,
            self.btf_vmlinux_id,
            self.map_extra,
        ) = _FORMAT.unpack_from(data)
        self.name = os.fsdecode(name.partition(b"\0")[0])

    def __repr__(self) -> str:
        return (
            f"<MapInfo {', '.join(f'{each}={getattr(self, each)!r}' for each in self.__slots__)}>"
        )
