"""Maps as Python collections of typed keys and values.

The class follows the map's type: hash-like maps are ``MutableMapping``, arrays are mappings
from the index that have no ``del``, queues and stacks push and pop, bloom filters add and
test. What has no class of its own is a plain :class:`Map`, with its definition only.
"""

from __future__ import annotations

import errno
import operator
from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView

from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.handle import Handle
from pylibbpf.uapi.enums import MapType, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pylibbpf.engine.abc import MapHandle
    from pylibbpf.link import Link
    from pylibbpf.object import Object

__all__ = ["ArrayMap", "BloomFilter", "HashMap", "Map", "QueueMap", "map_class"]

BPF_ANY, BPF_NOEXIST, BPF_EXIST = 0, 1, 2
# What kernels say that have no lookup-and-delete for a type: EINVAL, ENOTSUP, and their ENOTSUPP.
_NO_POP = (errno.EINVAL, errno.ENOTSUP, 524)


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

    def attach(self) -> Link:
        """Put a struct_ops map to use. Privilege: CAP_BPF and CAP_NET_ADMIN. Linux 5.6."""
        return self._owner._add_link(self._handle.attach_struct_ops(), self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self._kind}>"

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class _Coder:
    """From Python's keys and values to bytes and back, for one loaded map.

    By the BTF types of the map; where it has none, a key or value is ``bytes`` of its size.
    """

    __slots__ = ("decode_key", "decode_value", "encode_key", "encode_value")

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
        if handle.type in _PER_CPU:
            self._for_each_cpu(handle)

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


def _bytes_only(name: str, what: str) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(
                f"map {name!r} has no BTF type for its {what}, which is bytes, "
                f"not {type(value).__name__}"
            )
        return bytes(value)

    return encode


class _Typed(Map):
    """A map whose keys and values are typed."""

    _made: _Coder | None = None

    @property
    def _coder(self) -> _Coder:
        """Made when first used: most maps of a tool never are.

        Raises:
            BpfError: the map is not loaded.
        """
        coder = self._made
        if coder is None:
            _ = self._handle.fd
            coder = self._made = _Coder(self._owner, self._handle)
        return coder


class _Entries(_Typed):
    """Lookup and iteration, common to hashes and arrays."""

    def __getitem__(self, key: Any) -> Any:
        """The value under ``key``; in a per-CPU map a tuple of one value for each possible CPU.

        Raises:
            KeyError: there is no such key.
            TypeError: ``key`` is not of the key's type.
            OverflowError: an integer that does not fit into the key.
        """
        coder = self._made or self._coder
        value = self._handle.lookup(coder.encode_key(key))
        if value is None:
            raise KeyError(key)
        return coder.decode_value(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Add or replace.

        Raises:
            BpfError: E2BIG, the map is full.
            TypeError, OverflowError: not of the key's or value's type.
        """
        coder = self._made or self._coder
        self._handle.update(coder.encode_key(key), coder.encode_value(value), BPF_ANY)

    def update_elem(self, key: Any, value: Any, flags: int = BPF_ANY) -> None:
        """Add or replace, with ``flags``: BPF_NOEXIST only adds, BPF_EXIST only replaces.

        Raises:
            BpfError: EEXIST or ENOENT where the flags forbid it, E2BIG where the map is full.
        """
        coder = self._coder
        self._handle.update(coder.encode_key(key), coder.encode_value(value), flags)

    def __contains__(self, key: object) -> bool:
        return self._handle.lookup(self._coder.encode_key(key)) is not None

    def __iter__(self) -> Iterator[Any]:
        return map(self._coder.decode_key, self._handle.iter_keys())

    def __len__(self) -> int:
        """How many entries there are, by counting: the kernel keeps no number to ask for."""
        return sum(1 for _ in self._handle.iter_keys())

    def keys(self) -> KeysView[Any]:
        return KeysView(self)

    def items(self) -> ItemsView[Any, Any]:
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        return _Values(self)

    def _items(self) -> Iterator[tuple[Any, Any]]:
        key, value = self._coder.decode_key, self._coder.decode_value
        return ((key(k), value(v)) for k, v in self._handle.iter_items())

    def _values(self) -> Iterator[Any]:
        value = self._coder.decode_value
        return (value(v) for _, v in self._handle.iter_items())


class _Items(ItemsView[object, object]):
    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._items()  # type: ignore[attr-defined,no-any-return]  # only _Entries make it


class _Values(ValuesView[object]):
    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._values()  # type: ignore[attr-defined,no-any-return]  # only _Entries make it


class HashMap(_Entries, MutableMapping):  # type: ignore[type-arg]  # typed by BTF, not statically
    """A hash-like map as a ``MutableMapping``: hash, LRU hash, LPM trie, per-CPU hashes.

    Iteration sees each entry that is there throughout exactly once, whatever is added and
    deleted meanwhile; entries that come or go meanwhile may or may not be seen. ``items()`` and
    ``values()`` fetch in batches where the kernel can.
    """

    def __delitem__(self, key: Any) -> None:
        if not self._handle.delete(self._coder.encode_key(key)):
            raise KeyError(key)

    def pop(self, key: Any, *default: Any) -> Any:
        """Take a value out; ``default``, or KeyError, where there is none.

        In one step where the kernel can (Linux 5.14); otherwise what a program writes between
        the look-up and the deletion is lost.
        """
        if len(default) > 1:
            raise TypeError(f"pop takes a key and a default, not {1 + len(default)} arguments")
        coder = self._coder
        encoded = coder.encode_key(key)
        try:
            value = self._handle.pop(encoded)
        except BpfError as error:
            if error.errno not in _NO_POP:
                raise
            value = self._handle.lookup(encoded)
            if value is not None and not self._handle.delete(encoded):
                value = None
        if value is not None:
            return coder.decode_value(value)
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> tuple[Any, Any]:
        """Take some entry out; KeyError where the map is empty."""
        for key in self:
            try:
                return key, self.pop(key)
            except KeyError:
                continue  # a program was quicker
        raise KeyError("the map is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value under ``key``, after adding ``default`` where there was none."""
        while True:
            try:
                self.update_elem(key, default, BPF_NOEXIST)
            except BpfError as error:
                if error.errno != errno.EEXIST:
                    raise
            else:
                return default
            try:
                return self[key]
            except KeyError:
                continue  # deleted since

    def clear(self) -> None:
        """Delete the entries that are there now."""
        for key in list(self._handle.iter_keys()):
            self._handle.delete(key)

    __eq__ = Map.__eq__
    __hash__ = Map.__hash__


class ArrayMap(_Entries, Mapping):  # type: ignore[type-arg]  # typed by BTF, not statically
    """An array map: from index to value; every index below ``max_entries`` is there, always.

    Kinds: array, per-CPU array.
    """

    def _index(self, key: Any) -> int:
        try:
            index = operator.index(key)
        except TypeError:
            raise TypeError(
                f"an index of map {self.name!r} is an int, not {type(key).__name__}"
            ) from None
        if not 0 <= index < self._handle.max_entries:
            raise KeyError(key)
        return index

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self._index(key))

    def update_elem(self, key: Any, value: Any, flags: int = BPF_ANY) -> None:
        super().update_elem(self._index(key), value, flags)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update_elem(key, value)

    def __contains__(self, key: object) -> bool:
        try:
            self._index(key)
        except KeyError:
            return False
        return True

    def __len__(self) -> int:
        return self._handle.max_entries

    __eq__ = Map.__eq__
    __hash__ = Map.__hash__


class QueueMap(_Typed):
    """A queue (first in, first out) or stack (last in, first out). Linux 4.20."""

    def push(self, value: Any, *, overwrite: bool = False) -> None:
        """Append. With ``overwrite`` a full map drops its oldest value, else E2BIG is raised."""
        self._handle.update(None, self._coder.encode_value(value), 2 if overwrite else 0)

    def pop(self) -> Any:
        """Take the next value.

        Raises:
            IndexError: there is none.
        """
        return self._taken(self._handle.pop(None))

    def peek(self) -> Any:
        """Look at the next value without taking it.

        Raises:
            IndexError: there is none.
        """
        return self._taken(self._handle.lookup(None))

    def _taken(self, data: bytes | None) -> Any:
        if data is None:
            raise IndexError(f"map {self.name!r} is empty")
        return self._coder.decode_value(data)


class BloomFilter(_Typed):
    """A bloom filter: ``add(value)`` and ``value in map``. Linux 5.16.

    What was added is always found; what was not may be found, too.
    """

    def add(self, value: Any) -> None:
        """Add a value."""
        self._handle.update(None, self._coder.encode_value(value), 0)

    def __contains__(self, value: object) -> bool:
        return self._handle.test(self._coder.encode_value(value))


_PER_CPU = frozenset((MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH))

_CLASSES: dict[int, type[Map]] = {
    MapType.HASH: HashMap,
    MapType.LRU_HASH: HashMap,
    MapType.PERCPU_HASH: HashMap,
    MapType.LRU_PERCPU_HASH: HashMap,
    MapType.LPM_TRIE: HashMap,
    MapType.ARRAY: ArrayMap,
    MapType.PERCPU_ARRAY: ArrayMap,
    MapType.QUEUE: QueueMap,
    MapType.STACK: QueueMap,
    MapType.BLOOM_FILTER: BloomFilter,
}


def map_class(kind: int) -> type[Map]:
    """The class for a map type; :class:`Map` where entries have no class of their own."""
    return _CLASSES.get(kind, Map)


def typed(found: Map) -> Map:
    """``found`` if its entries can be used from Python, as ``obj.map(name)`` promises.

    Raises:
        NotSupportedError: maps of this type are not read as a collection.
    """
    if not isinstance(found, _Typed):
        raise NotSupportedError(
            f"map {found.name!r} ({found!r}) has no entries to read as a collection; ring buffers "
            "are obj.ringbuf(name), perf buffers obj.perfbuf(name), global data obj.globals"
        )
    return found
