"""The kernel engine's maps: libbpf's ``bpf_map``, in bytes."""

from __future__ import annotations

import errno
import os
import sys

from pylibbpf.engine.kernel.check import check, failure
from pylibbpf.engine.kernel.opts import c_string
from pylibbpf.engine.kernel.part import Part
from pylibbpf.errors import BpfError, ClosedError
from pylibbpf.uapi.flags import BPF_F_MMAPABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pylibbpf.engine.kernel.engine import KernelObject
    from pylibbpf.engine.kernel.links import KernelLink
    from pylibbpf.engine.kernel.records import KernelPerf, KernelRing
    from pylibbpf.engine.kernel.scalars import ScalarCalls

# Entries asked for in one batch, at first.
_BATCH = 512
_ENOTSUPP = 524
_NO_ENTRY = -errno.ENOENT
_ZERO = bytes(4)


class KernelMap(Part):
    """A map of an object. Setters work until load, the rest after it."""

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
        self._map = self._ffi.new("struct plb_map *", {"fd": -1})
        self._shape: tuple[int, int, int] | None = None
        self._size = -1  # bytes of a lookup's result, once the map is loaded and used
        self._chars = self._ffi.typeof("char[]")
        # Bound once: a lookup is two microseconds, of which each search for a name is a part.
        self._new, self._unpack = self._ffi.new, self._ffi.unpack
        self._lookup, self._update = lib.plb_map_lookup, lib.plb_map_update
        self._initial()

    def _initial(self) -> None:
        """Where libbpf keeps the initial values of global data, until load."""
        if not self.internal:
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
        self._set("bpf_map__set_type", int(value), "type")

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
        self._set("bpf_map__set_map_flags", int(value), "map_flags")

    @property
    def autocreate(self) -> bool:
        return bool(self._get("bpf_map__autocreate"))

    @autocreate.setter
    def autocreate(self, value: bool) -> None:
        self._set("bpf_map__set_autocreate", bool(value), "autocreate")

    @property
    def pin_path(self) -> str | None:
        path = self._get("bpf_map__pin_path")
        return None if path == self._ffi.NULL else os.fsdecode(self._ffi.string(path))

    @pin_path.setter
    def pin_path(self, value: str | None) -> None:
        path = self._ffi.NULL if value is None else c_string(value, "pin path")
        self._set("bpf_map__set_pin_path", path, "pin path")

    # ---- lifetime

    def loading(self) -> None:
        """Before the object's load, which may move or protect the initial values."""
        self._map.memory = self._ffi.NULL

    def loaded(self) -> None:
        """Take the descriptor, after the object's load; map global data into memory."""
        lib = self._lib
        fd = lib.bpf_map__fd(self.pointer)
        if fd < 0:
            return  # autocreate was off
        self._map.fd = fd
        self.key_bytes = self.key_size
        if self.internal and self.flags & BPF_F_MMAPABLE:
            # Frozen maps (.rodata, .kconfig) may only be mapped for reading.
            writable = not self.name.startswith((".rodata", ".kconfig"))
            check(lib.plb_map_mmap(self._map, self.value_size, writable), "map", self.name)

    @property
    def cpus(self) -> int:
        return self._layout()[0]

    @property
    def stride(self) -> int:
        return self._layout()[1]

    def _layout(self) -> tuple[int, int, int]:
        """How many values a lookup gives, from where to where, and their size in all."""
        if self._shape is None:
            from pylibbpf.uapi.kinds import PER_CPU

            cpus, stride = 1, self.value_size
            if self.type in PER_CPU:
                cpus = check(self._lib.libbpf_num_possible_cpus(), "count the possible CPUs")
                stride = (stride + 7) & ~7
            self._shape = cpus, stride, cpus * stride
        return self._shape

    def close(self) -> None:
        self._lib.plb_map_close(self._map)

    def abandon(self) -> None:
        self._lib.plb_map_abandon(self._map)

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

    def _fail(self, rc: int, operation: str) -> BaseException:
        if self._map.closed:
            self._owner.alive()
            raise ClosedError(f"map {self.name!r} is closed")
        self._need_loaded()
        return failure(-rc, operation, self.name, **self.facts())

    def facts(self) -> dict[str, Any]:
        """What a hint about a failure can be made of."""
        return {
            "map_type": self.type,
            "max_entries": self.max_entries,
            "key_size": self.key_size,
            "value_size": self.value_size,
            "flags": self.flags,
            "fd": self._map.fd if self._map.fd >= 0 else None,
        }

    # ---- entries

    def lookup(self, key: bytes | None) -> bytes | None:
        size = self._size
        if size < 0 or key is None or len(key) != self.key_bytes:
            key, size = self._checked(key)
        value = self._new(self._chars, size)
        rc = self._lookup(self._map, key, value, 0)
        if rc:
            if rc == _NO_ENTRY:
                return None
            raise self._fail(rc, "map lookup")
        return self._unpack(value, size)  # type: ignore[no-any-return]  # bytes, of char[]

    def scalars(self, key: str, value: str) -> ScalarCalls | None:
        self._need_loaded()
        if self._layout()[0] != 1:
            return None
        from pylibbpf.engine.kernel.scalars import scalar_calls

        return scalar_calls(self._lib, self._map, key, value)

    def pop(self, key: bytes | None) -> bytes | None:
        key, size = self._checked(key)
        value = self._new(self._chars, size)
        rc = self._lib.plb_map_pop(self._map, key, value)
        if rc:
            if rc == _NO_ENTRY:
                return None
            raise self._fail(rc, "map lookup and delete")
        return self._unpack(value, size)  # type: ignore[no-any-return]  # bytes, of char[]

    def test(self, value: bytes) -> bool:
        key, size = self._checked(None)
        self._check_value(value, size)
        rc = self._lookup(self._map, key, self._new(self._chars, value), 0)
        if rc and rc != _NO_ENTRY:
            raise self._fail(rc, "map lookup")
        return bool(rc == 0)

    def update(self, key: bytes | None, value: bytes, flags: int) -> None:
        size = self._size
        if size < 0 or key is None or len(key) != self.key_bytes:
            key, size = self._checked(key)
        if len(value) != size:
            self._check_value(value, size)
        rc = self._update(self._map, key, value, flags)
        if rc:
            raise self._fail(rc, "map update")

    def delete(self, key: bytes) -> bool:
        key, _ = self._checked(key)
        rc = self._lib.plb_map_delete(self._map, key)
        if rc:
            if rc == _NO_ENTRY:
                return False
            raise self._fail(rc, "map delete")
        return True

    def _checked(self, key: bytes | None) -> tuple[Any, int]:
        """The key as an argument, and the bytes of a lookup's result, of a loaded map."""
        if self._map.fd < 0:
            self._owner.alive()
            self._need_loaded()
        self._size = self._layout()[2]
        if key is None:
            return self._ffi.NULL, self._size
        if len(key) != self.key_bytes:
            raise ValueError(
                f"a key of map {self.name!r} has {self.key_bytes} bytes, not {len(key)}"
            )
        return key, self._size

    def _check_value(self, value: bytes, size: int) -> None:
        if len(value) != size:
            raise ValueError(f"a value of map {self.name!r} has {size} bytes, not {len(value)}")

    def iter_keys(self) -> Iterator[bytes]:
        """Every key that is there throughout, once."""
        self._need_loaded()
        from pylibbpf.engine.kernel.kinds import ARRAYS, BATCH_HASH

        kind = self.type
        if kind in BATCH_HASH:
            return (key for key, _ in self._batches())
        if kind in ARRAYS:
            return (i.to_bytes(4, sys.byteorder) for i in range(self.max_entries))
        return self._walk()

    def iter_items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry that is there throughout, once; by batch where the type has it."""
        self._need_loaded()
        from pylibbpf.engine.kernel.kinds import BATCH_ARRAY, BATCH_HASH

        kind = self.type
        if kind in BATCH_HASH or kind in BATCH_ARRAY:
            return self._batches()
        return self._looked_up(self.iter_keys())

    def _looked_up(self, keys: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for key in keys:
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def _walk(self) -> Iterator[bytes]:
        """Every key that is there throughout, once: by raw keys, with a seen-set.

        get_next_key answers the first key again after the one under the cursor was deleted. Then
        the walk goes back to the nearest key that it has given and that is still there.
        """
        ffi, lib = self._ffi, self._lib
        following = ffi.new("char[]", self.key_bytes)
        seen: set[bytes] = set()
        trail: list[bytes] = []
        cursor: bytes | None = None
        steps, limit = 0, 16 * self.max_entries + 1024
        while True:
            steps += 1
            if steps > limit:
                # Deleted and added faster than it can be walked: an end without all entries
                # would look like an end with them.
                raise failure(errno.EBUSY, "map iteration", self.name)
            rc = lib.plb_map_next_key(self._map, ffi.NULL if cursor is None else cursor, following)
            if rc == -errno.ENOENT:
                return
            if rc < 0:
                raise self._fail(rc, "map iteration")
            key = bytes(ffi.buffer(following))
            if key not in seen:
                seen.add(key)
                trail.append(key)
                cursor = key
                yield key
            elif trail and cursor == trail[-1] and not self._present(cursor):
                while trail and not self._present(trail[-1]):
                    trail.pop()
                cursor = trail[-1] if trail else None
            else:
                cursor = key

    def _present(self, key: bytes) -> bool:
        value = self._ffi.new("char[]", self._layout()[2])
        return bool(self._lib.plb_map_lookup(self._map, key, value, 0) != -errno.ENOENT)

    def _batches(self) -> Iterator[tuple[bytes, bytes]]:
        ffi, lib = self._ffi, self._lib
        size, width = self.key_bytes, self._layout()[2]
        room = min(self.max_entries, _BATCH) or 1
        keys, values = ffi.new("char[]", room * size), ffi.new("char[]", room * width)
        count = ffi.new("uint32_t *")
        # The kernel's cursor is the number of a bucket, or an array's index: 4 bytes.
        cursors = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        place = ffi.NULL
        turn = 0
        while True:
            count[0] = room
            rc = lib.plb_map_lookup_batch(self._map, place, cursors[turn], keys, values, count)
            if rc == -errno.ENOSPC:
                # One bucket holds more than there is room for; nothing was taken.
                room *= 2
                keys, values = ffi.new("char[]", room * size), ffi.new("char[]", room * width)
                continue
            if rc == -_ENOTSUPP and place == ffi.NULL:
                # Per-CPU arrays before 5.13.
                yield from self._looked_up(self.iter_keys())
                return
            if rc < 0 and rc != -errno.ENOENT:
                raise self._fail(rc, "map iteration")
            found = count[0]
            all_keys = bytes(ffi.buffer(keys, found * size))
            all_values = bytes(ffi.buffer(values, found * width))
            for i in range(found):
                yield all_keys[i * size : (i + 1) * size], all_values[i * width : (i + 1) * width]
            if rc < 0:
                return
            place = cursors[turn]
            turn ^= 1

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

    def attach_struct_ops(self) -> KernelLink:
        return self._owner.attach(self.name, self._lib.plb_struct_ops_attach, self.pointer)

    def open_ring(self) -> KernelRing:
        from pylibbpf.engine.kernel.records import KernelRing

        with self._owner as owner:
            self._need_unread("ring buffer")
            return KernelRing(owner, self.name, self.fd, self.max_entries)

    def open_perf(self, pages: int) -> KernelPerf:
        from pylibbpf.engine.kernel.records import KernelPerf

        with self._owner as owner:
            self._need_unread("perf buffer")
            return KernelPerf(owner, self.name, self.fd, pages)

    def _need_unread(self, what: str) -> None:
        if self._owner.reads(self.name):
            raise BpfError(errno.EBUSY, f"open {what}", self.name, "it is being read already")
