"""The kernel engine and its objects: libbpf's ``bpf_object``."""

from __future__ import annotations

import os

from pylibbpf.engine.fork import track
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check, load_failure, open_failure
from pylibbpf.engine.kernel.hold import Held
from pylibbpf.engine.kernel.library import load, version
from pylibbpf.engine.kernel.links import KernelLink, attaching, new_descriptors
from pylibbpf.engine.kernel.maps import KernelMap
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.engine.kernel.programs import KernelProgram
from pylibbpf.errors import BpfError, BtfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Protocol, TypeVar

    _L = TypeVar("_L", bound=KernelLink)

    from pylibbpf.ability import Ability, Library
    from pylibbpf.engine.abc import StaleHandle, Standing, StandingLink, StandingProgram
    from pylibbpf.engine.kernel.openmap import OpenMap
    from pylibbpf.engine.kernel.query import Query

    class Source(Protocol):
        """What is open on a map of the object."""

        name: str

        def close(self) -> None: ...
        def abandon(self) -> None: ...

    class Attachment(Protocol):
        """What an object closes before itself."""

        def close(self) -> None: ...
        def abandon(self) -> None:
            """In a forked child: close copies of the parent's descriptors, detach nothing."""


# The first libbpf that looks at the ids and names in .BTF before it follows them.
_CHECKS_BTF = (1, 3)


class KernelEngine:
    """Loads into the running kernel. Needs CAP_BPF, and more by program type."""

    name = "kernel"
    needs_tracefs = True

    def open(
        self,
        data: bytes,
        name: str,
        *,
        pin_root_path: str | None = None,
        kconfig: str | None = None,
        btf_custom_path: str | None = None,
    ) -> KernelObject:
        return KernelObject(
            data,
            name,
            pin_root_path=pin_root_path,
            kconfig=kconfig,
            btf_custom_path=btf_custom_path,
        )

    def create_map(self, kind: int, name: str, key: int, value: int, **facts: Any) -> OpenMap:
        from pylibbpf.engine.kernel.openmap import OpenMap

        return OpenMap.create(kind, name, key, value, **facts)

    def open_map(self, what: int | str, flags: int = 0) -> OpenMap:
        """Open a map by its id, or by the path of its pin."""
        from pylibbpf.engine.kernel.openmap import OpenMap

        return OpenMap.by_id(what) if isinstance(what, int) else OpenMap.by_path(what, flags)

    def query_cgroup(self, cgroup: str | int, attach_type: int, effective: bool) -> Query:
        from pylibbpf.engine.kernel.cgroups import CgroupFd, query
        from pylibbpf.engine.kernel.query import program_names

        with CgroupFd(cgroup, "query cgroup", None) as fd:
            found = query(fd, attach_type, effective=effective, label=cgroup)
        found.names = program_names(found.ids)
        return found

    def library(self) -> Library:
        from pylibbpf.engine.kernel.library import describe

        return describe()

    def abilities(self) -> tuple[Ability, ...]:
        from pylibbpf.engine.kernel.probe import abilities

        return abilities()

    def map_of_descriptor(self, fd: int) -> OpenMap:
        from pylibbpf.engine.kernel.openmap import OpenMap

        return OpenMap.by_fd(fd)

    def open_program(self, where: str | int) -> StandingProgram:
        from pylibbpf.engine.kernel.standing import KernelStandingProgram

        return KernelStandingProgram(where)

    def open_link(self, where: str | int) -> StandingLink:
        from pylibbpf.engine.kernel.standing import KernelStandingLink

        return KernelStandingLink(where)

    def ids(self, what: str) -> Iterator[int]:
        from pylibbpf.engine.kernel.standing import ids

        return ids(what)

    def run_stats(self) -> Standing:
        from pylibbpf.engine.kernel.standing import RunStats

        return RunStats()

    def stale(self) -> Sequence[StaleHandle]:
        from pylibbpf.engine.kernel.stale import stale

        return stale()


class KernelObject(Held):
    """A ``bpf_object``, its programs and its maps."""

    what = "object"

    def __init__(self, data: bytes, name: str, **options: str | None) -> None:
        super().__init__()
        self.ffi, self.lib = ffi, lib = load()
        self.name = name
        self.load_tried = False
        self._links: list[Attachment] = []
        self._sources: list[Source] = []
        # Closed when it is collected, too: whatever interrupts what follows leaves nothing.
        self._cell = ffi.gc(ffi.new("struct plb_object *"), lib.plb_object_close)
        fields, keep = opts("bpf_object_open_opts", object_name=name, **options)
        if version() < _CHECKS_BTF and (broken := lib.plb_btf_broken(data, len(data))):
            where = f"type {broken}" if broken > 0 else "its header, types or strings"
            raise BtfError(
                f"{name}: the object's type information (.BTF) is damaged ({where}); compile it "
                "again"
            )
        with Capture() as capture:
            rc = lib.plb_object_open(self._cell, ffi.from_buffer(data), len(data), fields)
        del keep
        if rc < 0:
            raise open_failure(-rc, name, capture, has_btf=b"\0.BTF\0" in data)
        capture.log()
        self.programs = [
            KernelProgram(self, each) for each in self._each(lib.bpf_object__next_program)
        ]
        # Those whose SEC() name this libbpf does not know.
        self._strangers = [each for each in self.programs if not each.type]
        if self._strangers:
            from pylibbpf.engine.kernel.sections import adopt

            for program in self._strangers:
                adopt(program)
        self.maps = [KernelMap(self, each) for each in self._each(lib.bpf_object__next_map)]
        track(self)

    def _each(self, following: Any) -> list[Any]:
        found = []
        each = following(self._cell.object, self.ffi.NULL)
        while each != self.ffi.NULL:
            found.append(each)
            each = following(self._cell.object, each)
        return found

    def btf(self) -> bytes | None:
        with self:
            btf = self.lib.bpf_object__btf(self._cell.object)
            if btf == self.ffi.NULL:
                return None
            size = self.ffi.new("uint32_t *")
            data = self.lib.btf__raw_data(btf, size)
            if data == self.ffi.NULL:
                return None
            copy = bytes(self.ffi.buffer(data, size[0]))
            if not self.load_tried and not self._of_one_piece(btf, data, size[0]):
                # libbpf keeps what it gave, and would load that: without what load changes in it
                # (hidden functions become static). Adding "", which is there, makes it forget.
                self.lib.btf__add_str(btf, b"")
            return copy

    def _of_one_piece(self, btf: Any, data: Any, size: int) -> bool:
        """Whether libbpf works in the memory that it gave as raw data, and made no copy for us.

        So it is until something is added to the BTF, which moves all of it: then the names of
        kconfig variables, which libbpf took from it when it opened the object, are nobody's.
        """
        address = self.ffi.cast("uintptr_t", self.lib.btf__type_by_id(btf, 1))
        begin = self.ffi.cast("uintptr_t", data)
        return bool(int(begin) <= int(address) < int(begin) + size)

    def load(self) -> None:
        with self:
            if self._strangers:
                from pylibbpf.engine.kernel.sections import prepare

                prepare(self._strangers)
            self.load_tried = True
            for each in self.maps:
                each.loading()
            with Capture() as capture:
                rc = self.lib.bpf_object__load(self._cell.object)
            if rc < 0:
                raise load_failure(-rc, self.name, capture, self.facts)
            capture.log()
            for each in self.maps:
                each.loaded()

    def facts(self, subject: str | None) -> dict[str, Any]:
        """What a hint about a failure of this program or map, or of all, can be made of."""
        for program in self.programs:
            if program.name == subject:
                return {
                    "program_type": program.type,
                    "attach_type": program.expected_attach_type,
                    "section": program.section,
                }
        for each in self.maps:
            if each.name == subject:
                return {**each.facts(), "pin_path": each.pin_path}
        return {
            "program_types": [each.type for each in self.programs if each.autoload],
            "map_types": [each.type for each in self.maps if each.autocreate],
        }

    def attach(
        self, name: str, call: Callable[..., int], *arguments: Any, **facts: Any
    ) -> KernelLink:
        """Attach a program or struct_ops map by ``call(cell, *arguments)``.

        ``facts`` are what a hint about a failure can be made of, besides what is known of the
        program or map of that name.
        """
        return self.attach_link(KernelLink(self, name), call, *arguments, **facts)

    def attach_link(self, link: _L, call: Callable[..., int], *arguments: Any, **facts: Any) -> _L:
        """Attach by ``call(cell, *arguments)``, into a link that is not made yet."""
        with self:
            # Before the call: what C stores in the link's cell is then closed with the object,
            # whatever interrupts us.
            self._links.append(link)
            try:
                with attaching, Capture() as capture, new_descriptors(link.descriptors):
                    rc = call(link.cell, *arguments)
            except BaseException:
                link.destroy()  # does nothing if there is no link yet
                raise
            finally:
                if not link.made:
                    self.forget(link)
            check(rc, "attach", link.name, capture, **{**self.facts(link.name), **facts})
            capture.log()
            return link

    @property
    def btf_fd(self) -> int:
        """The descriptor of the object's BTF in the kernel; negative where it was not needed."""
        with self:
            btf = self.lib.bpf_object__btf(self._cell.object)
            return -1 if btf == self.ffi.NULL else int(self.lib.btf__fd(btf))

    def keep_memory(self) -> object:
        """What keeps the memory of maps mapped, as long as somebody has it."""
        return self._cell

    def keep(self, link: Attachment) -> None:
        """Close an attachment that is no ``bpf_link`` with the object, before it is made."""
        self._links.append(link)

    def forget(self, link: Attachment) -> None:
        if link in self._links:
            self._links.remove(link)

    def add_source(self, source: Source) -> None:
        self._sources.append(source)

    def reads(self, name: str) -> bool:
        """Whether the records of a map are being read: they have one consumer."""
        return any(source.name == name for source in self._sources)

    def forget_source(self, source: Source) -> None:
        if source in self._sources:
            self._sources.remove(source)

    def close(self) -> None:
        """Detach every link, then close the object. Raises the first failure, after the rest.

        Whoever interrupts it calls it again: it goes on where it was.
        """
        with self.lock:
            if self.gone and self._cell.object == self.ffi.NULL:
                return
            failed: BpfError | None = None
            for source in list(self._sources):
                source.close()
            for link in reversed(list(self._links)):
                try:
                    link.close()
                except BpfError as error:
                    failed = failed or error
            self.gone = self.gone or "is closed"
            for each in self.maps:
                each.close()
            if any(each.viewed for each in self.maps):
                # libbpf unmaps an arena with the object. So the object lives on, unreachable and
                # with nothing attached, until the last view lets go of its cell.
                self._cell = self.ffi.new("struct plb_object *")
            else:
                with Capture() as capture:
                    self.lib.plb_object_close(self._cell)
                capture.log()
        if failed is not None:
            raise failed

    def abandon(self) -> None:
        """In a forked child: close the descriptors, detach nothing, leave libbpf's memory."""
        if self.gone:
            return
        super().abandon()
        lib = self.lib
        for link in self._links:
            link.abandon()
        fds = {lib.bpf_program__fd(program.pointer) for program in self.programs}
        fds |= {lib.bpf_map__fd(each.pointer) for each in self.maps}
        for source in self._sources:
            source.abandon()
        for each in self.maps:
            each.abandon()
        for fd in fds:
            if fd >= 0:
                os.close(fd)
        # The memory that libbpf has is the child's copy; freeing it would detach.
        self._cell.object = self.ffi.NULL
        self._links.clear()
        self._sources.clear()
