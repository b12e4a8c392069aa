"""The least object file there is: instructions, and no BTF."""

from __future__ import annotations

import struct


def written(code: bytes, section: bytes = b".text") -> bytes:
    """An object file with one function ``main``, as the runner writes it for its option --elf."""
    names = b"\0.shstrtab\0.symtab\0" + section + b"\0main\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", names.index(b"main"), 0x12, 0, 3, 0, len(code))
    parts = [b"", names, symbols, code]
    starts, end = [], 64
    for part in parts:
        starts.append(end)
        end += -(-len(part) // 8) * 8
    # Name, type, flags, link, info, alignment, size of entries: the symbols name by .shstrtab.
    kinds = [
        (0, 0, 0, 0, 0, 0, 0), (1, 3, 0, 0, 0, 1, 0), (11, 2, 0, 1, 1, 4, 24),
        (19, 1, 6, 0, 0, 4, 0),
    ]  # fmt: skip
    headers = b"".join(
        struct.pack("<IIQQQQIIQQ", name, type_, flags, 0, at, len(part), link, info, align, entry)
        for (name, type_, flags, link, info, align, entry), at, part in zip(
            kinds, [0, *starts[1:]], parts, strict=True
        )
    )
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 1, 247, 1, 0, 0, end, 0, 64, 0, 0, 64, 4, 1)
    return head + b"".join(part.ljust(-(-len(part) // 8) * 8, b"\0") for part in parts) + headers
