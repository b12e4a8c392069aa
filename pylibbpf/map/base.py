"""What all maps have in common: the definition, and typed keys and values."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from pylibbpf.handle import Handle
from pylibbpf.uapi.enums import MapType, named
from pylibbpf.uapi.kinds import PER_CPU

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from pylibbpf.engine.abc import MapHandle, ScalarCalls
    from pylibbpf.info import MapInfo
    from pylibbpf.object import Object

__all__ = ["Map", "TypedMap"]


class Map(Handle):
    """The definition of one map of an object: ``obj.maps["name"]``.

    Two maps are equal only if they are the same map object, ``bool(map)`` is always True, and
    maps can be keys of dicts: their contents change under one's feet.

    ``type``, ``key_size``, ``value_size``, ``max_entries``, ``flags``, ``pin_path`` and
    ``autocreate`` can be set until the object is loaded; later the refusal is raised as
    ``BpfError`` (EBUSY).
    """

    def __init__(self, owner: Object, handle: MapHandle) -> None:
        self._owner = owner
        self._handle = handle
        self.name = handle.name
        """The map's name in the object; for global data the section (``.bss``)."""
        kind = named(MapType, handle.type)
        self._kind = kind.name if isinstance(kind, MapType) else str(kind)

    @property
    def type(self) -> int:
        """A :class:`MapType`, a plain int if it has no name."""
        return named(MapType, self._handle.type)

    @type.setter
    def type(self, value: int) -> None:
        self._handle.type = value
        # The class follows the type: obj.maps[name] is another one from now on.
        from pylibbpf.map import map_class

        self._owner._maps[self.name] = map_class(value)(self._owner, self._handle)

    @property
    def key_size(self) -> int:
        """Bytes of a key."""
        return self._handle.key_size

    @key_size.setter
    def key_size(self, value: int) -> None:
        self._handle.key_size = value

    @property
    def value_size(self) -> int:
        """Bytes of a value (of one CPU's value in a per-CPU map)."""
        return self._handle.value_size

    @value_size.setter
    def value_size(self, value: int) -> None:
        self._handle.value_size = value

    @property
    def max_entries(self) -> int:
        """Room, in entries; for a ring buffer in bytes (a power of two, whole pages)."""
        return self._handle.max_entries

    @max_entries.setter
    def max_entries(self, value: int) -> None:
        self._handle.max_entries = value

    @property
    def flags(self) -> int:
        """BPF_F_* flags of BPF_MAP_CREATE."""
        return self._handle.flags

    @flags.setter
    def flags(self, value: int) -> None:
        self._handle.flags = value

    @property
    def pin_path(self) -> str | None:
        """Where load pins the map, or finds it pinned; None: nowhere."""
        return self._handle.pin_path

    @pin_path.setter
    def pin_path(self, value: str | None) -> None:
        self._handle.pin_path = value

    @property
    def autocreate(self) -> bool:
        """Whether load makes the map. Programs that use one that was not made are refused."""
        return self._handle.autocreate

    @autocreate.setter
    def autocreate(self, value: bool) -> None:
        self._handle.autocreate = value

    @property
    def fd(self) -> int:
        """The loaded map's descriptor, owned by the object.

        Raises:
            BpfError: it is not loaded.
        """
        return self._handle.fd

    @property
    def id(self) -> int:
        """The kernel's number of the loaded map."""
        return self._handle.info().id

    @property
    def memory(self) -> int:
        """Bytes of kernel memory that the loaded map takes, as the kernel estimates it."""
        return self.info().memory

    def info(self) -> MapInfo:
        """What the kernel tells of the loaded map: a :class:`pylibbpf.info.MapInfo`."""
        from pylibbpf.info import MapInfo

        told, more = self._handle.info(), self._handle.fdinfo()
        return MapInfo(
            id=told.id,
            type=named(MapType, told.type),
            name=told.name,
            key_size=told.key_size,
            value_size=told.value_size,
            max_entries=told.max_entries,
            flags=told.flags,
            extra=told.map_extra,
            ifindex=told.ifindex,
            btf_id=told.btf_id,
            key_type_id=told.key_type_id,
            value_type_id=told.value_type_id,
            vmlinux_value_type_id=told.btf_vmlinux_value_type_id,
            frozen=bool(more.get("frozen", 0)),
            memory=int(more.get("memlock", 0)),
        )

    def pin(self, path: str | os.PathLike[str] | None = None) -> None:
        """Pin it: it lives on, without any process, until the file ``path`` is removed.

        ``path`` is below a BPF file system (/sys/fs/bpf), in a folder that exists; its name has
        no dot. None takes ``pin_path``, which is ``path`` afterwards.
        ``pylibbpf.open_map(path)`` gives the map to another process.

        Raises:
            BpfError: the path cannot be, and why.
        """
        self._handle.pin(self._path(path))

    def unpin(self, path: str | os.PathLike[str] | None = None) -> None:
        """Remove its pin at ``path``, or at ``pin_path``.

        Raises:
            BpfError: ENOENT, there is none; EINVAL, another map is pinned there.
        """
        self._handle.unpin(self._path(path))

    def reuse(self, source: Map | int | str | os.PathLike[str], *, types: bool = True) -> None:
        """Use a map that is there already, instead of making one at load.

        ``source`` is a map, of this process, a descriptor or the path of a pin. It must be what
        the object defines: type, sizes, ``max_entries``, flags, and, unless ``types`` is False,
        the C types of keys and values, as far as the kernel shows them (CAP_SYS_ADMIN). Before
        load only.

        Raises:
            BpfError: EINVAL, it is another kind of map, and in what; EBUSY, the object is loaded.
        """
        from pylibbpf.reuse import reuse

        reuse(self, source, types)

    def _path(self, path: str | os.PathLike[str] | None) -> str:
        if path is None:
            path = self.pin_path
        if path is None:
            raise ValueError(f"map {self.name!r} has no pin_path: say where")
        return os.fsdecode(path)

    def close(self) -> None:
        """Let go of a map that ``open_map()`` gave; one of an object closes with the object."""
        self._owner._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self._kind}>"

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class Coder:
    """From Python's keys and values to bytes and back, for one loaded map.

    By the BTF types of the map; where it has none, a key or value is ``bytes`` of its size.
    """

    __slots__ = ("decode_key", "decode_value", "encode_key", "encode_value", "scalars")

    def __init__(self, owner: Object, handle: MapHandle) -> None:
        key, value = owner._codec(handle.key_type_id), owner._codec(handle.value_type_id)
        self.encode_key: Callable[[Any], bytes] = _bytes_only(handle.name, "key")
        self.decode_key: Callable[[bytes], Any] = bytes
        self.encode_value: Callable[[Any], bytes] = _bytes_only(handle.name, "value")
        self.decode_value: Callable[[bytes], Any] = bytes
        if key is None and handle.type in _INDEXED:
            self.encode_key, self.decode_key = _index_bytes, _index  # whatever BTF says, or not
        if key is not None:
            self.encode_key, self.decode_key = key.encoder(), key.decode
        if value is not None:
            self.encode_value, self.decode_value = value.encoder(), value.decode
        self.scalars: ScalarCalls | None = None
        if handle.type in PER_CPU:
            self._for_each_cpu(handle)
        elif key is not None and value is not None and key.scalar and value.scalar:
            self.scalars = handle.scalars(key.scalar, value.scalar)

    def _for_each_cpu(self, handle: MapHandle) -> None:
        cpus, stride, size = handle.cpus, handle.stride, handle.value_size
        starts = range(0, cpus * stride, stride)
        encode_one, decode_one = self.encode_value, self.decode_value

        def decode(data: bytes) -> tuple[Any, ...]:
            return tuple(decode_one(data[start : start + size]) for start in starts)

        def encode(value: Any) -> bytes:
            if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__getitem__"):
                raise TypeError(
                    f"a value of per-CPU map {handle.name!r} is a sequence of {cpus} values, one "
                    f"for each possible CPU, not {type(value).__name__}"
                )
            if len(value) != cpus:
                raise ValueError(
                    f"a value of per-CPU map {handle.name!r} has {cpus} values, not {len(value)}"
                )
            return b"".join(encode_one(each).ljust(stride, b"\0") for each in value)

        self.encode_value, self.decode_value = encode, decode


_INDEXED = frozenset((MapType.ARRAY, MapType.PERCPU_ARRAY))


def _index_bytes(index: int) -> bytes:
    return index.to_bytes(4, sys.byteorder)


def _index(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def _bytes_only(name: str, what: str) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(
                f"map {name!r} has no BTF type for its {what}, which is bytes, "
                f"not {type(value).__name__}"
            )
        return bytes(value)

    return encode


class TypedMap(Map):
    """A map whose keys and values are typed."""

    _made: Coder | None = None

    @property
    def _coder(self) -> Coder:
        """Made when first used: most maps of a tool never are.

        Raises:
            BpfError: the map is not loaded.
        """
        coder = self._made
        if coder is None:
            _ = self._handle.fd
            coder = self._made = Coder(self._owner, self._handle)
        return coder
