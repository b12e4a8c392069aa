"""The path from a type to what is asked about: ``0:1:2`` as the compiler wrote it, step by step."""

from __future__ import annotations

import errno

from pylibbpf.btf.core.kind import CoreKind
from pylibbpf.btf.core.stop import DEPTH, Stop
from pylibbpf.btf.types import Array, Enum, Enum64, Kind, Ptr, Struct, Union

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Type

__all__ = ["LONGEST", "Accessor", "Spec", "is_flexible", "local_spec", "size_of", "stripped"]

LONGEST = 64  # steps of a path (libbpf: BPF_CORE_SPEC_MAX_LEN in relo_core.h)

_U32 = 0xFFFFFFFF
_SIZED = frozenset(
    {Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.DATASEC, Kind.FLOAT}
)
_PASSED = frozenset(
    {Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.VAR, Kind.DECL_TAG, Kind.TYPE_TAG}
)


class Accessor:
    """One step that has a meaning: the member ``name``, or, without a name, an element.

    ``index`` is the member's position in ``type_id``, or the element's; ``type_id`` of an element
    is its own type. No typedef or qualifier is left around it.
    """

    __slots__ = ("index", "name", "type_id")

    def __init__(self, type_id: int, index: int, name: str | None = None) -> None:
        self.type_id = type_id
        self.index = index
        self.name = name


class Spec:
    """Where a path leads in one BTF.

    ``raw`` has every step, ``steps`` those that have a meaning: anonymous structs are left out.
    ``bit_offset`` counts from where the pointer points; like libbpf's it has 32 bits.
    """

    __slots__ = ("bit_offset", "btf", "pointer_size", "raw", "root", "steps")

    def __init__(self, btf: Btf, root: int, pointer_size: int) -> None:
        self.btf = btf
        self.root = root
        self.pointer_size = pointer_size
        self.steps: list[Accessor] = []
        self.raw: list[int] = []
        self.bit_offset = 0

    def add(self, accessor: Accessor) -> None:
        self.steps.append(accessor)

    def move(self, bits: int) -> None:
        self.bit_offset = self.bit_offset + bits & _U32

    @property
    def path(self) -> str:
        """The path as C has it: ``files.fd[3]``; "" for the whole of what is pointed to."""
        text = ""
        for position, step in enumerate(self.steps):
            if step.name is not None:
                text += f".{step.name}" if text else step.name
            elif position or step.index:
                text += f"[{step.index}]"
        return text


def stripped(btf: Btf, type_id: int) -> tuple[int, Type]:
    """Give the type behind typedefs and qualifiers, and its id."""
    type_id = btf.resolve(type_id)
    return type_id, btf.type(type_id)


def size_of(btf: Btf, type_id: int, pointer_size: int) -> int:
    """Give the size in bytes as libbpf sees it (1.7: btf__resolve_size).

    Raises:
        Stop: the type has none, or one of more than 32 bits.
    """
    start, times, size = type_id, 1, -1
    found = btf.type(type_id)
    for _ in range(DEPTH):
        if found.kind in _SIZED:
            size = found.size  # type: ignore[attr-defined]  # all of these kinds have one
            break
        if isinstance(found, Ptr):
            size = pointer_size
            break
        if isinstance(found, Array):
            if times * found.nelems > _U32:
                raise Stop(f"{btf.c_name(start)} is larger than 4 GB", errno.E2BIG)
            times *= found.nelems
        elif found.kind not in _PASSED:
            break
        found = btf.type(found.type_id)  # type: ignore[attr-defined]  # so have these
    if size < 0:
        raise Stop(f"{btf.c_name(start)} has no size")
    if times * size > _U32:
        raise Stop(f"{btf.c_name(start)} is larger than 4 GB", errno.E2BIG)
    return times * size


def is_flexible(btf: Btf, before: Accessor, array: Array) -> bool:
    """Whether an array has as many elements as one asks for: the last member, without a length."""
    if before.name is None or array.nelems:
        return False
    holder = btf.type(before.type_id)
    return isinstance(holder, (Struct, Union)) and before.index == len(holder.members) - 1


def local_spec(btf: Btf, kind: CoreKind, type_id: int, access: str) -> Spec:
    """Read a path in the types that the program was compiled with.

    Raises:
        Stop: it makes no sense there (libbpf 1.7: bpf_core_parse_spec).
    """
    # libbpf gives the types of an object 8-byte pointers, whatever long is (bpf_object__init_btf).
    spec = Spec(btf, type_id, 8)
    if kind.of_type:
        if access != "0":
            raise Stop(f"a type is asked about with the path {access!r} instead of '0'")
        return spec
    spec.raw = _steps(access)
    first = spec.raw[0]
    current, found = stripped(btf, type_id)
    if kind.of_enum:
        if not isinstance(found, (Enum, Enum64)):
            raise Stop(f"{btf.c_name(type_id)} is no enum")
        if len(spec.raw) > 1 or not 0 <= first < len(found.values):
            raise Stop(f"{btf.c_name(type_id)} has no enumerator {access}")
        spec.add(Accessor(current, first, found.values[first][0]))
        return spec
    spec.add(Accessor(current, first))
    spec.move(first * size_of(btf, current, spec.pointer_size) * 8)
    for index in spec.raw[1:]:
        current, found = stripped(btf, current)
        if isinstance(found, (Struct, Union)):
            if not 0 <= index < len(found.members):
                raise Stop(f"{btf.c_name(current)} has no member number {index}")
            member = found.members[index]
            spec.move(member.bit_offset)
            if member.name:
                spec.add(Accessor(current, index, member.name))
            current = member.type_id
        elif isinstance(found, Array):
            current, _ = stripped(btf, found.type_id)
            flexible = is_flexible(btf, spec.steps[-1], found)
            if not flexible and not 0 <= index < found.nelems:
                raise Stop(f"element {index} of an array of {found.nelems}")
            spec.add(Accessor(current, index))
            spec.move(index * size_of(btf, current, spec.pointer_size) * 8)
        else:
            raise Stop(f"a step into {btf.c_name(current)}, which has no members or elements")
    return spec


def _steps(access: str) -> list[int]:
    steps: list[int] = []
    for part in access.split(":", LONGEST):
        digits = part[1:] if part[:1] == "-" else part
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
            raise Stop(f"{access!r} is no path")
        step = int(part)
        if not -1 << 31 <= step < 1 << 31:
            raise Stop(f"{access!r} is no path")
        if len(steps) == LONGEST:
            raise Stop(f"a path of more than {LONGEST} steps", errno.E2BIG)
        steps.append(step)
    return steps
