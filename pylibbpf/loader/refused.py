"""What libbpf has against a whole object, on whichever kernel (libbpf 1.7, libbpf.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibbpf.errors import ElfError
from pylibbpf.spec import MapKind, ReferenceKind
from pylibbpf.uapi.enums import MapType

if TYPE_CHECKING:
    from pylibbpf.spec import MapSpec, ObjectSpec

__all__ = ["MOST", "SUBPROGRAMS", "check_object"]

SUBPROGRAMS = ".text"
# The kernel takes so many instructions of one program. The largest objects seen have 80,000.
MOST = 1_000_000


def check_object(spec: ObjectSpec) -> None:
    """Raises: ElfError, where functions or maps are not what libbpf takes."""
    size = sum(function.insn_count for function in spec.functions)
    if size > MOST:
        raise ElfError(f"the object has {size} instructions; a program may have {MOST}")
    for function in spec.functions:
        if not function.program and function.section != SUBPROGRAMS:
            raise ElfError(
                f"the function {function.name!r} in section {function.section!r} is static: a "
                "program must be global, and only functions without SEC() may be static"
            )
        for reference in function.references:
            if reference.kind is ReferenceKind.FUNCTION and reference.section != SUBPROGRAMS:
                raise ElfError(
                    f"{function.name!r} uses the function {reference.target!r} in section "
                    f"{reference.section!r}: a program cannot be called, only functions without "
                    "SEC() can"
                )

    for each in spec.maps:
        if each.problem:
            raise ElfError(f"libbpf refuses the definition of map {each.name!r}: {each.problem}")
        if each.kind is MapKind.BTF and each.values:
            _check_values(spec, each)


def _check_values(spec: ObjectSpec, outer: MapSpec) -> None:
    """Raises: ElfError, where a map's initial values are not what libbpf takes."""
    if outer.type == MapType.HASH_OF_MAPS and outer.key_size != 4:
        raise ElfError(
            f"map {outer.name!r}: a hash of maps can have initial values only where its keys have "
            f"4 bytes, and they have {outer.key_size}"
        )
    if outer.type == MapType.PROG_ARRAY:
        what, known = "program", {each.name for each in spec.programs}
    else:
        what, known = "map in '.maps'", {m.name for m in spec.maps if m.kind is MapKind.BTF}
    for index, name in outer.values:
        if name not in known:
            raise ElfError(f"map {outer.name!r}: value {index} is {name!r}, which is no {what}")
