"""Programs given to the kernel as bare instructions, by the bpf system call itself.

For tests that compare what the kernel does with a program that is in no object file.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Sequence

from pylibbpf.isa.insn import Insn, encode
from pylibbpf.uapi.enums import ProgType

_NUMBER = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_TEST_RUN = 5, 10
_SLEEPABLE = 1 << 4  # BPF_F_SLEEPABLE
_ATTR = 128


def _bpf(command: int, attr: ctypes.Array[ctypes.c_char]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(_NUMBER[platform.machine()], command, attr, _ATTR)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def load(insns: Sequence[Insn], kind: ProgType = ProgType.SYSCALL) -> int:
    """Load a program, and give its descriptor."""
    return _load(insns, kind, None)


def log_of(insns: Sequence[Insn], kind: ProgType = ProgType.SYSCALL) -> str:
    """Load a program, and give the verifier's log, whether it was accepted or not."""
    text = ctypes.create_string_buffer(1 << 22)
    try:
        os.close(_load(insns, kind, text))
    except OSError:
        if not text.value:
            raise
    return text.value.decode()


def _load(insns: Sequence[Insn], kind: ProgType, text: ctypes.Array[ctypes.c_char] | None) -> int:
    code = ctypes.create_string_buffer(encode(insns))
    license = ctypes.create_string_buffer(b"GPL")
    attr = ctypes.create_string_buffer(
        struct.pack(
            "=IIQQIIQII",
            kind,
            len(insns),
            ctypes.addressof(code),
            ctypes.addressof(license),
            0 if text is None else 2,  # 1 drops the instructions of what is accepted
            0 if text is None else len(text),
            0 if text is None else ctypes.addressof(text),
            0,
            _SLEEPABLE if kind is ProgType.SYSCALL else 0,
        ),
        _ATTR,
    )
    return _bpf(_PROG_LOAD, attr)


def run(fd: int, context: bytes = b"", data: bytes = b"") -> tuple[int, bytes]:
    """Run a program once: what it returned (32 bits), and the context after it."""
    memory = ctypes.create_string_buffer(context, max(1, len(context)))
    packet = ctypes.create_string_buffer(data, max(1, len(data)))
    attr = ctypes.create_string_buffer(
        struct.pack(
            "=IIIIQQIIIIQQ",
            fd,
            0,
            len(data),
            0,
            ctypes.addressof(packet) if data else 0,
            0,
            0,
            0,
            len(context),
            0,
            ctypes.addressof(memory) if context else 0,
            0,
        ),
        _ATTR,
    )
    _bpf(_PROG_TEST_RUN, attr)
    return struct.unpack_from("=I", attr, 4)[0], memory.raw[: len(context)]
