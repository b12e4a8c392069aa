"""Take a first look at an object file: whether it is ELF, for BPF, and whole.

Every engine asks this before it reads on, so that the commonest mistakes have one clear message
each. It needs no more than the ELF header (System V ABI, chapter 4), and imports next to nothing.
"""

from __future__ import annotations

from struct import Struct

from pylibbpf.errors import ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

__all__ = ["check_header", "parse_header", "read_file"]

HEADER = Struct("<16sHHIQQQIHHHHHH")
SECTION_HEADER_SIZE = 64

_EM_NONE, _EM_BPF = 0, 247
_ET_REL = 1
# What people hand us by mistake, for the message only.
_MACHINES = {
    2: "SPARC", 3: "x86 (32 bit)", 8: "MIPS", 20: "PowerPC", 21: "PowerPC (64 bit)",
    22: "S/390", 40: "ARM (32 bit)", 43: "SPARC (64 bit)", 62: "x86-64", 183: "AArch64",
    243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
_KINDS = {2: "an executable", 3: "a shared library", 4: "a core dump"}
_MAGIC = {
    b"BC\xc0\xde": "LLVM bitcode: compile without -flto and -emit-llvm",
    b"!<ar": "a static library",
    b"\x1f\x8b": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\xfd7zX": "compressed by xz",
    b"PK\x03\x04": "a zip archive",
    b"#!": "a script",
    b"\x9f\xeb": "bare BTF",
}


# Objects are some hundred KB; with debug information some MB.
_LARGEST = 256 << 20


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Give the contents of an object file; of a file that is not ELF only its beginning.

    So neither a device without an end nor somebody's disk image fills the memory.

    Raises:
        ElfError: larger than 256 MB.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(HEADER.size)
        if data[:4] == b"\x7fELF":
            data += file.read(_LARGEST)
    if len(data) > _LARGEST:
        raise ElfError(f"larger than {_LARGEST >> 20} MB, which no BPF object is")
    return data


def check_header(data: bytes, name: str) -> None:
    """Return if ``data`` starts as a little-endian ELF relocatable for BPF and seems whole.

    Raises:
        ElfError: empty, not ELF, cut off, for another machine or byte order, not an object.
    """
    try:
        parse_header(data)
    except ElfError as error:
        raise ElfError(f"{name}: {error}") from None


def parse_header(data: bytes) -> tuple[int, int, int, int]:
    """Give place, entry size and number of the section headers, and the section of their names.

    Raises:
        ElfError: as :func:`check_header`, without the file's name.
    """
    if not data:
        raise ElfError("the file is empty")
    if data[:4] != b"\x7fELF":
        shown = data[:4].hex(" ")
        raise ElfError(f"not an ELF file: it starts with {shown}{_guess(data)}")
    if len(data) < HEADER.size:
        raise ElfError(f"truncated: {len(data)} bytes are less than an ELF header")
    width, order = data[4], data[5]
    if width not in (1, 2) or order not in (1, 2):
        raise ElfError("the ELF identification is damaged")
    machine = int.from_bytes(data[18:20], "little" if order == 1 else "big")
    if machine not in (_EM_BPF, _EM_NONE):
        what = _MACHINES.get(machine, f"machine {machine}")
        raise ElfError(f"compiled for {what}, not for BPF (compile with clang -target bpf)")
    if order == 2:
        raise ElfError(
            "a big-endian BPF object; only little-endian ones can be read and run here "
            "(compile with -target bpfel)"
        )
    if width == 1:
        raise ElfError("not a 64-bit ELF file; BPF objects are")
    (_, kind, _, _, _, _, table, _, _, _, _, entry, count, names) = HEADER.unpack_from(data)
    if kind != _ET_REL:
        what = _KINDS.get(kind, f"an ELF file of type {kind}")
        raise ElfError(f"{what}, not a relocatable object; link nothing, compile with -c")
    if not table or not count:
        raise ElfError("the ELF header names no sections (stripped of them, or damaged)")
    if entry != SECTION_HEADER_SIZE:
        raise ElfError(f"ELF section headers of {entry} bytes, expected {SECTION_HEADER_SIZE}")
    if table + entry * count > len(data):
        raise ElfError(
            f"truncated: the section table ends at byte {table + entry * count}, the file at "
            f"{len(data)}"
        )
    if names >= count:
        raise ElfError(f"the section names are said to be in section {names} of {count}")
    return table, entry, count, names


def _guess(data: bytes) -> str:
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            return f" ({what})"
    if data[:64].isascii() and data[:64].decode("ascii").replace("\n", " ").isprintable():
        return " (text: compile the .c file first)"
    return ""
