"""What all maps have in common: the definition, and typed keys and values."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pylibbpf.handle import Handle
from pylibbpf.uapi.enums import MapType, named
from pylibbpf.uapi.kinds import PER_CPU

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from pylibbpf.btf.codec import Codec
    from pylibbpf.engine.abc import MapHandle, ScalarCalls
    from pylibbpf.info import MapInfo
    from pylibbpf.object import Object

__all__ = ["Map", "TypedMap"]


class Map(Handle):
    """One map: of an object (``obj.maps["name"]``), or that stands by itself.

    Two maps are equal only if they are the same map object, ``bool(map)`` is always True, and
    maps can be keys of dicts: their contents change under one's feet.

    ``type``, ``key_size``, ``value_size``, ``max_entries``, ``flags``, ``map_extra``,
    ``numa_node``, ``ifindex``, ``pin_path`` and ``autocreate`` can be set until the object is
    loaded; later the refusal is raised as ``BpfError`` (EBUSY).
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
    def map_extra(self) -> int:
        """A number whose meaning depends on the type; 0: none.

        Bloom filters: how many hash functions; arenas: the address of their memory.
        """
        return self._handle.map_extra

    @map_extra.setter
    def map_extra(self, value: int) -> None:
        self._handle.map_extra = value

    @property
    def numa_node(self) -> int | None:
        """The NUMA node that the map's memory is to come from; None: any.

        It is known of maps of an object only: the kernel does not tell it.
        """
        return self._handle.numa_node

    @numa_node.setter
    def numa_node(self, value: int | None) -> None:
        self._handle.numa_node = value

    @property
    def ifindex(self) -> int:
        """The network interface that the map is offloaded to; 0: none."""
        return self._handle.ifindex

    @ifindex.setter
    def ifindex(self, value: int) -> None:
        self._handle.ifindex = value

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
        """The kernel's number of the loaded map, which no other has until the next boot."""
        return self._handle.info().id

    @property
    def memory(self) -> int:
        """Bytes of kernel memory that the loaded map takes with its entries, as of now.

        Before Linux 6.4 the kernel estimates it from the definition.
        """
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

    @property
    def frozen(self) -> bool:
        """Whether the map can no longer be written from user space, by :meth:`freeze`."""
        return bool(self.fdinfo()["frozen"])

    def fdinfo(self) -> dict[str, int | str]:
        """What ``/proc/self/fdinfo`` says of the loaded map's descriptor, numbers as int."""
        return self._handle.fdinfo()

    def freeze(self) -> None:
        """Let nobody write the loaded map from user space, ever again. Programs still may.

        Raises:
            BpfError: it is frozen already (EBUSY, by newer kernels EPERM), or mapped writable
                (EBUSY); ENOTSUPP, its type cannot be.
        """
        self._handle.freeze()

    @property
    def closed(self) -> bool:
        """True after :meth:`close`, after the object's close, and in a forked child."""
        return self._owner.closed

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
        """Let go of a map that stands by itself; one of an object closes with the object."""
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

    def __init__(self, owner: Object, handle: MapHandle) -> None:
        key, value = owner._codec(handle.key_type_id), owner._codec(handle.value_type_id)
        self.encode_key: Callable[[Any], bytes] = _bytes_only(handle.name, "key")
        self.decode_key: Callable[[bytes], Any] = bytes
        self.encode_value: Callable[[Any], bytes] = _bytes_only(handle.name, "value")
        self.decode_value: Callable[[bytes], Any] = bytes
        if key is not None:
            self.encode_key, self.decode_key = key.encoder(), key.decode
        if value is not None:
            self.encode_value, self.decode_value = value.encoder(), value.decode
        # Of one CPU, in a per-CPU map.
        self.encode_one, self.decode_one = self.encode_value, self.decode_value
        self.scalars: ScalarCalls | None = None
        if handle.type in PER_CPU:
            self._for_each_cpu(handle, value)
        elif key is not None and value is not None and key.scalar and value.scalar:
            self.scalars = handle.scalars(key.scalar, value.scalar)

    def _for_each_cpu(self, handle: MapHandle, codec: Codec | None) -> None:
        from pylibbpf.map.percpu import decoder

        cpus, stride = handle.cpus, handle.stride
        encode_one = self.encode_one

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

        scalar = codec.scalar if codec is not None else None
        self.encode_value = encode
        self.decode_value = decoder(self.decode_one, scalar, cpus, stride, handle.value_size)


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
    def cpus(self) -> int:
        """How many values a value of a loaded per-CPU map has: the possible CPUs; else 1.

        Raises:
            BpfError: the map is not loaded.
        """
        _ = self._handle.fd
        return self._handle.cpus

    @property
    def _coder(self) -> Coder:
        """Made when first used: most maps of a tool never are.

        Raises:
            BpfError: the map is not loaded.
        """
        coder = self._made
        if coder is None:
            _ = self._handle.fd
            coder = self._made = self._make_coder()
        return coder

    def _make_coder(self) -> Coder:
        return Coder(self._owner, self._handle)
