"""libbpf's opts structs, with the version that brought each field.

libbpf only says EINVAL to a non-zero field that it does not know. So a field that is set under
a libbpf that is too old raises here, and names itself.
"""

from __future__ import annotations

import os

from pylibbpf.engine.kernel.library import load, version
from pylibbpf.errors import NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# (struct, field) -> the first libbpf that reads it (libbpf.h and libbpf.map of each release).
# Fields that are not here came with libbpf 1.0 or before.
SINCE: dict[tuple[str, str], tuple[int, int]] = {
    ("bpf_object_open_opts", "bpf_token_path"): (1, 4),
}


def opts(struct: str, **fields: Any) -> tuple[Any, list[Any]]:
    """A filled opts struct, and what must live as long as it is used.

    Fields that are ``None`` stay zero. Text becomes a C string.
    """
    ffi, _ = load()
    filled = ffi.new(f"struct {struct} *")
    filled.sz = ffi.sizeof(filled[0])
    keep: list[Any] = [filled]
    for field, value in fields.items():
        if value is None:
            continue
        since = SINCE.get((struct, field))
        if since is not None and version() < since:
            major, minor = version()
            raise NotSupportedError(
                f"{struct}.{field} needs libbpf {since[0]}.{since[1]}; this one is {major}.{minor}"
            )
        if isinstance(value, str):
            value = c_string(value, field)
            keep.append(value)
        setattr(filled, field, value)
    return filled, keep


def c_string(text: str, what: str) -> Any:
    """``text`` as a C string, which ends at its first NUL and so may hold none.

    Raises:
        ValueError: there is a NUL in it.
    """
    ffi, _ = load()
    if "\0" in text:
        raise ValueError(f"there is a NUL in the {what} {text!r}")
    return ffi.new("char[]", os.fsencode(text))
