"""What this machine lets BPF programs do, and why not: ``pylibbpf.doctor()``."""

from __future__ import annotations

from pylibbpf.checkup.report import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import Engine

__all__ = ["Report", "doctor"]


def doctor(*, engine: str | Engine | None = None) -> Report:
    """Find out what works on this machine for this process, and why the rest does not.

    Needs no privilege, no libbpf and no extension; what cannot be found out is None in the
    report. Loads programs of two instructions and creates maps of one entry, and closes each at
    once; attaches and changes nothing. Takes some tenths of a second.

    Raises:
        NotSupportedError: this version has no engine of that name.
    """
    from pylibbpf.checkup.facts import examine
    from pylibbpf.engine.select import select

    chosen = select(engine)
    return examine(chosen)
