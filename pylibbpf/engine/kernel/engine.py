"""The kernel engine and its objects: libbpf's ``bpf_object``."""

from __future__ import annotations

import os
from _thread import RLock  # threading takes 0.7 MB, and every load would pay it

from pylibbpf.engine.fork import track
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check, check_pointer, load_failure, open_failure
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.maps import KernelMap
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.engine.kernel.programs import KernelProgram
from pylibbpf.errors import BpfError, ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.records import KernelPerf, KernelRing


class KernelEngine:
    """Loads into the running kernel. Needs CAP_BPF, and more by program type."""

    name = "kernel"

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


class KernelObject:
    """A ``bpf_object``, its programs and its maps."""

    def __init__(self, data: bytes, name: str, **options: str | None) -> None:
        ffi, lib = load()
        self.name = name
        self._lib = lib
        self._ffi = ffi
        self._lock = RLock()
        self._gone: str | None = None
        self._links: list[KernelLink] = []
        self._sources: list[KernelRing | KernelPerf] = []
        fields, keep = opts("bpf_object_open_opts", object_name=name, **options)
        with Capture() as capture:
            pointer = lib.bpf_object__open_mem(ffi.from_buffer(data), len(data), fields)
            number = ffi.errno
        del keep
        if pointer == ffi.NULL:
            raise open_failure(number, name, capture, has_btf=b"\0.BTF\0" in data)
        capture.log()
        self._pointer = pointer
        self.programs = [
            KernelProgram(self, each) for each in self._each(lib.bpf_object__next_program)
        ]
        self.maps = [KernelMap(self, each) for each in self._each(lib.bpf_object__next_map)]
        track(self)

    def _each(self, following: Any) -> list[Any]:
        found = []
        each = following(self._pointer, self._ffi.NULL)
        while each != self._ffi.NULL:
            found.append(each)
            each = following(self._pointer, each)
        return found

    def __enter__(self) -> KernelObject:
        """Hold the object: nothing else changes or closes it meanwhile."""
        self._lock.acquire()
        if self._gone:
            self._lock.release()
            self.alive()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def alive(self) -> None:
        """Raise ClosedError if the object is closed."""
        if self._gone:
            raise ClosedError(f"object {self.name!r} {self._gone}")

    def btf(self) -> bytes | None:
        with self:
            btf = self._lib.bpf_object__btf(self._pointer)
            if btf == self._ffi.NULL:
                return None
            size = self._ffi.new("uint32_t *")
            data = check_pointer(self._lib.btf__raw_data(btf, size), "read BTF", self.name)
            return bytes(self._ffi.buffer(data, size[0]))

    def load(self) -> None:
        with self:
            with Capture() as capture:
                rc = self._lib.bpf_object__load(self._pointer)
            if rc < 0:
                raise load_failure(-rc, self.name, capture, self._facts)
            capture.log()
            for each in self.maps:
                each.loaded()

    def _facts(self, subject: str | None) -> dict[str, Any]:
        """What a hint about a failure of this program or map, or of all, can be made of."""
        for program in self.programs:
            if program.name == subject:
                return {"program_type": program.type, "section": program.section}
        for each in self.maps:
            if each.name == subject:
                return each.facts()
        return {"program_types": [each.type for each in self.programs if each.autoload]}

    def attach(self, call: Any, pointer: Any, name: str, section: str) -> KernelLink:
        """Attach a program or struct_ops map by ``call(pointer)``."""
        with self:
            with Capture() as capture:
                link = call(pointer)
                number = self._ffi.errno
            if link == self._ffi.NULL:
                self._ffi.errno = number
                facts = self._facts(name) | {"section": section}
                check_pointer(link, "attach", name, capture, **facts)
            capture.log()
            handle = KernelLink(self, link, name)
            self._links.append(handle)
            return handle

    def forget(self, link: KernelLink) -> None:
        if link in self._links:
            self._links.remove(link)

    def add_source(self, source: KernelRing | KernelPerf) -> None:
        self._sources.append(source)

    def forget_source(self, source: KernelRing | KernelPerf) -> None:
        if source in self._sources:
            self._sources.remove(source)

    def close(self) -> None:
        """Detach every link, then close the object. Raises the first failure, after the rest."""
        with self._lock:
            if self._gone:
                return
            failed: BpfError | None = None
            for source in list(self._sources):
                source.close()
            for link in reversed(list(self._links)):
                try:
                    link.close()
                except BpfError as error:
                    failed = failed or error
            self._gone = "is closed"
            for each in self.maps:
                each.close()
            pointer, self._pointer = self._pointer, self._ffi.NULL
        with Capture() as capture:
            self._lib.bpf_object__close(pointer)
        capture.log()
        if failed is not None:
            raise failed

    def abandon(self) -> None:
        """In a forked child: close the descriptors, detach nothing, leave libbpf's memory."""
        if self._gone:
            return
        self._gone = "belongs to the process that opened it, the parent of this one"
        self._lock = RLock()
        lib = self._lib
        fds = [lib.bpf_link__fd(link.pointer) for link in self._links]
        fds += [lib.bpf_program__fd(program.pointer) for program in self.programs]
        fds += [lib.bpf_map__fd(each.pointer) for each in self.maps]
        for source in self._sources:
            source.abandon()
        for each in self.maps:
            each.abandon()
        lib.plb_absent_take()
        for fd in fds:
            if fd >= 0:
                os.close(fd)
        self._links.clear()
        self._sources.clear()


class KernelLink:
    """A ``bpf_link``: an attachment that ends with it."""

    def __init__(self, owner: KernelObject, pointer: Any, name: str) -> None:
        self._owner = owner
        self.pointer = pointer
        self.name = name

    @property
    def fd(self) -> int:
        self._owner.alive()
        if self.pointer is None:
            raise ClosedError(f"link of {self.name!r} is closed")
        return int(self._owner._lib.bpf_link__fd(self.pointer))

    def close(self) -> None:
        owner = self._owner
        if owner._gone:
            return
        with owner._lock:
            pointer, self.pointer = self.pointer, None
            if pointer is None or owner._gone:
                return
            owner.forget(self)
            with Capture() as capture:
                rc = owner._lib.bpf_link__destroy(pointer)
            check(rc, "detach", self.name, capture)
            capture.log()
