"""Whether this kernel lacks something by its version, or by what it was built with."""

from __future__ import annotations

import re

from pylibbpf.engine.kernel.config import read_config
from pylibbpf.engine.kernel.host import Host
from pylibbpf.uapi.struct_ops import STRUCT_OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["why_lacking", "why_no_hook", "why_no_map", "why_no_struct_ops"]


def why_lacking(
    what: str, since: tuple[int, int], option: str = "", host: Host | None = None
) -> str | None:
    """Name the version or the option that is missing; None where neither is known to be."""
    host = host or Host()
    kernel = host.kernel()
    if kernel is not None and kernel < since:
        return f"{what} needs Linux {since[0]}.{since[1]}; this is {host.release()}"
    if option:
        config = read_config(host)
        if config.lacks(option):
            return f"{what} needs {option}, without which this kernel was built ({config.source})"
    return None


def why_no_map(kinds: Iterable[int | str], host: Host | None = None) -> str | None:
    """Why this kernel has not one of these types of maps, by number or name; None: not known."""
    from pylibbpf.engine.kernel.probe.maps import MAPS

    wanted = set(kinds)
    for row in MAPS:
        name = row.type.name.lower()
        if row.type in wanted or name in wanted:
            lacking = why_lacking(f"map type {name}", _version(row.since), row.option, host)
            if lacking is not None:
                return lacking
    return None


def why_no_hook(section: str, host: Host | None = None) -> str | None:
    """Why this kernel has not the hook of a SEC() name; None: not known."""
    from pylibbpf.engine.kernel.probe.hooks import row_of

    row = row_of(section)
    if row is None:
        return None
    return why_lacking(row.name, _version(row.since), row.option or row.load.option, host)


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


# libbpf.c, find_struct_ops_kern_types(): the struct, or the one around it.
_NO_STRUCT = re.compile(r"struct_ops init_kern: struct (?:bpf_struct_ops_)?(\w+) is not found")


def why_no_struct_ops(log: str, host: Host | None = None) -> str | None:
    """Why the kernel's BTF has not the struct of a struct_ops map, by what libbpf said."""
    found = _NO_STRUCT.search(log)
    if found is None:
        return None
    name = found[1]
    if name not in STRUCT_OPS:
        return f"this kernel has no struct {name} of functions that programs could stand for"
    since, option = STRUCT_OPS[name]
    return why_lacking(f"struct_ops of struct {name}", since, option, host)
