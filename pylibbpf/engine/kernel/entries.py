"""Entries of a map in the kernel, in bytes: what needs no more than its descriptor and sizes."""

from __future__ import annotations

import errno
import sys

from pylibbpf.engine.kernel.check import check, failure
from pylibbpf.errors import BpfError, ClosedError, NotSupportedError
from pylibbpf.uapi.flags import BPF_F_ALL_CPUS, BPF_F_CPU, BPF_F_LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pylibbpf.engine.abc import OpenMapHandle
    from pylibbpf.engine.kernel.scalars import ScalarCalls
    from pylibbpf.uapi.info import MapInfo

# Entries asked for in one batch, at first.
_BATCH = 512
# Entries written, deleted or looked up in one call at most.
_MANY = 4096
_ENOTSUPP = 524
_NO_ENTRY = -errno.ENOENT
_FDINFO = 4096
_SOCKMAP = 15  # enum bpf_map_type; see maps.py


class MapEntries:
    """What can be done with the entries of a map.

    The class above says what the map is (type and sizes), and whether it can be used: it calls
    :meth:`_set_up` when it has a cell, and ``key_bytes`` when the map is loaded.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    key_bytes: int
    key_type_id: int
    value_type_id: int

    def _set_up(self, ffi: Any, lib: Any, cell: Any) -> None:
        self._ffi, self._lib = ffi, lib
        self._map = cell
        self._shape: tuple[int, int, int] | None = None
        self._size = -1  # bytes of a lookup's result, once the map is loaded and used
        self._chars = ffi.typeof("char[]")
        # Bound once: a lookup is two microseconds, of which each search for a name is a part.
        self._new, self._unpack = ffi.new, ffi.unpack
        self._lookup, self._update = lib.plb_map_lookup, lib.plb_map_update

    def _alive(self) -> None:
        """Raise ClosedError if the map can no longer be used."""
        raise NotImplementedError

    def _need_loaded(self) -> None:
        """Raise BpfError if the map is not in the kernel."""
        raise NotImplementedError

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

    def _fail(self, rc: int, operation: str, **facts: Any) -> BaseException:
        if self._map.closed:
            self._alive()
            raise ClosedError(f"map {self.name!r} is closed")
        self._need_loaded()
        return failure(-rc, operation, self.name, **{**self.facts(), **facts})

    def facts(self) -> dict[str, Any]:
        """What a hint about a failure can be made of."""
        return {
            "map_type": self.type,
            "max_entries": self.max_entries,
            "key_size": self.key_size,
            "value_size": self.value_size,
            "flags": self.flags,
            "fd": self._map.fd if self._map.fd >= 0 else None,
            **self._more_facts(),
        }

    def _more_facts(self) -> dict[str, Any]:
        return {}

    # ---- entry by entry

    def lookup(self, key: bytes | None, flags: int = 0) -> bytes | None:
        size = self._size
        if size < 0 or key is None or len(key) != self.key_bytes:
            key, size = self._checked(key)
        value = self._new(self._chars, size)
        rc = self._lookup(self._map, key, value, flags)
        if rc:
            if rc == _NO_ENTRY:
                return None
            raise self._fail(rc, "map lookup", lookup_flags=flags)
        return self._unpack(value, size)  # type: ignore[no-any-return]  # bytes, of char[]

    def scalars(self, key: str, value: str) -> ScalarCalls | None:
        self._need_loaded()
        if self._layout()[0] != 1:
            return None
        from pylibbpf.engine.kernel.scalars import scalar_calls

        return scalar_calls(self._lib, self._map, key, value)

    def pop(self, key: bytes | None, flags: int = 0) -> bytes | None:
        key, size = self._checked(key)
        value = self._new(self._chars, size)
        rc = self._lib.plb_map_pop(self._map, key, value, flags)
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
            raise self._fail(rc, "map update", update_flags=flags)

    def delete(self, key: bytes) -> bool:
        key, _ = self._checked(key)
        rc = self._lib.plb_map_delete(self._map, key)
        if rc:
            if rc == _NO_ENTRY or (rc == -errno.EINVAL and self.type == _SOCKMAP):
                return False  # a place of a sockmap is empty (__sock_map_delete)
            raise self._fail(rc, "map delete")
        return True

    def _checked(self, key: bytes | None) -> tuple[Any, int]:
        """The key as an argument, and the bytes of a lookup's result, of a loaded map."""
        self._usable()
        self._size = self._layout()[2]
        if key is None:
            return self._ffi.NULL, self._size
        if len(key) != self.key_bytes:
            raise ValueError(
                f"a key of map {self.name!r} has {self.key_bytes} bytes, not {len(key)}"
            )
        return key, self._size

    def _usable(self) -> None:
        if self._map.fd < 0:
            self._alive()
            self._need_loaded()

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

    # ---- many at once

    def update_many(self, keys: Sequence[bytes], values: Sequence[bytes], flags: int) -> None:
        """Add or replace all, by batches where the kernel can.

        An error leaves the entries before it done; its note says how many they are.
        """
        self._all_of(keys, self._checked(None)[1], values)
        done = 0
        try:
            # The batch call takes no other flag (generic_map_update_batch, kernel/bpf/syscall.c).
            if not flags & ~BPF_F_LOCK:
                while done < len(keys):
                    some = slice(done, done + _MANY)
                    count = self._ffi.new("uint32_t *", len(keys[some]))
                    rc = self._lib.plb_map_update_batch(
                        self._map, b"".join(keys[some]), b"".join(values[some]), count, flags
                    )
                    if rc == -_ENOTSUPP and not done:
                        break
                    done += count[0]
                    if rc:
                        raise self._fail(rc, "map update", update_flags=flags)
            while done < len(keys):
                self.update(keys[done], values[done], flags)
                done += 1
        except BpfError as error:
            error.add_note(f"{done} of {len(keys)} entries were written before it")
            raise

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Delete those that are there, and give their number."""
        self._all_of(keys)
        deleted = place = 0
        while place < len(keys):
            some = keys[place : place + _MANY]
            count = self._ffi.new("uint32_t *", len(some))
            rc = self._lib.plb_map_delete_batch(self._map, b"".join(some), count)
            if rc == -_ENOTSUPP and not place:
                return sum(map(self.delete, keys))
            if rc and rc != _NO_ENTRY:
                raise self._fail(rc, "map delete")
            deleted += count[0]
            # The one that it stopped at is not there.
            place += count[0] + (rc == _NO_ENTRY)
        return deleted

    def lookup_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value under each key, None where there is none; one call for many keys."""
        _, size = self._checked(None)
        self._all_of(keys)
        ffi = self._ffi
        given: list[bytes | None] = []
        for place in range(0, len(keys), _MANY):
            some = keys[place : place + _MANY]
            values = ffi.new("char[]", len(some) * size)
            found = ffi.new("uint8_t[]", len(some))
            failed = ffi.new("int *")
            self._lib.plb_map_lookup_many(
                self._map, b"".join(some), self.key_bytes, values, size, found, len(some), failed
            )
            if failed[0]:
                raise self._fail(failed[0], "map lookup")
            data = bytes(ffi.buffer(values))
            given += [
                data[i * size : (i + 1) * size] if found[i] else None for i in range(len(some))
            ]
        return given

    def _all_of(
        self, keys: Sequence[bytes], size: int = 0, values: Sequence[bytes] | None = None
    ) -> None:
        self._checked(None)
        for key in keys:
            if len(key) != self.key_bytes:
                self._checked(key)
        for value in values or ():
            self._check_value(value, size)

    # ---- one CPU's value

    def lookup_cpu(self, key: bytes, cpu: int) -> bytes | None:
        """One CPU's value of a per-CPU map. Linux 7.0."""
        key, _ = self._checked(key)
        value = self._new(self._chars, self._layout()[1])
        rc = self._lookup(self._map, key, value, BPF_F_CPU | cpu << 32)
        if rc == _NO_ENTRY:
            return None
        if rc:
            raise self._no_cpu(rc, "map lookup", cpu)
        return self._unpack(value, self.value_size)  # type: ignore[no-any-return]  # bytes

    def update_cpu(self, key: bytes, value: bytes, cpu: int | None, flags: int) -> None:
        """Write one CPU's value of a per-CPU map, or all CPUs' (None). Linux 7.0."""
        key, _ = self._checked(key)
        self._check_value(value, self.value_size)
        flags |= BPF_F_ALL_CPUS if cpu is None else BPF_F_CPU | cpu << 32
        rc = self._update(self._map, key, value, flags)
        if rc:
            raise self._no_cpu(rc, "map update", cpu)

    def _no_cpu(self, rc: int, operation: str, cpu: int | None) -> BaseException:
        # Kernels before 7.0 know neither flag, and refuse every flag that they do not know.
        if rc == -errno.EINVAL and not self._map.closed:
            return NotSupportedError(
                f"map {self.name!r}: the kernel does not take one CPU's value (BPF_F_CPU, "
                "BPF_F_ALL_CPUS: Linux 7.0, for per-CPU hashes and arrays)"
            )
        return self._fail(rc, operation, cpu=cpu)

    # ---- the map itself

    def freeze(self) -> None:
        """Let nobody write it from user space any more."""
        self._usable()
        rc = self._lib.plb_map_freeze(self._map)
        if rc:
            raise self._fail(rc, "map freeze")

    def info(self) -> MapInfo:
        """What the kernel says of the map (BPF_OBJ_GET_INFO_BY_FD)."""
        from pylibbpf.uapi.info import MapInfo

        self._usable()
        data, size = self._ffi.new("char[]", MapInfo.ROOM), self._ffi.new("uint32_t *")
        size[0] = MapInfo.ROOM
        rc = self._lib.plb_map_info(self._map, data, size)
        if rc:
            raise self._fail(rc, "map info")
        return MapInfo(bytes(self._ffi.buffer(data)))

    def fdinfo(self) -> dict[str, int | str]:
        """What /proc says of the map's descriptor."""
        self._usable()
        text = self._ffi.new("char[]", _FDINFO)
        rc = self._lib.plb_map_fdinfo(self._map, text, _FDINFO)
        if rc < 0:
            raise self._fail(rc, "map fdinfo")
        found: dict[str, int | str] = {}
        for line in bytes(self._ffi.buffer(text, rc)).decode().splitlines():
            name, _, value = line.partition(":")
            try:
                # "flags" is octal, "map_flags" and its like start with 0x.
                found[name] = int(value, 8 if name == "flags" else 0)
            except ValueError:
                found[name] = value.strip()
        return found

    def open_id(self, number: int) -> OpenMapHandle:
        """Open the map of an id."""
        from pylibbpf.engine.kernel.openmap import OpenMap

        return OpenMap.by_id(number)

    # ---- memory, of maps that are mapped

    def peek(self, offset: int, size: int) -> bytes:
        """Bytes of the map's memory. A page that is not there is EFAULT."""
        self._usable()
        data = self._ffi.new("char[]", size)
        rc = self._lib.plb_map_memory_peek(self._map, offset, data, size)
        if rc < 0:
            raise self._fail(rc, "map read", offset=offset, size=size)
        return bytes(self._ffi.buffer(data))

    def poke(self, offset: int, data: bytes) -> None:
        """Write into the map's memory."""
        self._usable()
        source = self._ffi.new("char[]", data)
        rc = self._lib.plb_map_memory_poke(self._map, offset, source, len(data))
        if rc < 0:
            raise self._fail(rc, "map write", offset=offset, size=len(data))

    @property
    def address(self) -> int:
        """Where the map's memory is in this process."""
        self._usable()
        return int(self._ffi.cast("uintptr_t", self._map.memory))

    def view(self, offset: int, size: int) -> memoryview:
        """The map's memory itself, which stays as long as the view does."""
        self._usable()
        ffi, lib, cell = self._ffi, self._lib, self._map
        keep = self._keeps_memory()
        start = ffi.new("void **")
        rc = lib.plb_map_view(cell, offset, size, start)
        if rc < 0:
            raise self._fail(rc, "map view", offset=offset, size=size)

        def gone(_: object) -> None:
            lib.plb_map_unview(cell)
            _ = keep

        return memoryview(ffi.buffer(ffi.gc(ffi.cast("char *", start[0]), gone), size)).cast("B")

    def _keeps_memory(self) -> object:
        """What must live as long as the memory."""
        return self._map
