"""Names of types with and without their flavour."""

from __future__ import annotations

__all__ = ["FLAVOUR", "essential"]

FLAVOUR = "___"

_LONGEST = 4096


def essential(name: str) -> str:
    """Give the name without its flavour: ``task_struct`` of ``task_struct___old``.

    A flavour is what follows the last three underscores that stand between two other characters
    (libbpf 1.7: bpf_core_essential_name_len). Names longer than anybody writes have none.
    """
    if FLAVOUR not in name or len(name) > _LONGEST:
        return name
    at = len(name)
    while (at := name.rfind(FLAVOUR, 1, at + 2)) > 0:
        if name[at - 1] != "_" and name[at + 3 : at + 4] not in ("", "_"):
            return name[:at]
    return name
