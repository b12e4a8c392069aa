"""The one place where an engine is chosen."""

from __future__ import annotations

import os

from pylibbpf.errors import NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import Engine

ENVIRONMENT = "PYLIBBPF_ENGINE"


def _kernel() -> Engine:
    from pylibbpf.engine.kernel.engine import KernelEngine

    return KernelEngine()


ENGINES = {"kernel": _kernel}


def select(choice: str | Engine | None = None) -> Engine:
    """The engine for a call's ``engine=`` argument.

    An engine object is taken as it is; a name is looked up; ``None`` means the environment
    variable ``PYLIBBPF_ENGINE``, and the kernel where that is not set either.

    Raises:
        NotSupportedError: this version has no engine of that name.
    """
    if choice is not None and not isinstance(choice, str):
        if not hasattr(choice, "open"):
            raise TypeError(f"an engine is a name or an engine, not {type(choice).__name__}")
        return choice
    name = choice or os.environ.get(ENVIRONMENT) or "kernel"
    if name not in ENGINES:
        raise NotSupportedError(
            f"there is no engine {name!r} in this version (engines: {', '.join(sorted(ENGINES))})"
        )
    return ENGINES[name]()
