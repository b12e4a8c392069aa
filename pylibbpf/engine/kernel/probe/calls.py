"""bpf(2) and perf_event_open(2), for probes: every descriptor is closed when its block ends."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pylibbpf.engine.kernel.host import BPF_SYSCALL, PERF_SYSCALL
from pylibbpf.engine.kernel.links import attaching

__all__ = ["INSTRUCTIONS", "Answer", "Kernel"]

# enum bpf_cmd of include/uapi/linux/bpf.h
MAP_CREATE, PROG_LOAD, PROG_ATTACH, PROG_GET_NEXT_ID = 0, 5, 8, 11
RAW_TRACEPOINT_OPEN, BTF_LOAD, LINK_CREATE = 17, 18, 28

_ATTEMPTS = 5  # as libbpf (PROG_LOAD_ATTEMPTS): a pending signal makes the verifier say EAGAIN
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_DISABLED = 1


def _program(retval: int) -> bytes:
    """Two instructions: r0 = retval; exit."""
    return struct.pack("<BBhiBBhi", 0xB7, 0, 0, retval, 0x95, 0, 0, 0)


INSTRUCTIONS = {retval: _program(retval) for retval in (0, 1)}


@dataclass(frozen=True, slots=True)
class Answer:
    """A descriptor that lives as long as the block, or a result; or an errno."""

    errno: int
    value: int = -1


class Kernel:
    """The kernel that this process runs on. Tests put another one in its place."""

    def __init__(self) -> None:
        machine = os.uname().machine
        self.unknown = (
            ""
            if machine in BPF_SYSCALL
            else f"the system calls of a machine of type {machine} are not known here"
        )
        self._bpf = BPF_SYSCALL.get(machine)
        self._perf = PERF_SYSCALL.get(machine)
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    @contextmanager
    def program(
        self,
        kind: int,
        *,
        attach_type: int = 0,
        btf_id: int = 0,
        target_fd: int = 0,
        flags: int = 0,
        retval: int = 0,
        code: bytes = b"",
        log_level: int = 0,
        btf_fd: int = 0,
        functions: bytes = b"",
    ) -> Iterator[Answer]:
        """BPF_PROG_LOAD of two instructions, or of those in ``code``."""
        code = code or INSTRUCTIONS[retval]
        insns = ctypes.create_string_buffer(code, len(code))
        license_ = ctypes.create_string_buffer(b"GPL")
        info = ctypes.create_string_buffer(functions, max(1, len(functions)))
        attr = struct.pack(
            "=IIQQIIQII16sIIIIQIIQIIII",
            kind,
            len(code) // 8,
            ctypes.addressof(insns),
            ctypes.addressof(license_),
            *(log_level, 0, 0),
            *(0, flags, b"pylibbpf_probe", 0, attach_type),
            btf_fd,
            *((8, ctypes.addressof(info), 1) if functions else (0, 0, 0)),
            *(0, 0, 0),  # line_info
            *(btf_id, target_fd, 0),
        )
        with self._descriptor(self._bpf, PROG_LOAD, attr) as answer:
            yield answer

    @contextmanager
    def map(
        self,
        kind: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        *,
        flags: int = 0,
        inner_fd: int = 0,
        btf_fd: int = 0,
        key_type: int = 0,
        value_type: int = 0,
        vmlinux_type: int = 0,
    ) -> Iterator[Answer]:
        """BPF_MAP_CREATE."""
        attr = struct.pack(
            "=IIIIIII16sIIIII",
            *(kind, key_size, value_size, max_entries, flags, inner_fd, 0),
            *(b"pylibbpf_probe", 0, btf_fd, key_type, value_type, vmlinux_type),
        )
        with self._descriptor(self._bpf, MAP_CREATE, attr) as answer:
            yield answer

    @contextmanager
    def btf(self, data: bytes) -> Iterator[Answer]:
        """BPF_BTF_LOAD."""
        text = ctypes.create_string_buffer(data, len(data))
        attr = struct.pack("=QQIII", ctypes.addressof(text), 0, len(data), 0, 0)
        with self._descriptor(self._bpf, BTF_LOAD, attr) as answer:
            yield answer

    def link(self, program: int, target: int, attach_type: int, rest: bytes = b"") -> int:
        """The errno of BPF_LINK_CREATE on a target that does not exist. ``rest``: its union."""
        attr = struct.pack("=iiII", program, target, attach_type, 0) + rest
        with self._descriptor(self._bpf, LINK_CREATE, attr) as answer:
            return answer.errno

    def attach(self, program: int, target: int, attach_type: int) -> int:
        """The errno of BPF_PROG_ATTACH on a target that does not exist."""
        return self._call(
            self._bpf, PROG_ATTACH, struct.pack("=iiII", target, program, attach_type, 0)
        )

    def raw_tracepoint(self, program: int, name: str) -> int:
        """The errno of BPF_RAW_TRACEPOINT_OPEN for a tracepoint that does not exist."""
        text = ctypes.create_string_buffer(name.encode())
        attr = struct.pack("=Qii", ctypes.addressof(text), program, 0)
        with self._descriptor(self._bpf, RAW_TRACEPOINT_OPEN, attr) as answer:
            return answer.errno

    def ids(self) -> int:
        """The errno of BPF_PROG_GET_NEXT_ID."""
        return self._call(self._bpf, PROG_GET_NEXT_ID, struct.pack("=III", 0, 0, 0))

    def perf_event(self, kind: int, config: int = 0, name: str | None = None) -> int:
        """The errno of perf_event_open(2): for CPU 0, disabled, closed at once.

        ``name`` is the function or file of a probe, one that does not exist.
        """
        text = ctypes.create_string_buffer((name or "").encode())
        where = ctypes.addressof(text) if name is not None else 0
        # struct perf_event_attr, PERF_ATTR_SIZE_VER1: to config2
        attr = struct.pack(
            "=IIQQQQQIIQQ", kind, 72, config, 0, 0, 0, _PERF_DISABLED, 0, 0, where, 0
        )
        event = ctypes.create_string_buffer(attr, len(attr))
        arguments = (ctypes.byref(event), -1, 0, -1, ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC))
        with self._held(self._perf, *arguments) as answer:
            return answer.errno

    @contextmanager
    def _descriptor(self, number: int | None, command: int, attr: bytes) -> Iterator[Answer]:
        buffer = ctypes.create_string_buffer(attr, len(attr))
        with self._held(number, command, ctypes.byref(buffer), len(attr)) as answer:
            yield answer

    @contextmanager
    def _held(self, number: int | None, *arguments: object) -> Iterator[Answer]:
        """A system call that gives a descriptor, which is closed when the block ends."""
        if number is None:  # a machine whose system calls we do not know
            yield Answer(errno.ENOSYS)
            return
        made: list[int] = []
        with attaching:  # no child is forked meanwhile, which would keep a copy
            try:
                for _ in range(_ATTEMPTS):
                    # One step for the interpreter: were the descriptor first returned to Python,
                    # a signal handler's exception could come in between, and it would stay open.
                    made.extend(map(self._syscall, (number,), *((each,) for each in arguments)))
                    failed = ctypes.get_errno() if made[-1] < 0 else 0
                    if failed != errno.EAGAIN:
                        break
                yield Answer(failed, made[-1])
            finally:
                for fd in made:
                    if fd >= 0:
                        os.close(fd)

    def _call(self, number: int | None, command: int, attr: bytes) -> int:
        if number is None:
            return errno.ENOSYS
        buffer = ctypes.create_string_buffer(attr, len(attr))
        if self._syscall(number, command, ctypes.byref(buffer), len(attr)) < 0:
            return ctypes.get_errno()
        return 0
