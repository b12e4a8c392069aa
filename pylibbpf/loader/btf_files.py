"""Find the BTF of kernels in files, folders and archives, and read it.

Known are: bare BTF (as in ``/sys/kernel/btf``), the same compressed (xz, gzip, bzip2), tar archives
of it (plain or compressed, as BTFHub has them: ``distro/version/arch/KERNEL.btf.tar.xz``), and a
``vmlinux``. What is read may be hostile: an archive is read as a stream, and what it unpacks to,
and the memory that unpacking takes, is limited.
"""

from __future__ import annotations

import bz2
import dataclasses
import io
import lzma
import os
import struct
import tarfile
import zlib
from itertools import islice
from typing import Protocol

from pylibbpf.btf.kept import FOLDER
from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.binary import Binary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["BtfFile", "KernelBtf", "find_btf", "one_kernel", "read_btf"]

_BTF = b"\x9f\xeb"
_ELF = b"\x7fELF"
_BTF_HEADER = 24
# Suffixes of what is taken out of a folder; a file that is named is told by its contents.
_SUFFIXES = (".tar", ".btf")
_PACKED = (".xz", ".gz", ".bz2")
_SHORT = {".txz": ".tar.xz", ".tgz": ".tar.gz", ".tbz2": ".tar.bz2"}

# A distribution's kernel has 4 to 12 MB of BTF.
LARGEST = 64 << 20
# Of one archive, unpacked.
LARGEST_ARCHIVE = 2 << 30
MOST_MEMBERS = 20_000
# xz -9 makes files that take 65 MB to unpack.
_XZ_MEMORY = 128 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class BtfFile:
    """A file with the BTF of one kernel, or of several if it is an archive.

    ``kernel`` is what to call it: the file's path below the folder in which it was found, without
    suffixes. ``modules`` are names and paths of the BTF of modules beside it.
    """

    kernel: str
    path: str
    modules: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class KernelBtf:
    """The bytes of one kernel's BTF, and of its modules' where there are some, by name."""

    kernel: str
    path: str
    data: bytes = dataclasses.field(repr=False)
    modules: dict[str, bytes] = dataclasses.field(repr=False, default_factory=dict)


def find_btf(paths: Iterable[str | os.PathLike[str]]) -> Iterator[BtfFile]:
    """List the files with BTF that are named or lie in folders that are named, sorted by path.

    Folders are searched with all that are in them; of links only those to files are followed.
    In a folder that has a file ``vmlinux`` of bare BTF, the bare BTF beside it is that of its
    modules, as in ``/sys/kernel/btf``.

    Raises:
        BtfError: a folder has no BTF.
        OSError: a path does not exist, or a folder cannot be read.
    """
    for each in paths:
        path = os.fspath(each)
        if not os.path.isdir(path):
            os.stat(path)  # raises for what is not there
            yield BtfFile(os.path.basename(_stem(path)), path)
            continue
        found = False
        for file in _in_folder(path):
            found = True
            yield file
        if not found:
            raise BtfError(f"{path}: no BTF in this folder (.btf, .btf.xz, .btf.tar.xz, vmlinux)")


def _in_folder(top: str) -> Iterator[BtfFile]:
    def failed(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(top, onerror=failed):
        folders.sort()
        names.sort()
        place = os.path.relpath(folder, top)
        prefix = "" if place == os.curdir else f"{place}/"
        bare = [n for n in names if "." not in n and _begins(os.path.join(folder, n), _BTF)]
        if "vmlinux" in bare:
            modules = [(n, os.path.join(folder, n)) for n in bare if n != "vmlinux"]
            kernel = place if prefix else os.path.basename(os.path.abspath(top))
            if os.path.realpath(folder) == FOLDER:
                kernel = os.uname().release
            yield BtfFile(kernel, os.path.join(folder, "vmlinux"), tuple(modules))
        for name in names:
            path = os.path.join(folder, name)
            # A pipe would be waited for. A link to nothing is told when it is read.
            if os.path.exists(path) and not os.path.isfile(path):
                continue
            if _looks_like_btf(name) or (
                name.startswith("vmlinux") and name not in bare and _begins(path, _ELF)
            ):
                yield BtfFile(prefix + _stem(name), path)


def _stem(path: str) -> str:
    """A path without the suffixes that only say how it is packed."""
    for short, long in _SHORT.items():
        if path.endswith(short):
            path = path.removesuffix(short) + long
    for suffix in (*_PACKED, *_SUFFIXES):
        path = path.removesuffix(suffix)
    return path


def _looks_like_btf(name: str) -> bool:
    for suffix in _PACKED:
        name = name.removesuffix(suffix)
    return name.endswith((*_SUFFIXES, *_SHORT))


def _begins(path: str, magic: bytes) -> bool:
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(len(magic)) == magic
    except PermissionError:
        return False  # nobody has said that it is BTF


def read_btf(file: BtfFile) -> Iterator[KernelBtf]:
    """Read what :func:`find_btf` found: one kernel after another, each only when it is asked for.

    At most the BTF of one kernel and its modules is held at a time.

    Raises:
        BtfError: it has no BTF, is damaged, or unpacks to more than any kernel's BTF has (64 MB;
            2 GB for an archive).
        OSError: it cannot be read.
    """
    try:
        with open(file.path, "rb") as opened:
            yield from _read(file, opened)
    except (BtfError, ElfError) as error:
        raise BtfError(f"{file.path}: {_without(file.path, str(error))}") from None


def one_kernel(path: str | os.PathLike[str]) -> KernelBtf:
    """Read the BTF of the one kernel that a file has, or a folder.

    Raises:
        BtfError: there is none, or that of several, or it is damaged.
        OSError: it cannot be read.
    """
    path = os.fspath(path)
    # The second is only looked for: a folder may have thousands.
    found = list(islice((each for file in find_btf([path]) for each in read_btf(file)), 2))
    if len(found) > 1:
        names = f"{found[0].kernel}, {found[1].kernel}"
        raise BtfError(f"{path}: the BTF of several kernels ({names}, ...): give that of one")
    return found[0]


def _without(path: str, text: str) -> str:
    return text.removeprefix(f"{path}: ")


def _read(file: BtfFile, opened: io.BufferedReader) -> Iterator[KernelBtf]:
    head = opened.peek(8)[:8]
    if head[:4] == _ELF:
        yield KernelBtf(file.kernel, file.path, _of_elf(file.path))
        return
    if not head:
        raise BtfError("the file is empty")
    stream = _Stream(opened, head)
    start = stream.read(1024)
    if start.startswith(_BTF) and start[257:262] != b"ustar":
        data = start + stream.read(LARGEST + 1 - len(start))
        modules = dict(_modules(file)) if len(data) <= LARGEST else {}
        yield KernelBtf(file.kernel, file.path, _limited(data), modules)
        return
    if start[257:262] == b"ustar":
        yield from _in_archive(file, _Again(start, stream))
        return
    if start[:4] == _ELF:
        raise BtfError("a compressed ELF file: unpack it first")
    if start[0x202:0x206] == b"HdrS":
        raise BtfError("a kernel image that boots (bzImage): the BTF is in the vmlinux it unpacks")
    raise BtfError(f"neither BTF nor an archive of it: it starts with {start[:4].hex(' ')}")


def _limited(data: bytes) -> bytes:
    if len(data) > LARGEST:
        raise BtfError(f"more than {LARGEST >> 20} MB of BTF, which no kernel has")
    return data


def _modules(file: BtfFile) -> Iterator[tuple[str, bytes]]:
    left = LARGEST
    for name, path in file.modules:
        with open(path, "rb") as opened:
            data = opened.read(left + 1)
        left -= len(data)
        if left < 0:
            raise BtfError(f"more than {LARGEST >> 20} MB of BTF of modules")
        yield name, data


def _of_elf(path: str) -> bytes:
    with Binary(path) as binary:
        if not binary.wide or binary.big_endian:
            raise BtfError("only the BTF of 64-bit little-endian kernels can be read")
        data = binary.content(".BTF", LARGEST)
    if data is None:
        raise BtfError("this ELF file has no section .BTF (CONFIG_DEBUG_INFO_BTF was off?)")
    return data


def _in_archive(file: BtfFile, stream: _Again) -> Iterator[KernelBtf]:
    found = False
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise BtfError(f"an archive with more than {MOST_MEMBERS} members")
                # Members are not kept: of a large archive the list alone would fill memory.
                archive.members = []  # type: ignore[attr-defined]  # typeshed knows only getmembers
                if not member.isreg() or not member.name.endswith(".btf"):
                    continue
                if member.size > LARGEST or member.issparse():
                    raise BtfError(f"{member.name}: larger than any kernel's BTF")
                content = archive.extractfile(member)
                if content is None:
                    continue
                data = content.read(LARGEST)
                if len(data) < member.size:
                    raise BtfError(f"{member.name}: the archive is cut off")
                found = True
                yield KernelBtf(_in_kernel(file.kernel, member.name), file.path, data)
    except (tarfile.TarError, ValueError, OverflowError, struct.error, EOFError) as error:
        if isinstance(error, BtfError):
            raise
        raise BtfError(f"a damaged archive: {error}") from None
    if not found:
        raise BtfError("an archive without a .btf file")


def _in_kernel(archive: str, member: str) -> str:
    stem = _stem(os.path.normpath(member).lstrip("/"))
    return archive if stem == os.path.basename(archive) else f"{archive}/{stem}"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Inflate:
    """zlib's decompressor with the interface of the other two."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._object.unconsumed_tail

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_UNPACKERS: dict[bytes, Callable[[], _Decompressor]] = {
    b"\xfd7zXZ\0": _xz,
    b"\x1f\x8b": _Inflate,
    b"BZh": bz2.BZ2Decompressor,
}


class _Stream:
    """What a file unpacks to, from its beginning to its end; a plain file as it is.

    Raises:
        BtfError: on reading, where it is damaged or has no end.
    """

    def __init__(self, file: io.BufferedReader, head: bytes) -> None:
        self._file = file
        self._make = next((u for magic, u in _UNPACKERS.items() if head.startswith(magic)), None)
        self._unpacker = self._make() if self._make is not None else None
        self._packed = b""
        self._left = LARGEST_ARCHIVE

    def read(self, size: int) -> bytes:
        """Give so many bytes; fewer only at the end."""
        parts = []
        while size > 0:
            part = self._file.read(size) if self._unpacker is None else self._unpack(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self._left -= len(part)
            if self._left < 0:
                raise BtfError(f"unpacks to more than {LARGEST_ARCHIVE >> 30} GB")
        return b"".join(parts)

    def _unpack(self, size: int) -> bytes:
        assert self._unpacker is not None
        while True:
            if self._unpacker.eof and not self._another():
                return b""
            packed, self._packed = self._packed, b""
            if not packed and self._unpacker.needs_input:
                packed = self._file.read(1 << 16)
                if not packed:
                    raise BtfError("the compressed data is cut off")
            try:
                part = self._unpacker.decompress(packed, min(size, 1 << 20))
            except (lzma.LZMAError, zlib.error, OSError) as error:
                raise BtfError(f"the compressed data is damaged: {error}") from None
            if part:
                return part

    def _another(self) -> bool:
        """Whether a second stream follows the end of one, as what packs in parallel writes them."""
        assert self._unpacker is not None
        assert self._make is not None
        # xz allows zeros between and behind streams, and so does tar.
        rest = self._unpacker.unused_data.lstrip(b"\0")
        while not rest:
            more = self._file.read(1 << 16)
            if not more:
                return False
            rest = more.lstrip(b"\0")
        self._unpacker, self._packed = self._make(), rest
        return True


class _Again(io.RawIOBase):
    """A stream of which the beginning has been read."""

    def __init__(self, start: bytes, stream: _Stream) -> None:
        self._start = start
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        part, self._start = self._start[:size], self._start[size:]
        return part + self._stream.read(size - len(part))
