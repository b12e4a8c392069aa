"""A shared library with one USDT probe, written byte by byte: no compiler is asked for.

ELF as in elf(5); the note that tells of the probe as <sys/sdt.h> of SystemTap makes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from guest.rows.ground import Ground, piece

__all__ = ["NAME", "PROVIDER", "Library"]

PROVIDER, NAME = "pylibbpf", "passed"
# nop and ret; the probe is at the nop. The number of the machine, and an argument's place.
_MACHINES = {
    "x86_64": (62, b"\x90\xc3", b"-4@%edi"),
    "aarch64": (183, bytes.fromhex("1f2003d5c0035fd6"), b"-4@x0"),
}
_CODE_AT, _NOTE_AT, _NAMES_AT, _SECTIONS_AT, _SIZE = 0x100, 0x200, 0x300, 0x400, 0x1000


def _content() -> bytes:
    machine, code, argument = _MACHINES[platform.machine()]
    texts = b"\0".join((PROVIDER.encode(), NAME.encode(), argument, b""))
    what = struct.pack("=QQQ", _CODE_AT, 0, 0) + texts  # where, no base, no semaphore
    note = struct.pack("=III8s", 8, len(what), 3, b"stapsdt") + what
    names = b"\0.text\0.note.stapsdt\0.shstrtab\0"
    sections = (
        (0, 0, 0, 0, 0, 0),
        (names.index(b".text"), 1, 6, _CODE_AT, len(code), 16),  # PROGBITS, ALLOC and EXEC
        (names.index(b".note"), 7, 0, _NOTE_AT, len(note), 4),  # NOTE
        (names.index(b".shstr"), 3, 0, _NAMES_AT, len(names), 1),  # STRTAB
    )
    header = struct.pack(
        "=16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little endian
        *(3, machine, 1),  # ET_DYN
        *(0, 64, _SECTIONS_AT, 0),  # no entry; program headers; section headers; flags
        *(64, 56, 1, 64, len(sections), len(sections) - 1),
    )
    segment = struct.pack("=IIQQQQQQ", 1, 5, 0, 0, 0, _SIZE, _SIZE, 0x1000)  # PT_LOAD, R and X
    file = bytearray(_SIZE)
    for at, part in (
        (0, header + segment),
        (_CODE_AT, code),
        (_NOTE_AT, note),
        (_NAMES_AT, names),
        (
            _SECTIONS_AT,
            b"".join(
                struct.pack("=IIQQQQIIQQ", name, kind, flags, at, at, size, 0, 0, align, 0)
                for name, kind, flags, at, size, align in sections
            ),
        ),
    ):
        file[at : at + len(part)] = part
    return bytes(file)


class Library:
    """The file, mapped into this process; ``call()`` passes the probe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(_content())
        path.chmod(0o755)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        fd = os.open(path, os.O_RDONLY)
        try:
            address = libc.mmap(
                None,
                ctypes.c_size_t(_SIZE),
                mmap.PROT_READ | mmap.PROT_EXEC,
                mmap.MAP_PRIVATE,
                fd,
                ctypes.c_long(0),
            )
        finally:
            os.close(fd)
        assert address not in (None, ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_int)(address + _CODE_AT)


@piece("usdt")
@contextlib.contextmanager
def _library(ground: Ground) -> Iterator[Library]:
    # Mapped until the process ends: a few pages, of a file that may be gone by then.
    with tempfile.TemporaryDirectory(prefix="pylibbpf-") as folder:
        os.chmod(folder, 0o755)
        yield Library(Path(folder) / "usdt.so")
