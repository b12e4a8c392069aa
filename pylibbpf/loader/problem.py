"""What may keep an object from loading on a kernel: one thing asked for and not found there."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibbpf.spec import CoreRelocation, Line

__all__ = ["Problem", "Verdict"]


class Verdict(enum.Enum):
    """What comes of it that something is missing."""

    FAILS = "fails"  # the object does not load
    OPTIONAL = "optional"  # a program that is only loaded when asked for (SEC("?...")) does not
    ATTACH = "attach"  # it loads, but cannot be attached
    GUARDED = "guarded"  # nothing: the program checks, and never comes to it


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing that an object asks for and a kernel does not have.

    ``what`` says of which sort it is: "relocation" (CO-RE), "helper", "kernel function",
    "variable", "target" (of attaching), "struct_ops", "map type", "program type", "attach type",
    "extern" (of another object, and not of the kernel) or "object" (libbpf loads it on no kernel).
    ``name`` is what is missing, ``message`` says it in words. ``programs`` are those that it stops
    (or would, if they came to it); empty: the whole object. What stands in code has ``function``,
    ``insn`` (its number there) and ``line``; a relocation has ``relocation`` and the ``candidates``
    that were looked at, in C.
    """

    verdict: Verdict
    what: str
    name: str
    message: str
    programs: tuple[str, ...] = ()
    function: str | None = None
    insn: int | None = None
    line: Line | None = None
    relocation: CoreRelocation | None = None
    candidates: tuple[str, ...] = ()
