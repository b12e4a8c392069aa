"""The kernel engine's programs: libbpf's ``bpf_program``."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.copies import copied
from pylibbpf.engine.kernel.links import KernelLink, KernelLinks
from pylibbpf.engine.kernel.part import Part
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.engine import KernelObject
    from pylibbpf.engine.kernel.testrun import TestRun
    from pylibbpf.hook import Hook
    from pylibbpf.info import ProgramInfo
    from pylibbpf.uapi.sections import Section

# SEC() names of probes that perf_uprobe_event_init() looks at (kernel/events/core.c).
_BY_PERF_UPROBE = ("uprobe", "uretprobe", "usdt")
_LSM = 29  # ProgType.LSM; importing the enumerations would take longer than all the rest


class KernelProgram(Part):
    """A program of an object. Setters work until load."""

    def __init__(self, owner: KernelObject, pointer: Any) -> None:
        lib = owner.lib
        super().__init__(owner, pointer, lib.bpf_program__name)
        self.section = os.fsdecode(self._ffi.string(lib.bpf_program__section_name(pointer)))
        # libbpf takes the "?" off the section's name, and leaves this of it.
        self.optional = not lib.bpf_program__autoload(pointer)
        self.adopted: Section | None = None
        """What its SEC() name stands for, where this libbpf does not know it."""
        self.targeted = False
        """Whether it was said what it is for, other than by SEC()."""

    @property
    def type(self) -> int:
        return int(self._get("bpf_program__type"))

    @type.setter
    def type(self, value: int) -> None:
        self._set("bpf_program__set_type", value, "type")
        self.adopted = None  # like libbpf, which forgets the SEC() name's meaning then

    @property
    def expected_attach_type(self) -> int:
        return int(self._get("bpf_program__expected_attach_type"))

    @expected_attach_type.setter
    def expected_attach_type(self, value: int) -> None:
        self._set("bpf_program__set_expected_attach_type", value, "expected attach type")

    @property
    def autoload(self) -> bool:
        return bool(self._get("bpf_program__autoload"))

    @autoload.setter
    def autoload(self, value: bool) -> None:
        self._set("bpf_program__set_autoload", bool(value), "autoload")

    @property
    def autoattach(self) -> bool:
        return bool(self._get("bpf_program__autoattach"))

    @autoattach.setter
    def autoattach(self, value: bool) -> None:
        with self._owner:
            self._lib.bpf_program__set_autoattach(self.pointer, bool(value))

    @property
    def flags(self) -> int:
        return int(self._get("bpf_program__flags"))

    @flags.setter
    def flags(self, value: int) -> None:
        self._set("bpf_program__set_flags", value, "flags")

    @property
    def fd(self) -> int:
        fd = int(self._get("bpf_program__fd"))
        if fd < 0:
            raise BpfError(-fd, "use program", self.name, "the program is not loaded")
        return fd

    def copy(self) -> copied:
        """A copy of the descriptor: what it is of stays, whatever becomes of the object."""
        with self._owner:
            return copied(self.fd)

    def info(self) -> ProgramInfo:
        from pylibbpf.engine.kernel.describe import program_info

        with self._owner:
            return program_info(self.fd, self.name)

    def pin(self, path: str) -> None:
        from pylibbpf.engine.kernel.pins import pin

        with self._owner:
            pin(self.fd, path, "program", self.name)

    def unpin(self, path: str) -> None:
        from pylibbpf.engine.kernel.pins import unpin

        with self._owner:
            unpin(path, "program", self.name, self.info().id)

    def instructions(self) -> bytes:
        with self._owner:
            count = self._lib.bpf_program__insn_cnt(self.pointer)
            insns = self._lib.bpf_program__insns(self.pointer)
            if insns == self._ffi.NULL or not count:
                return b""
            return bytes(self._ffi.buffer(insns, count * 8))

    @property
    def obstacle(self) -> str | None:
        if self.adopted is None:
            return None
        from pylibbpf.engine.kernel.sections import obstacle

        return obstacle(self)

    def set_attach_target(self, function: str | None, fd: int | None) -> None:
        from pylibbpf.engine.kernel.targets import set_attach_target

        set_attach_target(self, function, fd)

    def attach(self, hook: Hook | None = None) -> LinkHandle:
        if self.type == _LSM:
            from pylibbpf.engine.kernel.lsm import need_active

            need_active(self.name)
        # USDT by our own call, too: it knows what libbpf does not look at.
        if hook is None and (self.adopted is not None or self.section.startswith("usdt")):
            from pylibbpf.engine.kernel.sections import hook_of

            hook = hook_of(self.section)
        if hook is None:
            name = self.section.partition("/")[0]
            more = ("SYS_ADMIN",) if name.startswith(_BY_PERF_UPROBE) else ()
            call = self._lib.plb_program_attach
            return self.attach_by(call, why=self._why_not, capabilities=more)
        from pylibbpf.engine.kernel.attach import attach

        return attach(self, hook)

    def _why_not(self, number: int) -> str | None:
        """Why it could not be attached to what its SEC() says."""
        from pylibbpf.engine.kernel.attach import explain
        from pylibbpf.engine.kernel.sections import hook_of
        from pylibbpf.uapi.attaching import attaches_itself

        if number == errno.EOPNOTSUPP and not attaches_itself(self.section):
            from pylibbpf.engine.kernel.hints import attach_method
            from pylibbpf.engine.kernel.needs import type_name
            from pylibbpf.uapi.enums import ProgType

            method = attach_method(self.section, type_name(self.type, ProgType))
            if method is not None:
                said = "does not say where to attach: that is said by"
                return f'SEC("{self.section}") {said} {method}'
        hook = hook_of(self.section)
        return explain(hook, number) if hook is not None else None

    def attach_by(self, call: Callable[..., int], *arguments: Any, **facts: Any) -> KernelLink:
        """Attach by ``call(cell, program, *arguments)``, one of the shim's."""
        return self._owner.attach(self.name, call, self.pointer, *arguments, **facts)

    def link_to(
        self, target: int, attach_type: int, fields: Any = None, /, **facts: Any
    ) -> KernelLink:
        """Attach by BPF_LINK_CREATE itself, where libbpf would take the attach type from SEC()."""
        fields = self._ffi.NULL if fields is None else fields
        call = self._lib.plb_link_create
        return self._owner.attach(self.name, call, self.fd, target, attach_type, fields, **facts)

    def attach_several(
        self, count: int, call: Callable[..., int], *arguments: Any, **facts: Any
    ) -> KernelLink:
        """Attach by ``call(links, program, *arguments)``, which fills ``count`` links."""
        if count == 1:  # then it is a link like any other
            link = KernelLink(self._owner, self.name)
            links = self.ffi.new("struct plb_links *", {"each": link.cell, "count": 1})
            return self._owner.attach_link(
                link, lambda _cell, *rest: call(links, *rest), self.pointer, *arguments, **facts
            )
        several = KernelLinks(self._owner, self.name, count)
        return self._owner.attach_link(several, call, self.pointer, *arguments, **facts)

    def test_run(
        self,
        data: bytes | None,
        ctx: bytes | None,
        *,
        repeat: int,
        flags: int,
        cpu: int,
        batch_size: int,
    ) -> TestRun:
        from pylibbpf.engine.kernel.testrun import test_run

        return test_run(self, data, ctx, repeat=repeat, flags=flags, cpu=cpu, batch_size=batch_size)
