"""The kernel as an emulator starts it soonest: uncompressed.

A bzImage unpacks itself, which costs an emulated guest one to three seconds. QEMU can start the ELF
file in it as it is, where that has an entry for PVH (CONFIG_PVH; arch/x86/platform/pvh/head.S).
"""

from __future__ import annotations

import bz2
import ctypes
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pylibbpf.guest import cache
from pylibbpf.guest.kernels import Kernel

_PT_NOTE = 4
_PHYS32_ENTRY = 18  # XEN_ELFNOTE_PHYS32_ENTRY (include/xen/interface/elfnote.h): where PVH starts


def uncompressed(kernel: Kernel, folder: Path) -> Path | None:
    """The kernel's ELF file, in the cache; None where the bzImage has none that can be started."""
    about = kernel.image.stat()
    key = f"{about.st_size}\0{about.st_mtime_ns}\0{about.st_ino}"
    kept = cache.Kept(folder / "images", "vmlinux", str(kernel.image), key)
    made = kept.open()  # which QEMU cannot read otherwise, either
    if made is not None:
        with made:
            return kept.path if made.read(1) else None
    data = extract(kernel.image.read_bytes())
    startable = data is not None and has_entry(data)
    kept.write(data if startable and data is not None else b"")
    return kept.path if startable else None


def extract(image: bytes) -> bytes | None:
    """What a bzImage unpacks (Documentation/arch/x86/boot.rst, payload_offset)."""
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        return None
    (version,) = struct.unpack_from("<H", image, 0x206)
    if version < 0x208:
        return None
    start, length = struct.unpack_from("<II", image, 0x248)
    begin = ((image[0x1F1] or 4) + 1) * 512 + start
    payload = image[begin : begin + length]
    for magic, unpack in _WAYS.items():
        if payload.startswith(magic):
            # The build appends the size, where the format does not end with it (as gzip does).
            (size,) = struct.unpack_from("<I", payload, len(payload) - 4)
            try:
                return unpack(payload, size)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error):
                return None  # QEMU and the kernel itself say what is wrong with it
    return None


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes) -> bytes: ...


def _by(make: Callable[[], _Decompressor]) -> Callable[[bytes, int], bytes]:
    def unpack(data: bytes, size: int) -> bytes:
        decompressor = make()
        whole = decompressor.decompress(data)  # what follows its end is left
        if not decompressor.eof:
            raise ValueError("cut off")
        return whole

    return unpack


def _zstd(data: bytes, size: int) -> bytes:
    library = ctypes.CDLL("libzstd.so.1")  # apt needs it, so that Debian always has it
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    into = ctypes.create_string_buffer(size)
    done = library.ZSTD_decompress(into, size, data, len(data) - 4)
    if done != size:
        raise ValueError("damaged")
    return into.raw


_WAYS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"\x1f\x8b": _by(lambda: zlib.decompressobj(wbits=31)),
    b"BZh": _by(bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": _by(lzma.LZMADecompressor),
    b"]\0\0": _by(lzma.LZMADecompressor),
    b"\x28\xb5\x2f\xfd": _zstd,
}


def has_entry(data: bytes) -> bool:
    """Whether a 64-bit ELF file has an entry for PVH."""
    if data[:5] != b"\x7fELF\x02":
        return False
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, start + number * size)
        if kind == _PT_NOTE and _has_note(data[offset : offset + length]):
            return True
    return False


def _has_note(notes: bytes) -> bool:
    at = 0
    while at + 12 <= len(notes):
        name, described, kind = struct.unpack_from("<III", notes, at)
        if kind == _PHYS32_ENTRY and notes[at + 12 : at + 12 + name] == b"Xen\0":
            return True
        at += 12 + (-(-name // 4) + -(-described // 4)) * 4
    return False
