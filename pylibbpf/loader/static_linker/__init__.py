"""Link several BPF objects into one, as libbpf's linker (``bpftool gen object``) does.

Sections of the same name become one; functions, variables and maps that one file declares and
another defines find each other by name, and their types are compared; BTF is merged, each type
once. Needs neither libbpf nor any privilege.
"""

from __future__ import annotations

import os

from pylibbpf.errors import BtfError, ElfError
from pylibbpf.loader.header import read_file
from pylibbpf.loader.static_linker.inputs import Input
from pylibbpf.loader.static_linker.output import write
from pylibbpf.loader.static_linker.sections import merge
from pylibbpf.loader.static_linker.symbols import resolve
from pylibbpf.loader.static_linker.types import merge_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    Source = str | bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO

__all__ = ["link_objects"]


def link_objects(sources: Iterable[Source]) -> bytes:
    """Link BPF objects into one, and give its contents: what ``open_object`` opens.

    Each source is the path of an object file (``str`` or ``os.PathLike``), its contents
    (``bytes``) or a binary file to read it from. What one declares ``extern`` and another
    defines is resolved; what none defines stays as it is, for the kernel or a later link. Of
    several weak definitions the first stays, unless there is a strong one. The objects must have
    the same license. DWARF is left out. No privilege is needed.

    Raises:
        ElfError: a source is no BPF object, or damaged; two define the same symbol, or declare
            it with different types; licenses or sections do not go together.
        BtfError: a source's type information is damaged, or missing where symbols are resolved.
        OSError: a file cannot be read.
    """
    if isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike):
        raise TypeError("link_objects takes a list of objects, not one")
    inputs = []
    for number, source in enumerate(sources, 1):
        data, label = _contents(source, number)
        try:
            inputs.append(Input(label, data))
        except (ElfError, BtfError) as error:
            raise type(error)(f"{label}: {error}") from None
    if not inputs:
        raise ValueError("there is no object to link")
    merged = merge(inputs)
    symbols = resolve(inputs, merged)
    return write(inputs, merged, symbols, merge_types(inputs, merged, symbols))


def _contents(source: Source, number: int) -> tuple[bytes, str]:
    if isinstance(source, str | os.PathLike):
        label = os.fsdecode(source)
        try:
            return read_file(label), label
        except ElfError as error:
            raise ElfError(f"{label}: {error}") from None
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), f"object {number}"
    if hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise TypeError("the object's file is not open in binary mode")
        return data, str(getattr(source, "name", f"object {number}"))
    raise TypeError(f"an object is a path, bytes or a binary file, not {type(source).__name__}")
