"""Sections of the same name become one."""

from __future__ import annotations

import dataclasses

from pylibbpf.errors import ElfError
from pylibbpf.isa.insn import INSN_SIZE
from pylibbpf.loader.elf import SHT_NOBITS, SHT_PROGBITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.loader.elf import Section
    from pylibbpf.loader.static_linker.inputs import Input

__all__ = ["JUMP_TABLES", "Merged", "Out", "merge"]

# Where computed gotos go (LLVM 22, Linux 6.19).
JUMP_TABLES = ".jumptables"

# What a linked object may hold: as much as a single one that is read.
_LARGEST = 1 << 28

# One of a kind: all objects have the same, and the linked one has it once.
_SHARED = ("license", "version")
_WORDS = {"license": "license", "version": "kernel version"}


@dataclasses.dataclass(slots=True)
class Out:
    """A section of the linked object, as far as it has grown."""

    name: str
    type: int
    flags: int
    entry: int
    first: str  # the label of the object that brought it
    align: int = 1
    size: int = 0
    content: bytearray = dataclasses.field(default_factory=bytearray)

    @property
    def shared(self) -> bool:
        """Whether all objects have the same, of which one is kept."""
        return self.name in _SHARED


class Merged:
    """The sections of the linked object, and where those of the inputs lie in them."""

    def __init__(self) -> None:
        self.sections: dict[str, Out] = {}
        self._places: dict[tuple[int, int], tuple[Out, int]] = {}
        self._repeated: set[tuple[int, str]] = set()

    def place(self, number: int, section: int) -> tuple[Out, int] | None:
        """Tell in which section, and where, a section of an input lies; None: it is left out."""
        return self._places.get((number, section))

    def repeats(self, number: int, name: str) -> bool:
        """Tell whether an input's section only says again what an earlier one has said."""
        return (number, name) in self._repeated

    def add(self, number: int, source: Input, section: Section) -> None:
        """Put a section of an input behind what is there of the same name.

        Raises:
            ElfError: the two are of different kinds, or the whole grows too large.
        """
        out = self.sections.get(section.name)
        content = source.elf.content(section)
        if out is None:
            out = self.sections[section.name] = Out(
                section.name, section.type, section.flags, section.entry, source.label
            )
        else:
            _check(out, source, section)
            if out.shared:
                if bytes(out.content) != content:
                    raise ElfError(
                        f"{source.label}: its {_WORDS[out.name]} is {_said(content, out.name)}, "
                        f"that of {out.first} {_said(out.content, out.name)}: they must agree"
                    )
                self._places[number, section.index] = out, 0
                self._repeated.add((number, section.name))
                return
        # As libbpf's linker has it (extend_sec): what was there already may ask for more. Code
        # that is moved stays a number of instructions away from where it was.
        align = max(out.align, section.align, INSN_SIZE if section.executable else 1)
        start = -(-out.size // align) * align
        if start + section.size > _LARGEST:
            raise ElfError(
                f"{source.label}: section {section.name!r} of the linked object would have "
                f"{start + section.size} bytes"
            )
        if section.type == SHT_PROGBITS and out.type == SHT_NOBITS:
            out.type = SHT_PROGBITS
            out.content = bytearray(out.size)
        if out.type != SHT_NOBITS:
            out.content += bytes(start - len(out.content)) + content
        out.size = start + section.size
        out.align = align
        self._places[number, section.index] = out, start


def merge(inputs: list[Input]) -> Merged:
    """Lay out the sections of the linked object: in the order in which the inputs bring them.

    Raises:
        ElfError: sections of one name do not go together.
    """
    merged = Merged()
    for number, source in enumerate(inputs):
        for section in source.sections:
            merged.add(number, source, section)
    if sum(out.size + out.align for out in merged.sections.values()) > _LARGEST:
        raise ElfError(f"the linked object would have more than {_LARGEST >> 20} MB")
    return merged


def _check(out: Out, source: Input, section: Section) -> None:
    for what, theirs, ours in (
        ("flags", out.flags, section.flags),
        ("an entry size of", out.entry, section.entry),
    ):
        if theirs != ours:
            raise ElfError(
                f"{source.label}: section {section.name!r} has {what} {ours:#x}, in {out.first} "
                f"it has {theirs:#x}: they cannot be one"
            )


def _said(content: bytes | bytearray, name: str) -> str:
    if name == "version":
        return f"{int.from_bytes(content, 'little'):#x}"
    return repr(bytes(content).partition(b"\0")[0].decode("utf-8", "backslashreplace"))
