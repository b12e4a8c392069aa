"""Maps of maps."""

from __future__ import annotations

import errno
import sys

from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.map.alone import stand_alone
from pylibbpf.map.base import Map
from pylibbpf.map.descriptor import descriptor
from pylibbpf.map.entries import Entries, HashMap, SlotArray
from pylibbpf.uapi.enums import MapType, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.abc import MapHandle, OpenMapHandle
    from pylibbpf.map.base import Coder

__all__ = ["ArrayOfMaps", "HashOfMaps", "InnerType"]

# How often a place is read again whose map was replaced and gone before it could be opened.
_TRIES = 16


class InnerType:
    """What the maps in a map of maps are like: their type and sizes, as declared.

    They can be set until the object is loaded.
    """

    def __init__(self, handle: MapHandle) -> None:
        assert handle.inner is not None
        self._handle = handle
        self._inner = handle.inner

    def __getattr__(self, name: str) -> int:
        found = self.__dict__["_inner"].facts.get(name)
        if found is None:
            raise AttributeError(name)
        return named(MapType, found) if name == "type" else int(found)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        elif name in self._inner.facts:
            self._inner.set(name, int(value))
        else:
            raise AttributeError(f"the maps in a map of maps have no {name!r} to set")

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._inner.facts)
        return f"<InnerType {facts}>"


class _Outer(Entries):
    def _make_coder(self) -> Coder:
        coder = super()._make_coder()
        coder.scalars = None
        coder.encode_value = _encode
        coder.decode_value = self._open
        return coder

    @property
    def inner(self) -> InnerType:
        """What the maps in it are like.

        Raises:
            NotSupportedError: it belongs to no object, and the kernel does not tell.
        """
        if self._handle.inner is None:
            raise NotSupportedError(f"map {self.name!r}: the kernel does not tell its inner type")
        return InnerType(self._handle)

    def set_inner(self, template: Map) -> None:
        """Have the maps in it be like ``template``, instead of as declared. Until load.

        Raises:
            BpfError: EBUSY, the object is loaded.
        """
        if self._handle.inner is None:
            raise NotSupportedError(f"map {self.name!r} belongs to no object: it is made already")
        if not isinstance(template, Map):
            raise TypeError(f"a template is a map, not {type(template).__name__}")
        self._handle.inner.set_template(template.fd)

    def create_inner(
        self,
        max_entries: int | None = None,
        *,
        flags: int | None = None,
        name: str | None = None,
    ) -> Map:
        """Make a map that fits, of the declared type; ``outer[key] = made`` puts it in.

        What is in the map of maps stays there when the one that was made here is closed.
        ``max_entries`` other than the declared: hashes always, arrays where the declaration has
        the flag BPF_F_INNER_MAP (Linux 5.10).

        Raises:
            NotSupportedError: no inner map is declared.
            BpfError: the kernel refused.
        """
        inner = self._handle.inner
        if inner is None or not inner.declared:
            raise NotSupportedError(f"map {self.name!r} does not declare what maps are in it")
        return self._typed(
            self._handle.create_inner(max_entries=max_entries, flags=flags, name=name), warn=True
        )

    def map_id(self, key: Any) -> int:
        """The id of the map under ``key``, which needs no privilege beyond the map of maps.

        Raises:
            KeyError: there is none.
        """
        found = self._handle.lookup(self._coder.encode_key(key))
        if found is None:
            raise KeyError(key)
        return int.from_bytes(found, sys.byteorder)

    def map_ids(self) -> dict[Any, int]:
        """The ids of all maps in it, by key."""
        key = self._coder.decode_key
        return {key(k): int.from_bytes(v, sys.byteorder) for k, v in self._handle.iter_items()}

    def __getitem__(self, key: Any) -> Any:
        """The map under ``key``, typed as declared. Privilege: CAP_SYS_ADMIN, to open an id.

        It can be closed, and is when nobody has it any more; it stays in the map of maps.

        Raises:
            KeyError: there is none.
        """
        coder = self._coder
        encoded = coder.encode_key(key)
        for _ in range(_TRIES):
            found = self._handle.lookup(encoded)
            if found is None:
                raise KeyError(key)
            try:
                return coder.decode_value(found)
            except BpfError as error:
                if error.errno != errno.ENOENT:
                    raise
                gone = error  # replaced since, and its last user gone
        raise gone

    def _open(self, data: bytes) -> Map:
        return self._typed(self._handle.open_id(int.from_bytes(data, sys.byteorder)), warn=False)

    def _typed(self, handle: OpenMapHandle, *, warn: bool) -> Map:
        inner = self._handle.inner
        if inner is None or not (inner.key_type_id or inner.value_type_id):
            return stand_alone(handle, warn=warn)
        # Of the object's BTF, which the process has: the kernel gives its copy to few.
        handle.key_type_id, handle.value_type_id = inner.key_type_id, inner.value_type_id
        return stand_alone(handle, self._owner._codec, warn=warn)


def _encode(value: Any) -> bytes:
    fd = value.fd if isinstance(value, Map) else descriptor(value, "a map")
    return int(fd).to_bytes(4, sys.byteorder)


class ArrayOfMaps(_Outer, SlotArray):
    """An array of maps: ``outer[3] = made``, ``outer[3][key]``, ``del outer[3]``."""


class HashOfMaps(_Outer, HashMap):
    """A hash of maps: ``outer[key] = made``, ``outer[key][inner_key]``, ``del outer[key]``."""

    def pop(self, key: Any, *default: Any) -> Any:
        """Take a map out; ``default``, or KeyError, where there is none."""
        if len(default) > 1:
            raise TypeError(f"pop takes a key and a default, not {1 + len(default)} arguments")
        try:
            found = self[key]  # before it goes: nobody else may have it
            del self[key]
        except KeyError:
            if default:
                return default[0]
            raise
        return found
