"""The kernel engine's maps: libbpf's ``bpf_map``, in bytes."""

from __future__ import annotations

import errno
import os
import sys

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.entries import MapEntries
from pylibbpf.engine.kernel.library import version
from pylibbpf.engine.kernel.opts import c_string
from pylibbpf.engine.kernel.part import Part
from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.uapi.flags import BPF_F_MMAPABLE, BPF_F_NUMA_NODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pylibbpf.engine.kernel.engine import KernelObject
    from pylibbpf.engine.kernel.inner import InnerMap
    from pylibbpf.engine.kernel.links import KernelLink
    from pylibbpf.engine.kernel.openmap import OpenMap
    from pylibbpf.engine.kernel.perfbuf import KernelPerf, KernelRecorder
    from pylibbpf.engine.kernel.records import KernelRing
    from pylibbpf.engine.kernel.userring import KernelUserRing

_ZERO = bytes(4)
_STRUCT_OPS = 26  # MapType.STRUCT_OPS; the enum is kept off the main path (memory)

# Of enum bpf_map_type. MapType has them, but every load would pay 1 MB for the module enum.
_ARRAY_OF_MAPS, _HASH_OF_MAPS, _ARENA = 12, 13, 33


class KernelMap(Part, MapEntries):  # type: ignore[misc]  # both have what C needs
    """A map of an object. Setters work until load, the rest after it."""

    in_use: KernelLink | None = None
    """The link of a struct_ops map that was put to use."""

    def __init__(self, owner: KernelObject, pointer: Any) -> None:
        lib = owner.lib
        super().__init__(owner, pointer, lib.bpf_map__name)
        self.internal = bool(lib.bpf_map__is_internal(pointer))
        if self.internal and not self.name.startswith("."):
            # libbpf puts the object's name before .data, .rodata, .bss and .kconfig.
            self.name = self.name[self.name.rindex(".") :]
        # Before load: libbpf forgets them there for maps whose types the kernel would not take
        # (queues, maps of maps).
        self.key_type_id = self._key_type = int(lib.bpf_map__btf_key_type_id(pointer))
        self.value_type_id = self._value_type = int(lib.bpf_map__btf_value_type_id(pointer))
        self._sizes = lib.bpf_map__key_size(pointer), lib.bpf_map__value_size(pointer)
        self._set_up(self._ffi, lib, self._ffi.new("struct plb_map *", {"fd": -1}))
        self.inner: InnerMap | None = None
        if lib.bpf_map__type(pointer) in (_ARRAY_OF_MAPS, _HASH_OF_MAPS):
            from pylibbpf.engine.kernel.inner import InnerMap

            self.inner = InnerMap(self, lib.bpf_map__inner_map(pointer))
        self._initial()

    def _initial(self) -> None:
        """Where libbpf keeps the initial values of global data, until load."""
        if not (self.internal or self._lib.bpf_map__type(self.pointer) == _STRUCT_OPS):
            return
        size = self._ffi.new("size_t *")
        memory = self._lib.bpf_map__initial_value(self.pointer, size)
        if memory != self._ffi.NULL:
            self._map.memory = self._ffi.cast("void *", memory)
            self._map.memory_size = size[0]

    # ---- the definition

    @property
    def type(self) -> int:
        return int(self._get("bpf_map__type"))

    @type.setter
    def type(self, value: int) -> None:
        self._set("bpf_map__set_type", value, "type")

    @property
    def key_size(self) -> int:
        return int(self._get("bpf_map__key_size"))

    @key_size.setter
    def key_size(self, value: int) -> None:
        self._set("bpf_map__set_key_size", value, "key_size")
        # Of another size it is no longer what BTF says, but bytes.
        self.key_type_id = self._key_type if value == self._sizes[0] else 0

    @property
    def value_size(self) -> int:
        return int(self._get("bpf_map__value_size"))

    @value_size.setter
    def value_size(self, value: int) -> None:
        with self._owner:
            self._set("bpf_map__set_value_size", value, "value_size")
            # libbpf from 1.3 on moves the initial values of global data to a place that fits.
            self._initial()
        if not self.internal:
            self.value_type_id = self._value_type if value == self._sizes[1] else 0

    @property
    def max_entries(self) -> int:
        return int(self._get("bpf_map__max_entries"))

    @max_entries.setter
    def max_entries(self, value: int) -> None:
        self._set("bpf_map__set_max_entries", value, "max_entries")

    @property
    def flags(self) -> int:
        return int(self._get("bpf_map__map_flags"))

    @flags.setter
    def flags(self, value: int) -> None:
        self._set("bpf_map__set_map_flags", value, "map_flags")

    @property
    def autocreate(self) -> bool:
        return bool(self._get("bpf_map__autocreate"))

    @autocreate.setter
    def autocreate(self, value: bool) -> None:
        self._set("bpf_map__set_autocreate", bool(value), "autocreate")

    @property
    def map_extra(self) -> int:
        return int(self._get("bpf_map__map_extra"))

    @map_extra.setter
    def map_extra(self, value: int) -> None:
        self._set("bpf_map__set_map_extra", value, "map_extra")

    @property
    def numa_node(self) -> int | None:
        return int(self._get("bpf_map__numa_node")) if self.flags & BPF_F_NUMA_NODE else None

    @numa_node.setter
    def numa_node(self, value: int | None) -> None:
        with self._owner:
            self._set("bpf_map__set_numa_node", value or 0, "numa_node")
            # The kernel looks at the node only beside this flag.
            others = self.flags & ~BPF_F_NUMA_NODE
            self.flags = others if value is None else others | BPF_F_NUMA_NODE

    @property
    def ifindex(self) -> int:
        return int(self._get("bpf_map__ifindex"))

    @ifindex.setter
    def ifindex(self, value: int) -> None:
        self._set("bpf_map__set_ifindex", value, "ifindex")

    @property
    def pin_path(self) -> str | None:
        path = self._get("bpf_map__pin_path")
        return None if path == self._ffi.NULL else os.fsdecode(self._ffi.string(path))

    @pin_path.setter
    def pin_path(self, value: str | None) -> None:
        path = self._ffi.NULL if value is None else c_string(value, "pin path")
        self._set("bpf_map__set_pin_path", path, "pin path")

    def btf(self) -> bytes | None:
        return self._owner.btf()

    def reuse(self, fd: int) -> None:
        with self._owner, Capture() as capture:
            rc = self._lib.bpf_map__reuse_fd(self.pointer, fd)
        check(rc, "reuse map", self.name, capture)

    def pin(self, path: str) -> None:
        from pylibbpf.engine.kernel.pins import pin

        with self._owner:
            pin(self.fd, path, "map", self.name)
            self.pin_path = os.path.abspath(path)

    def unpin(self, path: str) -> None:
        from pylibbpf.engine.kernel.pins import unpin

        with self._owner:
            unpin(path, "map", self.name, self.info().id)
            if self.pin_path == os.path.abspath(path):
                self.pin_path = None

    # ---- lifetime

    def loading(self) -> None:
        """Before the object's load, which may move or protect the initial values."""
        self._map.memory = self._ffi.NULL
        if self.inner is not None:
            self.inner.loading()

    def loaded(self) -> None:
        """Take the descriptor, after the object's load; map global data into memory."""
        lib = self._lib
        fd = lib.bpf_map__fd(self.pointer)
        # libbpf from 1.4 on gives a descriptor of nothing for a map that it did not make.
        if fd < 0 or not self.autocreate:
            return
        self._map.fd = fd
        self.key_bytes = self.key_size
        if self.internal and self.flags & BPF_F_MMAPABLE:
            # Frozen maps (.rodata, .kconfig) may only be mapped for reading.
            writable = not self.name.startswith((".rodata", ".kconfig"))
            rc = lib.plb_map_mmap(self._map, self._ffi.NULL, self.value_size, writable)
            check(rc, "map", self.name)
        elif self.type == _ARENA:
            self._map_arena()

    def _map_arena(self) -> None:
        """Find an arena's memory: libbpf 1.4 and later have mapped it; a second mapping fails.

        arena_map_mmap (kernel/bpf/arena.c) takes one place in all of a process.
        """
        size = self.max_entries * os.sysconf("SC_PAGE_SIZE")
        memory = self._lib.bpf_map__initial_value(self.pointer, self._ffi.new("size_t *"))
        if memory != self._ffi.NULL:
            self._map.memory, self._map.memory_size = self._ffi.cast("void *", memory), size
            return
        place = self._ffi.cast("void *", self.map_extra)
        rc = self._lib.plb_map_mmap(self._map, place, size, True)
        check(rc, "map arena", self.name, **self.facts())

    def _keeps_memory(self) -> object:
        return self._owner.keep_memory()

    def close(self) -> None:
        self._lib.plb_map_close(self._map)

    def abandon(self) -> None:
        self._lib.plb_map_abandon(self._map)

    @property
    def viewed(self) -> bool:
        """Whether somebody looks into the map's memory, by :meth:`view`."""
        return bool(self._map.views)

    def _alive(self) -> None:
        self._owner.alive()

    @property
    def fd(self) -> int:
        self._owner.alive()
        self._need_loaded()
        return int(self._map.fd)

    def _need_loaded(self) -> None:
        if self._map.fd < 0:
            why = (
                "the object's load failed, or the map was left out (autocreate)"
                if self._owner.load_tried
                else "the map is not loaded yet"
            )
            raise BpfError(errno.EBADF, "use map", self.name, why)

    # ---- global data

    def read(self, offset: int, size: int) -> bytes:
        if self._by_element():
            whole = self.lookup(_ZERO)
            return b"" if whole is None else whole[offset : offset + size]
        data = self._ffi.new("char[]", size)
        rc = self._lib.plb_map_memory_read(self._map, offset, data, size)
        if rc < 0:
            raise self._fail(rc, "read global data of")
        return bytes(self._ffi.buffer(data))

    def write(self, offset: int, data: bytes) -> None:
        if self._by_element():
            with self._owner:
                whole = self.lookup(_ZERO) or bytes(self._layout()[2])
                self.update(_ZERO, whole[:offset] + data + whole[offset + len(data) :], 0)
            return
        source = self._ffi.new("char[]", data)  # aligned, so that words move whole
        rc = self._lib.plb_map_memory_write(self._map, offset, source, len(data))
        if rc < 0:
            raise self._fail(rc, "write global data of")

    def _by_element(self) -> bool:
        """True where libbpf made the map of global data without BPF_F_MMAPABLE.

        It does so for sections that hold static variables only. Then a write replaces the whole
        section, and what a program writes meanwhile may be lost.
        """
        return self._map.fd >= 0 and not self._map.unmap and not self._map.closed

    # ---- what hangs on a map

    def _more_facts(self) -> dict[str, Any]:
        inner = None if self.inner is None else self.inner.declared
        return {"numa_node": self.numa_node, "ifindex": self.ifindex, "inner": inner}

    def create_inner(self, **given: Any) -> OpenMap:
        """Make a map that fits into this one; see :meth:`InnerMap.create`."""
        if self.inner is None:
            raise TypeError(f"map {self.name!r} does not hold maps")
        return self.inner.create(**given)

    def attach_struct_ops(self) -> KernelLink:
        from pylibbpf.engine.kernel.struct_ops import attach

        return attach(self)

    def struct_ops_program(self, offset: int) -> str | None:
        self._need_initial()
        place = int.from_bytes(self.read(offset, 8), sys.byteorder)
        for each in self._owner.programs:
            if place and int(self._ffi.cast("uintptr_t", each.pointer)) == place:
                return str(each.name)
        return None

    def set_struct_ops_program(self, offset: int, name: str | None) -> None:
        self._need_initial()
        place = 0
        for each in self._owner.programs:
            if each.name == name:
                place = int(self._ffi.cast("uintptr_t", each.pointer))
        self.write(offset, place.to_bytes(8, sys.byteorder))

    def _need_initial(self) -> None:
        self._owner.alive()
        if self._owner.load_tried:
            cause = "that can be set until load only"
            raise BpfError(errno.EBUSY, "initial value of", self.name, cause)
        if self._map.memory == self._ffi.NULL:
            major, minor = version()
            raise NotSupportedError(
                f"initial values of struct_ops map {self.name!r} need libbpf 1.4; this is "
                f"{major}.{minor}"
            )

    def read_initial(self, offset: int, size: int) -> bytes:
        self._need_initial()
        return self.read(offset, size)

    def write_initial(self, offset: int, data: bytes) -> None:
        self._need_initial()
        self.write(offset, data)

    @property
    def struct_ops_state(self) -> str:
        from pylibbpf.engine.kernel.struct_ops import state

        return state(self)

    def open_ring(self) -> KernelRing:
        from pylibbpf.engine.kernel.records import KernelRing

        with self._owner as owner:
            self._need_unread("ring buffer")
            return KernelRing(owner, self.name, self.fd, self.max_entries)

    def open_perf(
        self,
        pages: int,
        cpus: Sequence[int] | None,
        wakeup_events: int,
        wakeup_watermark: int | None,
    ) -> KernelPerf:
        from pylibbpf.engine.kernel.perfbuf import KernelPerf

        with self._owner:
            self._need_unread("perf buffer")
            return KernelPerf(self, pages, cpus, wakeup_events, wakeup_watermark)

    def open_recorder(self, pages: int, cpus: Sequence[int] | None) -> KernelRecorder:
        from pylibbpf.engine.kernel.perfbuf import KernelRecorder

        with self._owner:
            self._need_unread("flight recorder")
            return KernelRecorder(self, pages, cpus)

    def open_user_ring(self) -> KernelUserRing:
        from pylibbpf.engine.kernel.userring import KernelUserRing

        with self._owner:
            self._need_unread("user ring buffer")
            return KernelUserRing(self)

    def _need_unread(self, what: str) -> None:
        if self._owner.reads(self.name):
            raise BpfError(errno.EBUSY, f"open {what}", self.name, "it is open already")
