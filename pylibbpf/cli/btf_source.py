"""The types in whatever file has some, for a command."""

from __future__ import annotations

import lzma
import os
import stat
import zlib
from collections.abc import Callable
from typing import Any

from pylibbpf.btf.kept import VMLINUX
from pylibbpf.btf.parse import Btf
from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.binary import Binary
from pylibbpf.loader.btf_files import LARGEST, one_kernel

__all__ = ["read_types"]

_LARGEST_IMAGE = 256 << 20
# How a distribution's modules are compressed.
_PACKED: dict[bytes, Callable[[], Any]] = {
    b"\xfd7zX": lambda: lzma.LZMADecompressor(memlimit=128 << 20),
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
}
_ZSTD = b"\x28\xb5\x2f\xfd"


def read_types(path: str, base: str | None = None) -> Btf:
    """Read the BTF in a file.

    A module's (a split one) needs its kernel's: that of ``base``, or, where the file lies beside
    a ``vmlinux`` as in ``/sys/kernel/btf``, of that one.

    Raises:
        BtfError, ElfError: it has none, or is damaged; a module's without its kernel's.
        OSError: it cannot be read.
    """
    if path == VMLINUX and not os.path.exists(path):
        raise BtfError("this kernel shows no BTF (CONFIG_DEBUG_INFO_BTF is off)")
    data, own_base = _contents(path)
    try:
        if base is not None:
            if own_base is not None:
                raise BtfError(
                    "this module brings types of its kernel (.BTF.base); --base is of no use"
                )
            if _first_string(data) == b"\0":
                raise BtfError("this BTF stands alone and is no module's; --base is of no use")
            return Btf(data, read_types(base))
        if own_base is not None:
            return Btf(data, Btf(own_base))
        beside = os.path.join(os.path.dirname(os.path.abspath(path)), "vmlinux")
        if _first_string(data) not in (b"", b"\0"):
            if os.path.isfile(beside) and not os.path.samefile(beside, path):
                return Btf(data, read_types(beside))
            raise BtfError(f"a module's BTF: --base names its kernel's (--base {VMLINUX})")
        return Btf(data)
    except BtfError as error:
        raise BtfError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _first_string(data: bytes) -> bytes:
    """How the strings begin: with an empty one in a BTF that stands alone, in others with a name.

    b"" where there are none.
    """
    if len(data) < 24:
        return b""
    at = int.from_bytes(data[4:8], "little") + int.from_bytes(data[16:20], "little")
    return data[at : at + 1]


def _contents(path: str) -> tuple[bytes, bytes | None]:
    """The raw BTF in a file, and that of its base where the file has it, too."""
    with open(path, "rb") as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise BtfError(f"{path}: a pipe, which can be read only once: give a file")
        head = file.read(0x250)
    if head[:4] == b"\x7fELF":
        return _of_elf(path)
    if head[0x202:0x206] == b"HdrS":
        return _in_memory(_unpacked_kernel(path), path)
    make = next((make for magic, make in _PACKED.items() if head.startswith(magic)), None)
    if make is not None and ".ko." in os.path.basename(path):
        return _in_memory(_unpacked_module(path, make), path)
    if head.startswith(_ZSTD):
        raise BtfError(f"{path}: compressed with zstd: unpack it first (zstd -d)")
    return one_kernel(path).data, None


def _of_elf(path: str) -> tuple[bytes, bytes | None]:
    with Binary(path) as binary:
        if not binary.wide or binary.big_endian:
            raise BtfError(f"{path}: only BTF of 64-bit little-endian ELF files can be read")
        data = binary.content(".BTF", LARGEST)
        base = binary.content(".BTF.base", LARGEST)
    if data is None:
        raise BtfError(f"{path}: this ELF file has no section .BTF (compiled without -g?)")
    return data, base


def _in_memory(data: bytes, path: str) -> tuple[bytes, bytes | None]:
    """As :func:`_of_elf`, of what was unpacked from the file at ``path``."""
    handle = os.memfd_create("pylibbpf-btf", os.MFD_CLOEXEC)
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(data)
        name = f"/proc/self/fd/{handle}"
        try:
            return _of_elf(name)
        except (BtfError, ElfError) as error:
            said = str(error).removeprefix(f"{name}: ")
            raise BtfError(f"{path}: unpacked, it is wrong: {said}") from None
    finally:
        os.close(handle)


def _unpacked_kernel(path: str) -> bytes:
    from pylibbpf.guest.vmlinux import extract

    with open(path, "rb") as file:
        image = file.read(_LARGEST_IMAGE)
    data = extract(image)
    if data is None:
        raise BtfError(f"{path}: a kernel image (bzImage) that cannot be unpacked here")
    return data


def _unpacked_module(path: str, make: Callable[[], Any]) -> bytes:
    with open(path, "rb") as file:
        packed = file.read(LARGEST)
    try:
        unpacker = make()
        data: bytes = unpacker.decompress(packed, LARGEST + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise BtfError(f"{path}: the compressed data is damaged: {error}") from None
    if len(data) > LARGEST:
        raise BtfError(f"{path}: unpacks to more than {LARGEST >> 20} MB, which no module has")
    if not unpacker.eof:
        raise BtfError(f"{path}: the compressed data is cut off")
    return data
