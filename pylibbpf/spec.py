"""What a BPF object file holds, as plain facts: nothing here is loaded or open.

:func:`pylibbpf.loader.object.read` makes an :class:`ObjectSpec` from a file.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from pylibbpf.btf.core.kind import CoreKind

if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf

__all__ = [
    "CoreKind",
    "CoreRelocation",
    "ExternKind",
    "ExternSpec",
    "FunctionSpec",
    "GlobalSpec",
    "JumpTable",
    "Line",
    "MapKind",
    "MapSpec",
    "ObjectSpec",
    "Reference",
    "ReferenceKind",
    "SectionSpec",
]


class ReferenceKind(enum.Enum):
    """What an instruction refers to."""

    MAP = "map"  # the map itself
    DATA = "data"  # an address in a section of global data
    FUNCTION = "function"  # another function of the object, called or as a callback
    EXTERN = "extern"  # a kernel symbol, kernel function or configuration value
    JUMP_TABLE = "jump table"  # where a computed goto may go (clang 22, kernel 6.19)


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """One ELF relocation of code: the instruction at ``insn`` refers to ``target``.

    ``target`` is the name of a map, data section, function, extern or jump table. ``offset`` is in
    bytes from the start of that data section, or of ``section`` for a function (whose name need
    not be the only one, when objects were linked). ``module`` is set once the kernel was asked:
    the kernel module that an extern was found in, "" for the kernel itself.
    """

    insn: int
    kind: ReferenceKind
    target: str
    offset: int = 0
    section: str = ""
    module: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """The C line that the instructions from ``insn`` on were compiled from."""

    insn: int
    file: str
    number: int
    column: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class CoreRelocation:
    """One question to the kernel's types; its answer goes into the instruction at ``insn``.

    ``access`` is the path as the compiler wrote it ("0:1:2"), ``path`` the same in C
    ("files->fd[0]", or the enumerator), empty where there is none. ``order`` counts all of the
    object's as ``.BTF.ext`` lists them: libbpf answers them in this order.
    """

    insn: int
    kind: CoreKind
    type_id: int
    type_name: str
    access: str
    path: str
    order: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function: a program if its section is an entry point, else a subprogram.

    ``section`` is the SEC() name as written; with a leading ``?`` the program is not loaded
    unless asked for. ``offset`` is where ``code`` starts in the section, in bytes. ``hidden``
    says that the ELF symbol is (``__hidden``): libbpf makes such a function static for the kernel.
    """

    name: str
    section: str
    offset: int
    code: bytes = dataclasses.field(repr=False)
    program: bool
    linkage: str
    type_id: int | None
    references: tuple[Reference, ...] = dataclasses.field(repr=False, default=())
    lines: tuple[Line, ...] = dataclasses.field(repr=False, default=())
    core: tuple[CoreRelocation, ...] = dataclasses.field(repr=False, default=())
    hidden: bool = False

    @property
    def insn_count(self) -> int:
        return len(self.code) // 8

    @property
    def optional(self) -> bool:
        return self.section.startswith("?")

    def line(self, insn: int) -> Line | None:
        """Give the C line of an instruction of this function."""
        found = None
        for line in self.lines:
            if line.insn > insn:
                break
            found = line
        return found


class MapKind(enum.Enum):
    """How a map is defined in the object."""

    BTF = "btf"  # a struct in the section .maps
    LEGACY = "legacy"  # a struct bpf_map_def in the section maps
    DATA = "data"  # a section of global variables
    STRUCT_OPS = "struct_ops"  # a variable in a section .struct_ops*
    KCONFIG = "kconfig"  # the kernel configuration values that the object asks for
    JUMP_TABLE = "jump table"  # where a computed goto may go


@dataclasses.dataclass(frozen=True, slots=True)
class MapSpec:
    """One map as the object defines it.

    ``type`` is the kernel's number. The sizes are what the definition says; a map that leaves
    ``max_entries`` open has 0. ``key_type_id`` and ``value_type_id`` are ids of the object's BTF.
    ``values`` are the initial values of a map of maps or programs: index and name; of a
    struct_ops map: the member's position and the program's name; ``initial`` are its other
    members as the object has them. ``problem`` is why libbpf refuses the definition, "" if it
    does not.
    """

    name: str
    kind: MapKind
    section: str
    type: int
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    flags: int = 0
    pinning: int = 0
    map_extra: int = 0
    numa_node: int = 0
    key_type_id: int | None = None
    value_type_id: int | None = None
    inner: MapSpec | None = None
    values: tuple[tuple[int, str], ...] = ()
    initial: bytes = dataclasses.field(repr=False, default=b"")
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GlobalSpec:
    """One global variable: where it lies in its section, and its type.

    Its initial bytes are those of the section: :meth:`ObjectSpec.initial`.
    """

    name: str
    section: str
    offset: int
    size: int
    type_id: int | None
    linkage: str


@dataclasses.dataclass(frozen=True, slots=True)
class SectionSpec:
    """One section of global data and its initial contents."""

    name: str
    data: bytes = dataclasses.field(repr=False)
    read_only: bool


@dataclasses.dataclass(frozen=True, slots=True)
class JumpTable:
    """Where a computed goto may go, as offsets in bytes in the section of the code that jumps.

    ``offset`` is the table's own place in the section ``.jumptables``.
    """

    name: str
    offset: int
    targets: tuple[int, ...] = dataclasses.field(repr=False)


class ExternKind(enum.Enum):
    """What the object expects the kernel to have, or another object."""

    CONFIG = "config"  # a kernel configuration value: extern ... __kconfig
    VARIABLE = "variable"  # a kernel variable: extern ... __ksym
    FUNCTION = "function"  # a kernel function (kfunc)
    OBJECT = "object"  # a function, variable or map of an object that is to be linked with this one


@dataclasses.dataclass(frozen=True, slots=True)
class ExternSpec:
    """One symbol that is to be found elsewhere; a weak one may be missing."""

    name: str
    kind: ExternKind
    type_id: int | None
    weak: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectSpec:
    """Everything that a BPF object file says."""

    license: str | None
    version: int | None
    btf: Btf | None = dataclasses.field(repr=False)
    has_dwarf: bool
    functions: tuple[FunctionSpec, ...]
    maps: tuple[MapSpec, ...]
    globals: tuple[GlobalSpec, ...]
    sections: tuple[SectionSpec, ...]
    externs: tuple[ExternSpec, ...]
    jump_tables: tuple[JumpTable, ...] = ()

    @property
    def programs(self) -> tuple[FunctionSpec, ...]:
        return tuple(f for f in self.functions if f.program)

    def function(self, name: str) -> FunctionSpec | None:
        return next((f for f in self.functions if f.name == name), None)

    def map(self, name: str) -> MapSpec | None:
        return next((m for m in self.maps if m.name == name), None)

    def section(self, name: str) -> SectionSpec | None:
        return next((s for s in self.sections if s.name == name), None)

    def initial(self, variable: GlobalSpec) -> bytes:
        """Give the bytes that a global variable starts with."""
        section = self.section(variable.section)
        if section is None:
            return bytes(variable.size)
        return section.data[variable.offset : variable.offset + variable.size]
