"""A first look at an object file: is it an ELF file for BPF, and is it whole?

Every engine asks this before it reads on, so that the commonest mistakes have one clear message
each. It needs no more than the ELF header (System V ABI, chapter 4).
"""

from __future__ import annotations

import struct
import sys

from pylibbpf.errors import ElfError

_EHDR = 64
_SHDR = 64
_EM_BPF = 247
_EM_NONE = 0
_MACHINES = {3: "x86", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V", 22: "S/390"}
_ET_REL = 1


def check_header(data: bytes, name: str) -> None:
    """Return if ``data`` starts as an ELF relocatable for BPF of this machine's byte order.

    Raises:
        ElfError: empty, not ELF, cut off, 32 bit, of the other byte order, or not for BPF.
    """
    if not data:
        raise ElfError(f"{name}: the file is empty")
    if data[:4] != b"\x7fELF":
        raise ElfError(f"{name}: not an ELF file (it starts with {data[:8]!r})")
    if len(data) < _EHDR:
        raise ElfError(f"{name}: truncated: {len(data)} bytes are less than an ELF header")
    if data[4] != 2:
        raise ElfError(f"{name}: not a 64-bit ELF file; BPF objects are")
    little = {1: True, 2: False}.get(data[5])
    if little is None:
        raise ElfError(f"{name}: the ELF header has no known byte order ({data[5]})")
    if little != (sys.byteorder == "little"):
        order = "little" if little else "big"
        raise ElfError(
            f"{name}: a {order}-endian object; this machine is {sys.byteorder}-endian "
            f"(compile with -target {'bpfel' if sys.byteorder == 'little' else 'bpfeb'})"
        )
    kind, machine = struct.unpack_from("<HH" if little else ">HH", data, 16)
    if machine not in (_EM_BPF, _EM_NONE):
        what = _MACHINES.get(machine, f"machine {machine}")
        raise ElfError(
            f"{name}: compiled for {what}, not for BPF (compile with clang -target bpf)"
        )
    if kind != _ET_REL:
        raise ElfError(f"{name}: not a relocatable object (ELF type {kind}); link nothing, use -c")
    layout = "<QIHHHHHH" if little else ">QIHHHHHH"
    table, _, _, _, _, entry, count, _ = struct.unpack_from(layout, data, 40)
    if entry != _SHDR or not table:
        raise ElfError(f"{name}: the ELF header names no section table")
    if table + entry * count > len(data):
        raise ElfError(
            f"{name}: truncated: the section table ends at byte {table + entry * count}, the file "
            f"at {len(data)}"
        )
