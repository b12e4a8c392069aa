"""What the kernel says of a map: struct bpf_map_info of include/uapi/linux/bpf.h, Linux 7.2."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

__all__ = ["MapInfo"]

_FORMAT = struct.Struct("=6I16s2I2Q4IQ")


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
