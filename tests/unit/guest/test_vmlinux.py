"""The ELF file in a bzImage, and what is kept of it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pylibbpf.guest import cache, vmlinux
from pylibbpf.guest.kernels import Kernel
from pylibbpf.guest.outcome import GuestError


def note(name: bytes, kind: int, data: bytes) -> bytes:
    name += b"\0"
    parts = struct.pack("<III", len(name), len(data), kind), name, data
    return b"".join(part + bytes(-len(part) % 4) for part in parts)


def elf(*notes: bytes) -> bytes:
    """A file with one segment of notes."""
    head = bytearray(64)
    head[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, 2)
    data = b"".join(notes)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 64, 64, 0)
    about = struct.pack("<IIQQQQQQ", 4, 4, 64 + 2 * 56, 0, 0, len(data), len(data), 4)
    return bytes(head) + load + about + data


PVH = elf(note(b"Linux", 1, b"x"), note(b"Xen", 18, bytes(8)))


def bzimage(payload: bytes, version: int = 0x20F) -> bytes:
    head = bytearray(2048)
    head[0x1F1] = 3
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, version)
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + bytes(16) + payload + bytes(100)


def sized(data: bytes) -> bytes:
    return data + struct.pack("<I", len(PVH))


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "payload",
    [
        gzip.compress(PVH),
        sized(bz2.compress(PVH)),
        sized(lzma.compress(PVH)),
        sized(lzma.compress(PVH, lzma.FORMAT_ALONE)),
    ],
)
def test_extract(payload):
    assert vmlinux.extract(bzimage(payload)) == PVH


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")
def test_extract_zstd():
    assert vmlinux.extract(bzimage(sized(zstd(PVH)))) == PVH
    assert vmlinux.extract(bzimage(sized(zstd(PVH)[:-3] + b"xxx"))) is None
    assert vmlinux.extract(bzimage(zstd(PVH) + struct.pack("<I", 1))) is None


@pytest.mark.parametrize(
    "image",
    [
        b"",
        bytes(4096),
        bzimage(b""),
        bzimage(b"\x02!L\x18 lz4, as it happens"),
        bzimage(sized(lzma.compress(PVH)[:50])),
        bzimage(sized(lzma.compress(PVH)), version=0x207),
    ],
)
def test_what_cannot_be_extracted(image):
    assert vmlinux.extract(image) is None


def test_entry():
    assert vmlinux.has_entry(PVH)
    assert not vmlinux.has_entry(elf(note(b"Xen", 17, bytes(8)), note(b"Zen", 18, bytes(8))))
    assert not vmlinux.has_entry(elf())
    assert not vmlinux.has_entry(b"")


def kernel(image: Path) -> Kernel:
    return Kernel("t", "1.2.3", image, None, None)


def test_uncompressed(tmp_path):
    image = tmp_path / "vmlinuz"
    image.write_bytes(bzimage(gzip.compress(PVH)))
    made = vmlinux.uncompressed(kernel(image), tmp_path)
    assert made is not None
    assert made.read_bytes() == PVH
    made.write_bytes(b"kept")
    assert vmlinux.uncompressed(kernel(image), tmp_path) == made
    assert made.read_bytes() == b"kept"
    image.write_bytes(bzimage(b"none"))
    for _ in range(2):
        assert vmlinux.uncompressed(kernel(image), tmp_path) is None


def test_of_what_is_kept_the_newest_stay(tmp_path):
    other = cache.Kept(tmp_path, "x", "/other", "k")
    other.write(b"")
    for number in range(7):
        kept = cache.Kept(tmp_path, "x", "/source", str(number))
        kept.write(b"%d" % number)
        os.utime(kept.path, (number, number))
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"", b"3", b"4", b"5", b"6"}
    with pytest.raises(GuestError, match="cannot write"):
        cache.Kept(tmp_path / "none" / "there", "x", "/source", "k").write(b"")


def test_no_space_for_what_is_to_be_kept(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(GuestError, match=r"cannot write .* \(File too large\): "):
            cache.Kept(tmp_path, "x", "/source", "k").write(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
