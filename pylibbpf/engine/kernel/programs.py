"""The kernel engine's programs: libbpf's ``bpf_program``."""

from __future__ import annotations

import os

from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.engine.kernel.part import Part
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.engine import KernelObject
    from pylibbpf.engine.kernel.links import KernelLink
    from pylibbpf.hook import Hook

# Room for what a program leaves behind its data: bpf_xdp_adjust_tail, bpf_skb_change_tail.
_DATA_OUT_SLACK = 65536


class TestRun:
    """What BPF_PROG_TEST_RUN gave back."""

    __slots__ = ("ctx_out", "data_out", "duration_ns", "retval")

    def __init__(self, retval: int, data_out: bytes, ctx_out: bytes, duration_ns: int) -> None:
        self.retval = retval
        self.data_out = data_out
        self.ctx_out = ctx_out
        self.duration_ns = duration_ns

    def __repr__(self) -> str:
        return (
            f"TestRun(retval={self.retval}, data_out={self.data_out!r}, "
            f"ctx_out={self.ctx_out!r}, duration_ns={self.duration_ns})"
        )


class KernelProgram(Part):
    """A program of an object. Setters work until load."""

    def __init__(self, owner: KernelObject, pointer: Any) -> None:
        lib = owner.lib
        super().__init__(owner, pointer, lib.bpf_program__name)
        self.section = os.fsdecode(self._ffi.string(lib.bpf_program__section_name(pointer)))
        # libbpf takes the "?" off the section's name, and leaves this of it.
        self.optional = not lib.bpf_program__autoload(pointer)

    @property
    def type(self) -> int:
        return int(self._get("bpf_program__type"))

    @type.setter
    def type(self, value: int) -> None:
        self._set("bpf_program__set_type", int(value), "type")

    @property
    def expected_attach_type(self) -> int:
        return int(self._get("bpf_program__expected_attach_type"))

    @expected_attach_type.setter
    def expected_attach_type(self, value: int) -> None:
        self._set("bpf_program__set_expected_attach_type", int(value), "expected attach type")

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
        self._set("bpf_program__set_flags", int(value), "flags")

    @property
    def fd(self) -> int:
        fd = int(self._get("bpf_program__fd"))
        if fd < 0:
            raise BpfError(-fd, "use program", self.name, "the program is not loaded")
        return fd

    def instructions(self) -> bytes:
        with self._owner:
            count = self._lib.bpf_program__insn_cnt(self.pointer)
            insns = self._lib.bpf_program__insns(self.pointer)
            if insns == self._ffi.NULL or not count:
                return b""
            return bytes(self._ffi.buffer(insns, count * 8))

    def attach(self, hook: Hook | None = None) -> LinkHandle:
        if hook is None:
            return self.attach_by(self._lib.plb_program_attach)
        from pylibbpf.engine.kernel.attach import attach

        return attach(self, hook)

    def attach_by(self, call: Callable[..., int], *arguments: Any, **facts: Any) -> KernelLink:
        """Attach by ``call(cell, program, *arguments)``, one of the shim's."""
        return self._owner.attach(self.name, call, self.pointer, *arguments, **facts)

    def test_run(
        self, data: bytes | None, ctx: bytes | None, repeat: int, flags: int, cpu: int
    ) -> TestRun:
        if repeat < 0 or cpu < 0:
            raise ValueError("repeat and cpu are not negative")
        ffi = self._ffi
        fields, keep = opts("bpf_test_run_opts", repeat=repeat, flags=flags, cpu=cpu)
        out = context = ctx_out = ffi.NULL
        if data is not None:
            keep.append(ffi.from_buffer(data))
            out = ffi.new("char[]", len(data) + _DATA_OUT_SLACK)
            fields.data_in, fields.data_size_in = keep[-1], len(data)
            fields.data_out, fields.data_size_out = out, len(out)
        if ctx:
            # A copy: the kernel writes the context of a syscall program back in place.
            context = ffi.new("char[]", ctx)
            fields.ctx_in, fields.ctx_size_in = context, len(ctx)
        if ctx and self.type in _CTX_OUT:
            ctx_out = ffi.new("char[]", _CTX_OUT_SIZE)
            fields.ctx_out, fields.ctx_size_out = ctx_out, _CTX_OUT_SIZE
        with self._owner:
            fd = os.dup(self.fd)  # the run may be long, and the object closed meanwhile
        try:
            rc = self._lib.bpf_prog_test_run_opts(fd, fields)
        finally:
            os.close(fd)
        check(rc, "test run", self.name, section=self.section)
        if ctx_out != ffi.NULL:
            after = bytes(ffi.buffer(ctx_out, fields.ctx_size_out))
        else:
            after = bytes(ffi.buffer(context, len(ctx))) if ctx else b""
        return TestRun(
            int(fields.retval),
            bytes(ffi.buffer(out, fields.data_size_out)) if data is not None else b"",
            after,
            int(fields.duration),
        )


# Program types whose test run gives its context back in a buffer of its own (kernel:
# net/bpf/test_run.c, users of bpf_ctx_finish): socket filter, sched_cls, sched_act, XDP,
# cgroup_skb, lwt_in, lwt_out, lwt_xmit, lwt_seg6local.
_CTX_OUT = frozenset((1, 3, 4, 6, 8, 10, 11, 12, 19))
# More than struct __sk_buff and struct xdp_md.
_CTX_OUT_SIZE = 512
