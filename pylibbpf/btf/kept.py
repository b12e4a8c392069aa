"""The BTF of the running kernel, with what takes long to find out about it kept on disk."""

from __future__ import annotations

import struct
import sys

from pylibbpf import cache
from pylibbpf.btf.index import NameIndex
from pylibbpf.btf.parse import Btf, Known
from pylibbpf.errors import BtfError

__all__ = ["FOLDER", "VMLINUX", "kernel_btf", "with_index"]

FOLDER = "/sys/kernel/btf"  # of the running kernel: its own and its modules'
VMLINUX = f"{FOLDER}/vmlinux"

_NOTES = "/sys/kernel/notes"
_PLACE = "btf"
_NOTE = struct.Struct("<III")  # lengths of the name and of the contents, type (elf.h: Elf64_Nhdr)
_BUILD_ID = 3  # NT_GNU_BUILD_ID
# What it is, of which BTF (SHA-256), and how many types and names there are.
_HEADER = struct.Struct("<8s32sQQ")
_MAGIC = b"pybtf 1" + (b"<" if sys.byteorder == "little" else b">")

_read: list[Btf] = []


def kernel_btf() -> Btf:
    """Read the running kernel's BTF; of a process, once. Needs no privilege; kernel 5.4.

    Where the cache can be used, an index of the types lies there after the first time.

    Raises:
        BtfError: this kernel shows none (CONFIG_DEBUG_INFO_BTF), or it is damaged.
    """
    if not _read:
        try:
            with open(VMLINUX, "rb") as file:
                data = file.read()
        except OSError as error:
            raise BtfError(
                f"this kernel's types cannot be read from {VMLINUX}: {error.strerror}"
            ) from None
        _read.append(with_index(data, build_id()))
    return _read[0]


def with_index(data: bytes, name: str) -> Btf:
    """Read the BTF of the kernel that has this build id, and its index from the cache.

    The index is made and left there where it is missing. Without a build id, that of the BTF's
    contents does.

    Raises:
        BtfError: it is damaged.
    """
    from hashlib import sha256

    digest = sha256(data).digest()
    name = f"index-{name or digest.hex()}"
    kept = cache.read(_PLACE, name)
    known = _unpack(kept, digest) if kept is not None else None
    if known is not None:
        return Btf(data, known=known)
    btf = Btf(data)
    cache.write(_PLACE, name, _pack(btf.known(), digest))
    return btf


def build_id(path: str = _NOTES) -> str:
    """Give the running kernel's build id in hexadecimal; "" where it shows none."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return ""
    at = 0
    while at + _NOTE.size <= len(data):
        name_size, size, kind = _NOTE.unpack_from(data, at)
        name = at + _NOTE.size
        contents = name + name_size + -name_size % 4
        if kind == _BUILD_ID and data[name : name + name_size] == b"GNU\0":
            return data[contents : contents + size].hex()
        at = contents + size + -size % 4
    return ""


def _pack(known: Known, digest: bytes) -> bytes:
    # Both are views where BTF was read from bytes.
    offsets, pairs = memoryview(known.offsets), memoryview(known.names.pairs)  # type: ignore[arg-type]
    # The names come first: their numbers are the larger ones.
    return _HEADER.pack(_MAGIC, digest, len(offsets), len(pairs)) + bytes(pairs) + bytes(offsets)


def _unpack(data: memoryview, digest: bytes) -> Known | None:
    """Give what is kept; None where it is of other BTF, or of another version of this library."""
    if len(data) < _HEADER.size:
        return None
    magic, of, types, names = _HEADER.unpack_from(data)
    split, end = _HEADER.size + 8 * names, _HEADER.size + 8 * names + 4 * types
    if magic != _MAGIC or of != digest or len(data) != end:
        return None
    return Known(data[split:].cast("I"), NameIndex(data[_HEADER.size : split].cast("Q")))
