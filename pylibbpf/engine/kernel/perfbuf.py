"""Perf buffers of the kernel engine: a perf event and its ring for each CPU."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check, failure
from pylibbpf.engine.kernel.links import attaching
from pylibbpf.engine.kernel.records import BATCH_RECORDS, Source
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pylibbpf.engine.kernel.maps import KernelMap


class Perf(Source):
    """The perf events of a BPF_MAP_TYPE_PERF_EVENT_ARRAY, open."""

    _what = "perf buffer"

    def __init__(
        self, map: KernelMap, pages: int, cpus: Sequence[int] | None, **options: Any
    ) -> None:
        owner = map.owner
        super().__init__(owner, map.name, "plb_perfbuf", free=owner.lib.plb_perfbuf_free)
        ffi, lib = owner.ffi, owner.lib
        wanted = _chosen(map, cpus)
        numbers = ffi.new("int[]", wanted)
        asked = ffi.new(
            "struct plb_perfbuf_options *",
            {
                "cpus": numbers,
                "count": len(wanted),
                "skip_offline": cpus is None,
                "pages": pages,
                "records": BATCH_RECORDS,
                **options,
            },
        )
        with attaching, Capture() as capture:  # or a link takes its perf events for its own
            rc = lib.plb_perfbuf_open(self._cell, map.fd, asked)
        failed = self._cell.failed
        if rc == -errno.ENODEV:
            raise BpfError(-rc, f"open {self._what}", map.name, f"CPU {failed} is offline")
        check(rc, self._what, map.name, capture, pages=pages)
        self.cpus = tuple(
            self._cell.cpus[i].cpu for i in range(len(wanted)) if self._cell.cpus[i].memory
        )
        owner.add_source(self)

    def fileno(self) -> int:
        return int(self._cell.epoll)

    def close(self) -> None:
        with attaching:  # a link that is made meanwhile must not get a number that we give back
            super().close()

    def lost(self) -> dict[int, int]:
        number = self._ffi.new("uint64_t *")
        found = {}
        for index in range(self._cell.count):
            check(self._lib.plb_perfbuf_lost(self._cell, index, number), self._what, self.name)
            cpu = self._cell.cpus[index].cpu
            if cpu in self.cpus:
                found[cpu] = int(number[0])
        return found

    @property
    def exact(self) -> bool:
        """Whether the kernel counts losses (Linux 6.0), or only tells of them in between."""
        return bool(self._cell.exact)


class KernelPerf(Perf):
    """A perf buffer that is drained."""

    def __init__(
        self,
        map: KernelMap,
        pages: int,
        cpus: Sequence[int] | None,
        wakeup_events: int,
        wakeup_watermark: int | None,
    ) -> None:
        super().__init__(
            map,
            pages,
            cpus,
            wakeup=wakeup_events if wakeup_watermark is None else wakeup_watermark,
            watermark=wakeup_watermark is not None,
        )

    def origins(self) -> Sequence[int]:
        found: Sequence[int] = self._ffi.unpack(self._cell.origins, self._batch.count)
        return found


class KernelRecorder(Perf):
    """A perf buffer in which the newest records overwrite the oldest."""

    _what = "flight recorder"

    def __init__(self, map: KernelMap, pages: int, cpus: Sequence[int] | None) -> None:
        # No reader is woken: nobody waits.
        super().__init__(map, pages, cpus, wakeup=0xFFFFFFFF, backward=True)

    def pause(self, pause: bool) -> None:
        self._checked(self._lib.plb_perfbuf_pause(self._cell, pause))

    def snapshot(self, resume: bool) -> list[tuple[int, bytes]]:
        size, count = int(self._cell.size), int(self._cell.count)
        data = self._ffi.new("char[]", size * count)
        self._checked(self._lib.plb_perfbuf_snapshot(self._cell, data, resume))
        whole = self._ffi.buffer(data)
        found = []
        for index in range(count):
            cpu = self._cell.cpus[index].cpu
            if cpu in self.cpus:
                found.append((cpu, whole[index * size : (index + 1) * size]))
        return found

    def _checked(self, rc: int) -> None:
        if rc == -errno.EBADF:
            self.closed_error()
        check(rc, self._what, self.name)


def _chosen(map: KernelMap, cpus: Sequence[int] | None) -> list[int]:
    """The CPUs to open: those asked for, or all that the map has an entry for."""
    possible = check(map.lib.libbpf_num_possible_cpus(), "count the possible CPUs")
    entries = map.max_entries
    if cpus is None:
        return list(range(min(possible, entries)))
    for cpu in cpus:
        if cpu >= possible:
            raise failure(errno.ENXIO, "perf buffer", map.name, cpu=cpu, last_cpu=possible - 1)
        if cpu >= entries:
            raise failure(errno.E2BIG, "perf buffer", map.name, cpu=cpu, max_entries=entries)
    return list(cpus)
