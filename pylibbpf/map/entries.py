"""Maps from keys to values: hashes and arrays."""

from __future__ import annotations

import errno
import operator
from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView

from pylibbpf.errors import BpfError
from pylibbpf.handle import Between
from pylibbpf.map.base import Map, TypedMap
from pylibbpf.uapi.flags import BPF_ANY, BPF_NOEXIST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.handle import Given, K, V
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

    def update_elem(self, key: Any, value: Any, flags: int = BPF_ANY) -> None:
        """Add or replace, with ``flags``: BPF_NOEXIST only adds, BPF_EXIST only replaces.

        Raises:
            BpfError: EEXIST or ENOENT where the flags forbid it, E2BIG where the map is full.
        """
        coder = self._coder
        self._handle.update(coder.encode_key(key), coder.encode_value(value), flags)

    def __contains__(self, key: object) -> bool:
        return self._handle.lookup(self._coder.encode_key(key)) is not None

    def __iter__(self) -> Iterator[K]:
        return map(self._coder.decode_key, self._handle.iter_keys())

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
        return ((key(k), value(v)) for k, v in self._handle.iter_items())

    def _values(self) -> Iterator[V]:
        value = self._coder.decode_value
        return (value(v) for _, v in self._handle.iter_items())


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

    def clear(self) -> None:
        """Delete the entries that are there now."""
        for key in list(self._handle.iter_keys()):
            self._handle.delete(key)

    __eq__ = Map.__eq__
    __hash__ = Map.__hash__


class ArrayMap(Entries["int", "V"], Mapping["int", "V"]):
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
