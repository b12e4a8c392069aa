"""Maps from keys to values: hashes and arrays."""

from __future__ import annotations

import errno
import operator
import sys
from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView

from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.handle import Between
from pylibbpf.map.base import Map, TypedMap
from pylibbpf.uapi.flags import BPF_ANY, BPF_NOEXIST
from pylibbpf.uapi.kinds import PER_CPU

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal

    from pylibbpf.handle import Given, K, V
    from pylibbpf.map.base import Coder

__all__ = ["ArrayMap", "HashMap"]

# What kernels say that have no lookup-and-delete for a type: EINVAL, ENOTSUP, and their ENOTSUPP.
_NO_POP = (errno.EINVAL, errno.ENOTSUP, 524)


class Entries(Between["K", "V"], TypedMap):
    """Lookup and iteration, common to hashes and arrays."""

    def __getitem__(self, key: K) -> V:
        """The value under ``key``; in a per-CPU map a tuple of one value for each possible CPU.

        Raises:
            KeyError: there is no such key.
            TypeError: ``key`` is not of the key's type.
            OverflowError: an integer that does not fit into the key.
        """
        coder = self._made or self._coder
        scalars = coder.scalars
        if scalars is not None and type(key) is int:
            try:
                number: V = scalars.lookup(scalars.cell, key)
            except OverflowError:
                coder.encode_key(key)  # says it in the map's words
                raise
            if number != scalars.odd:
                return number
        value = self._handle.lookup(coder.encode_key(key))
        if value is None:
            raise KeyError(key)
        found: V = coder.decode_value(value)
        return found

    def __setitem__(self, key: K, value: Given[V]) -> None:
        """Add or replace.

        Raises:
            BpfError: E2BIG, the map is full.
            TypeError, OverflowError: not of the key's or value's type.
        """
        coder = self._made or self._coder
        scalars = coder.scalars
        if scalars is not None and type(key) is type(value) is int:
            try:
                if scalars.update(scalars.cell, key, value) == 0:
                    return
            except OverflowError:
                coder.encode_key(key), coder.encode_value(value)  # one says it in the map's words
                raise
        self._handle.update(coder.encode_key(key), coder.encode_value(value), BPF_ANY)

    def lookup_elem(self, key: K, flags: int = 0, *, cpu: int | None = None) -> Any:
        """The value under ``key``, with ``flags``: BPF_F_LOCK takes its spin lock meanwhile.

        ``cpu``: of a per-CPU map the value of that CPU alone (Linux 7.0).

        Raises:
            KeyError: there is no such key.
            BpfError: EINVAL, the value has no spin lock; ERANGE, there is no such CPU.
            NotSupportedError: ``cpu``, and the kernel is older, or this is no per-CPU map.
        """
        coder = self._coder
        encoded = coder.encode_key(key)
        if cpu is not None:
            found = self._handle.lookup_cpu(encoded, self._cpu(operator.index(cpu)) or 0)
        else:
            found = self._handle.lookup(encoded, flags)
        if found is None:
            raise KeyError(key)
        return coder.decode_value(found) if cpu is None else coder.decode_one(found)

    def update_elem(
        self,
        key: Any,
        value: Any,
        flags: int = BPF_ANY,
        *,
        cpu: int | Literal["all"] | None = None,
    ) -> None:
        """Add or replace, with ``flags``: BPF_NOEXIST only adds, BPF_EXIST only replaces.

        BPF_F_LOCK takes the value's spin lock meanwhile. ``cpu``: of a per-CPU map the value of
        that CPU alone, or one value for ``"all"`` of them (Linux 7.0).

        Raises:
            BpfError: EEXIST or ENOENT where the flags forbid it, E2BIG where the map is full.
            NotSupportedError: ``cpu``, and the kernel is older, or this is no per-CPU map.
        """
        coder = self._coder
        encoded = coder.encode_key(key)
        if cpu is None:
            self._handle.update(encoded, coder.encode_value(value), flags)
        else:
            which = self._cpu(cpu)
            self._handle.update_cpu(encoded, coder.encode_one(value), which, flags)

    def _cpu(self, cpu: int | Literal["all"]) -> int | None:
        if self._handle.type not in PER_CPU:
            raise NotSupportedError(f"map {self.name!r} has one value for all CPUs")
        if cpu == "all":
            return None
        cpu = operator.index(cpu)
        if not 0 <= cpu < self._handle.cpus:
            raise ValueError(f"CPU {cpu} is none of the {self._handle.cpus} possible ones")
        return cpu

    def update_many(
        self, entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]], flags: int = BPF_ANY
    ) -> None:
        """Add or replace many entries: of a mapping, or pairs of key and value.

        In a few calls where the kernel can (5.6, and flags are none or BPF_F_LOCK). All are
        checked before the first is written.

        Raises:
            BpfError: the kernel refused one; those before it are written (its note says how many).
        """
        coder = self._coder
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        keys, values = [], []
        for key, value in pairs:
            keys.append(coder.encode_key(key))
            values.append(coder.encode_value(value))
        self._handle.update_many(keys, values, flags)

    def lookup_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of those of the keys that are there, read in one call."""
        coder = self._coder
        wanted = list(keys)
        found = self._handle.lookup_many([coder.encode_key(key) for key in wanted])
        decode = coder.decode_value
        return {
            key: decode(value)
            for key, value in zip(wanted, found, strict=True)
            if value is not None
        }

    def to_dict(self) -> dict[K, V]:
        """All entries; those that come or go meanwhile may be in it or not."""
        return dict(self._items())

    def __contains__(self, key: object) -> bool:
        return self._handle.lookup(self._coder.encode_key(key)) is not None

    # A map that nobody else holds is closed when it is collected: whoever goes through its entries
    # holds it (``_held``), as in ``for value in outer[key].values()``.

    def __iter__(self) -> Iterator[K]:
        key, keys = self._coder.decode_key, self._handle.iter_keys()
        return (key(k) for _held in (self,) for k in keys)

    def __len__(self) -> int:
        """How many entries there are, by counting: the kernel keeps no number to ask for."""
        return sum(1 for _ in self._handle.iter_keys())

    def keys(self) -> KeysView[K]:
        return KeysView(self)

    def items(self) -> ItemsView[K, V]:
        return _Items(self)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def _items(self) -> Iterator[tuple[K, V]]:
        key, value = self._coder.decode_key, self._coder.decode_value
        items = self._handle.iter_items()
        return ((key(k), value(v)) for _held in (self,) for k, v in items)

    def _values(self) -> Iterator[V]:
        value, items = self._coder.decode_value, self._handle.iter_items()
        return (value(v) for _held in (self,) for _, v in items)


class _Items(ItemsView["K", "V"]):
    _mapping: Entries[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._items()


class _Values(ValuesView["V"]):
    _mapping: Entries[Any, V]

    def __contains__(self, value: object) -> bool:
        return any(each is value or each == value for each in self)

    def __iter__(self) -> Iterator[V]:
        return self._mapping._values()


class HashMap(Entries["K", "V"], MutableMapping["K", "V"]):
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

    def delete_many(self, keys: Iterable[Any]) -> int:
        """Delete those of the keys that are there, and give their number.

        In a few calls where the kernel can (5.6).
        """
        encode = self._coder.encode_key
        return self._handle.delete_many([encode(key) for key in keys])

    def clear(self) -> None:
        """Delete the entries that are there now."""
        self._handle.delete_many(list(self._handle.iter_keys()))

    __eq__ = Map.__eq__
    __hash__ = Map.__hash__


class Indexed(TypedMap):
    """An array: keys are indices from 0 to ``max_entries`` - 1."""

    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.encode_key = self._encode_index
        if not self._handle.key_type_id:
            coder.decode_key = _decode_index
        return coder

    def _encode_index(self, key: Any) -> bytes:
        return self._index(key).to_bytes(4, sys.byteorder)

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


def _decode_index(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


class SlotArray(Indexed, Entries["int", "V"], MutableMapping["int", "V"]):
    """An array whose places may be empty, such as one of programs: a mapping of those in use."""

    def __delitem__(self, key: Any) -> None:
        """Empty a place.

        Raises:
            KeyError: it is empty.
        """
        if not self._handle.delete(self._coder.encode_key(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        key, items = self._coder.decode_key, self._handle.iter_items()
        return (key(k) for _held in (self,) for k, _ in items)

    def __len__(self) -> int:
        """How many places are in use, by looking at each."""
        return sum(1 for _ in self._handle.iter_items())

    def __contains__(self, key: object) -> bool:
        try:
            return super().__contains__(key)
        except KeyError:
            return False  # no index of the array

    def clear(self) -> None:
        """Empty every place."""
        for key in self._handle.iter_keys():
            self._handle.delete(key)

    __eq__ = Map.__eq__
    __hash__ = Map.__hash__


class WriteOnly(TypedMap):
    """A map that the kernel lets nobody read: places are filled and emptied."""

    __iter__ = None

    def __setitem__(self, key: Any, value: Any) -> None:
        """Fill a place, or replace what is there.

        Raises:
            BpfError: the kernel refused the value.
        """
        self.update_elem(key, value)

    def update_elem(self, key: Any, value: Any, flags: int = BPF_ANY) -> None:
        """Fill a place, with ``flags``: BPF_NOEXIST only an empty one, BPF_EXIST only a full one.

        Raises:
            BpfError: the kernel refused the value.
        """
        coder = self._coder
        self._handle.update(coder.encode_key(key), coder.encode_value(value), flags)

    def __delitem__(self, key: Any) -> None:
        """Empty a place.

        Raises:
            KeyError: it is empty.
        """
        if not self._handle.delete(self._coder.encode_key(key)):
            raise KeyError(key)


class ArrayMap(Indexed, Entries["int", "V"], Mapping["int", "V"]):
    """An array map: from index to value; every index below ``max_entries`` is there, always.

    Kinds: array, per-CPU array.
    """

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
