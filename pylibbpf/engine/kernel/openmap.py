"""Maps that no object owns: made, or opened by id, path or descriptor; they stand on their own."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.fork import track
from pylibbpf.engine.kernel import pins
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.entries import MapEntries
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.opts import c_string, opts
from pylibbpf.errors import BpfError, ClosedError, NotSupportedError
from pylibbpf.uapi.enums import MapType
from pylibbpf.uapi.flags import BPF_F_NUMA_NODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from pylibbpf.uapi.info import MapInfo

__all__ = ["OpenMap"]


class _Told:
    """What the kernel said of a map when it was opened; it cannot be changed.

    ``default`` stands for what it does not say.
    """

    def __init__(self, default: Any = None) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: OpenMap, owner: type | None = None) -> Any:
        told = getattr(instance, "told", None)  # not there yet, if it is no map
        return getattr(told, self._name, self._default)

    def __set__(self, instance: OpenMap, value: object) -> NoReturn:
        raise BpfError(
            errno.EBUSY, f"set {self._name} of", instance.name, "the map is in the kernel already"
        )


class OpenMap(MapEntries):
    """A map by a descriptor of its own, which is closed with it, or when it is collected.

    ``told`` is what the kernel says of it. ``key_type_id`` and ``value_type_id`` are of the
    map's own BTF (:meth:`btf`), unless who opened it knows better.
    """

    type = _Told()
    key_size = _Told()
    value_size = _Told()
    max_entries = _Told()
    flags = _Told()
    map_extra = _Told()
    ifindex = _Told()
    autocreate = _Told(True)
    pin_path: str | None = None
    """Where it was opened, or pinned since."""
    numa_node = _Told()
    internal = False
    inner = None

    def __init__(
        self, name: str, operation: str, fill: Callable[..., int], *arguments: Any, **facts: Any
    ) -> None:
        """Have ``fill(cell, *arguments)``, a function of the shim, open or make the map."""
        ffi, lib = load()
        self.name = name
        self._gone = "is closed"  # until it is open
        cell = ffi.new("struct plb_map *", {"fd": -1})
        self._set_up(ffi, lib, ffi.gc(cell, lib.plb_map_close))
        track(self)  # before the call: a child that is forked from now on has it closed
        with Capture() as capture:
            rc = fill(self._map, *arguments)
        if operation == "open map" and rc < 0:
            pins.explain(rc, operation, name, name)
        check(rc, operation, name, capture, **facts)
        capture.log()
        try:
            pins.need_kind(self._map.fd, "map", name)
        except BpfError:
            self.close()
            raise
        self.told: MapInfo = self.info()
        self.name = self.told.name or name
        self.key_bytes = self.told.key_size
        self.key_type_id, self.value_type_id = self.told.key_type_id, self.told.value_type_id

    # ---- where they come from

    @classmethod
    def create(
        cls,
        kind: int,
        name: str,
        key_size: int,
        value_size: int,
        max_entries: int,
        *,
        flags: int = 0,
        numa_node: int | None = None,
        **fields: Any,
    ) -> OpenMap:
        """Make a map (BPF_MAP_CREATE); ``fields`` are of struct bpf_map_create_opts."""
        if numa_node is not None:
            flags |= BPF_F_NUMA_NODE
        filled, _keep = opts("bpf_map_create_opts", map_flags=flags, numa_node=numa_node, **fields)
        made = cls(
            name,
            "map create",
            load()[1].plb_map_create,
            int(kind),
            c_string(name, "map's name"),
            key_size,
            value_size,
            max_entries,
            filled,
            map_type=kind,
            key_size=key_size,
            value_size=value_size,
            max_entries=max_entries,
            flags=flags,
            numa_node=numa_node,
            ifindex=fields.get("map_ifindex"),
        )
        if kind == MapType.ARENA:
            made.map_arena()
        return made

    @classmethod
    def by_id(cls, number: int) -> OpenMap:
        """Open the map of an id. Privilege: CAP_SYS_ADMIN."""
        return cls(f"id {number}", "open map by id", load()[1].plb_map_by_id, number)

    @classmethod
    def by_path(cls, path: str, flags: int = 0) -> OpenMap:
        """Open a pinned map; ``flags``: BPF_F_RDONLY or BPF_F_WRONLY."""
        place = c_string(path, "path")
        found = cls(path, "open map", load()[1].plb_map_by_path, place, flags)
        found.pin_path = os.path.abspath(path)
        return found

    @classmethod
    def by_fd(cls, fd: int) -> OpenMap:
        """Open the map of a descriptor, which is copied."""
        return cls(f"descriptor {fd}", "copy descriptor of map", load()[1].plb_map_by_fd, fd)

    # ---- what it stands on

    @property
    def fd(self) -> int:
        self._alive()
        return int(self._map.fd)

    def btf(self) -> bytes | None:
        """The BTF that the map was made with. Privilege: CAP_SYS_ADMIN."""
        if not self.told.btf_id:
            return None
        from pylibbpf.engine.kernel.kernel_btf import by_id

        return by_id(self.told.btf_id)

    def map_arena(self) -> None:
        """Map an arena's memory, at the place that it was made for."""
        size = self.max_entries * os.sysconf("SC_PAGE_SIZE")
        place = self._ffi.cast("void *", self.map_extra)
        rc = self._lib.plb_map_mmap(self._map, place, size, True)
        check(rc, "map arena", self.name, **self.facts())

    def pin(self, path: str) -> None:
        pins.pin(self.fd, path, "map", self.name)
        self.pin_path = os.path.abspath(path)

    def unpin(self, path: str) -> None:
        pins.unpin(path, "map", self.name, self.info().id)
        if self.pin_path == os.path.abspath(path):
            self.pin_path = None

    @property
    def struct_ops_state(self) -> str:
        from pylibbpf.engine.kernel.struct_ops import state

        return state(self)

    def alive(self) -> None:
        """Raise ClosedError if the map is closed."""
        self._alive()

    def _alive(self) -> None:
        if self._map.closed:
            raise ClosedError(f"map {self.name!r} {self._gone}")

    def _need_loaded(self) -> None:
        pass

    def close(self) -> None:
        self._lib.plb_map_close(self._map)

    def abandon(self) -> None:
        """In a forked child: close the copy of the descriptor."""
        self._gone = "belongs to the process that opened it, the parent of this one"
        self._lib.plb_map_abandon(self._map)

    # ---- what only maps of objects have

    def create_inner(self, **given: Any) -> NoReturn:
        raise self._of_no_object("declaration of inner maps")

    def attach_struct_ops(self) -> NoReturn:
        raise self._of_no_object("struct_ops to put to use")

    def read_initial(self, offset: int, size: int) -> NoReturn:
        raise self._of_no_object("initial value")

    def write_initial(self, offset: int, data: bytes) -> NoReturn:
        raise self._of_no_object("initial value")

    def struct_ops_program(self, offset: int) -> NoReturn:
        raise self._of_no_object("programs")

    def set_struct_ops_program(self, offset: int, name: str | None) -> NoReturn:
        raise self._of_no_object("programs")

    def reuse(self, fd: int) -> NoReturn:
        raise self._of_no_object("load that could reuse another")

    def open_ring(self) -> NoReturn:
        raise self._of_no_object("stream of records")

    def open_perf(self, *arguments: Any) -> NoReturn:
        raise self._of_no_object("stream of records")

    def open_recorder(self, *arguments: Any) -> NoReturn:
        raise self._of_no_object("stream of records")

    def open_user_ring(self) -> NoReturn:
        raise self._of_no_object("stream of records")

    def read(self, offset: int, size: int) -> bytes:
        raise self._of_no_object("global data")

    def write(self, offset: int, data: bytes) -> None:
        raise self._of_no_object("global data")

    def _of_no_object(self, what: str) -> NotSupportedError:
        return NotSupportedError(f"map {self.name!r} belongs to no object, and has no {what}")
