"""Making maps of no object."""

from __future__ import annotations

import re

from pylibbpf.arguments import integer
from pylibbpf.btf.codec import codec
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Array, Int, Member, Struct
from pylibbpf.engine.select import select
from pylibbpf.map.alone import stand_alone
from pylibbpf.map.base import Map
from pylibbpf.uapi.enums import MapType
from pylibbpf.uapi.kinds import MAPS_OF_MAPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pylibbpf.btf.codec import Codec
    from pylibbpf.btf.types import Type
    from pylibbpf.engine.abc import Engine

    Kind = int | str | Mapping[str, "Kind"]

__all__ = ["create_map"]

_NAME_BYTES = 15  # BPF_OBJ_NAME_LEN, with its NUL
_KEYLESS = frozenset(
    (
        MapType.QUEUE,
        MapType.STACK,
        MapType.BLOOM_FILTER,
        MapType.RINGBUF,
        MapType.USER_RINGBUF,
        MapType.ARENA,
    )
)
_VALUELESS = frozenset((MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA))
# Values that the kernel makes of descriptors: 4 bytes, where nothing is said.
_REFERENCES = MAPS_OF_MAPS | {
    MapType.PROG_ARRAY,
    MapType.PERF_EVENT_ARRAY,
    MapType.CGROUP_ARRAY,
    MapType.XSKMAP,
}
_INT = re.compile(r"(?:__)?([us])(8|16|32|64)")
_ARRAY = re.compile(r"(.+?)\[(\d+)\]")


def create_map(
    type: int | str,
    key: Kind | None = None,
    value: Kind | None = None,
    max_entries: int = 0,
    *,
    flags: int = 0,
    name: str = "",
    map_extra: int = 0,
    numa_node: int | None = None,
    ifindex: int = 0,
    inner: Map | None = None,
    engine: str | Engine | None = None,
) -> Any:
    """Make a map that belongs to no object, of the class that fits its type.

    ``type`` is a :class:`MapType` or its name (``"lru_hash"``). ``key`` and ``value`` are types:
    ``"u32"`` or another integer of 8 to 64 bits, ``"char[16]"`` (str), ``"u8[6]"`` (bytes),
    ``"u32[4]"`` (tuple), a mapping of field names to such types (a record, laid out as C does),
    or a number of bytes (bytes). Arrays have ``"u32"`` keys where none is given. ``inner`` is a
    map like those that a map of maps is to hold. The map closes with its ``with`` block, by
    ``close()``, or when it is collected, which warns (``ResourceWarning``).

    Privilege: CAP_BPF; CAP_NET_ADMIN for maps of devices, CPUs, sockets.

    Raises:
        TypeError, ValueError: the type, a size or the name is no such thing.
        BpfError: the kernel refused.
        BpfPermissionError: a privilege is missing.
    """
    kind = _map_type(type)
    if not isinstance(name, str):
        raise TypeError(f"a map's name is a str, not {name.__class__.__name__}")
    if not re.fullmatch(r"[A-Za-z0-9_.]*", name) or len(name) > _NAME_BYTES:
        raise ValueError(
            f"the name of a map has up to {_NAME_BYTES} letters, digits, '_' and '.': not {name!r}"
        )
    if key is None:
        key = 0 if kind in _KEYLESS else "u32"
    if value is None:
        if kind not in _VALUELESS and kind not in _REFERENCES:
            raise TypeError(f"what are the values of a map of type {_name(kind)}? Give value=")
        value = 4 if kind in _REFERENCES else 0
    integer("max_entries", max_entries, 32)
    integer("flags", flags, 32)
    integer("map_extra", map_extra, 64)
    integer("ifindex", ifindex, 31)
    if numa_node is not None:
        integer("numa_node", numa_node, 31)
    types = _Types()
    key_id, value_id = types.add(key, "key"), types.add(value, "value")
    btf = Btf.from_types(types.types)
    facts: dict[str, Any] = {"flags": flags, "numa_node": numa_node}
    for field, number in (("map_extra", map_extra), ("map_ifindex", ifindex)):
        facts[field] = number or None
    if inner is not None:
        if not isinstance(inner, Map):
            raise TypeError(f"inner is a map, not {inner.__class__.__name__}")
        facts["inner_map_fd"] = inner.fd
    elif kind in MAPS_OF_MAPS:
        raise TypeError(f"a map of type {_name(kind)} needs inner=, a map like those in it")
    handle = select(engine).create_map(
        kind,
        name,
        types.size(btf, key_id, key),
        types.size(btf, value_id, value),
        max_entries=max_entries,
        **facts,
    )
    handle.key_type_id, handle.value_type_id = key_id, value_id

    def find(type_id: int) -> Codec | None:
        return codec(btf, type_id) if type_id else None

    return stand_alone(handle, find)


def _map_type(given: int | str) -> int:
    if isinstance(given, str):
        found = MapType.__members__.get(given.upper())
        if found is None:
            import difflib

            near = difflib.get_close_matches(given.upper(), MapType.__members__, 1)
            hint = f"; did you mean {near[0].lower()!r}?" if near else ""
            raise ValueError(f"there is no map type {given!r}{hint}")
        return found
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"a map type is a MapType or its name, not {given.__class__.__name__}")
    return given


def _name(kind: int) -> str:
    return kind.name.lower() if isinstance(kind, MapType) else str(kind)


class _Types:
    """BTF types out of what users write."""

    def __init__(self) -> None:
        self.types: list[Type] = []
        self._known: dict[str, int] = {}

    def add(self, given: Kind, what: str) -> int:
        """The id of a type; 0 for a number of bytes."""
        if isinstance(given, int) and not isinstance(given, bool):
            if given < 0:
                raise ValueError(f"a {what} cannot have {given} bytes")
            return 0
        if isinstance(given, str):
            return self._named(given.strip(), what)
        if not isinstance(given, int) and hasattr(given, "items") and given:
            return self._struct(given, what)
        raise TypeError(
            f"a {what} is a C type, a mapping of fields or a number of bytes, not {given!r}"
        )

    def size(self, btf: Btf, type_id: int, given: Kind) -> int:
        """Bytes of a type, or those that were given."""
        return btf.sizeof(type_id) if type_id else int(given)  # type: ignore[arg-type]  # a number

    def _named(self, name: str, what: str) -> int:
        if name in self._known:
            return self._known[name]
        if array := _ARRAY.fullmatch(name):
            element, count = self._named(array[1].strip(), what), int(array[2])
            made: Type = Array(element, self._named("u32", what), count)
        elif number := _INT.fullmatch(name):
            bits = int(number[2])
            made = Int(f"__{number[1]}{bits}", bits // 8, bits, signed=number[1] == "s")
        elif name == "char":
            made = Int("char", 1, 8, signed=True)
        elif name == "bool":
            made = Int("_Bool", 1, 8, bool=True)
        else:
            raise ValueError(
                f"{name!r} is no type for a {what}: u8 to u64, s8 to s64, bool, or an array such"
                " as char[16] or u32[4]"
            )
        return self._append(made, name)

    def _append(self, made: Type, name: str = "") -> int:
        self.types.append(made)
        if name:
            self._known[name] = len(self.types)
        return len(self.types)

    def _struct(self, fields: Mapping[str, Kind], what: str) -> int:
        members, offset, widest = [], 0, 1
        for name, given in fields.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ValueError(f"{name!r} is no name for a field of a {what}")
            type_id = self.add(given, f"field {name!r}")
            if not type_id:
                type_id = self._named(f"u8[{given}]", what)
            btf = Btf.from_types(self.types)
            align = btf.alignof(type_id)
            offset = (offset + align - 1) // align * align
            members.append(Member(name, type_id, offset * 8))
            offset += btf.sizeof(type_id)
            widest = max(widest, align)
        size = (offset + widest - 1) // widest * widest
        return self._append(Struct(what, size, tuple(members)))
