"""Whether a map that is there already can stand for one of an object, and what differs if not."""

from __future__ import annotations

import errno
import os

from pylibbpf.arguments import descriptor
from pylibbpf.errors import BpfError, BpfPermissionError
from pylibbpf.uapi.enums import MapType, named
from pylibbpf.uapi.flags import BPF_F_RDONLY_PROG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.btf.parse import Btf
    from pylibbpf.engine.abc import Engine, MapHandle
    from pylibbpf.map import Map
    from pylibbpf.object import Object

__all__ = ["check_pinned", "differences", "reuse"]

# Kernels before 6.5 give these maps a flag that nobody asked for (kernel/bpf/devmap.c).
_FLAGGED = frozenset((MapType.DEVMAP, MapType.DEVMAP_HASH))


def reuse(wanted: Map, source: Map | int | str | os.PathLike[str], types: bool) -> None:
    """Have ``wanted``, of an object that is not loaded, be the map ``source``."""
    from pylibbpf.map import Map

    owner = wanted._owner
    owner._check()
    if owner._handle.load_tried:
        cause = "that can be done until load only"
        raise BpfError(errno.EBUSY, "reuse map", wanted.name, cause)
    if isinstance(source, Map):
        _use(owner, wanted._handle, source._handle, types, f"map {source.name!r}")
        return
    if isinstance(source, int) and not isinstance(source, bool):
        fd = descriptor("the source", source)
        opened, where = owner._engine.map_of_descriptor(fd), f"descriptor {fd}"
    elif isinstance(source, str | os.PathLike):
        where = os.fsdecode(source)
        opened = owner._engine.open_map(where)
    else:
        raise TypeError(
            f"a map is reused by a map, a descriptor or a path, not {type(source).__name__}"
        )
    try:
        _use(owner, wanted._handle, opened, types, where)
    finally:
        opened.close()


def _use(owner: Object, wanted: MapHandle, found: MapHandle, types: bool, where: str) -> None:
    _check(owner, wanted, found, types, where)
    wanted.reuse(found.fd)


def check_pinned(owner: Object, wanted: MapHandle, engine: Engine) -> None:
    """Before load, look at what is pinned where a map is to be pinned or found."""
    path = wanted.pin_path
    if path is None or not wanted.autocreate or not os.path.exists(path):
        return
    opened = engine.open_map(path)
    try:
        _check(owner, wanted, opened, True, path)
    finally:
        opened.close()


def _check(owner: Object, wanted: MapHandle, found: MapHandle, types: bool, where: str) -> None:
    if wanted.type == MapType.STRUCT_OPS:
        cause = f"a struct_ops map is of one object: {where} cannot be used by another"
        raise BpfError(errno.EINVAL, "reuse map", wanted.name, cause)
    differ = differences(wanted, found, owner._btf if types else None)
    if differ:
        mend = "" if os.sep not in where else " (remove the pin to start anew)"
        raise BpfError(
            errno.EINVAL,
            "reuse map",
            wanted.name,
            f"{where} is another kind of map: {'; '.join(differ)}{mend}",
        )


def differences(wanted: MapHandle, found: MapHandle, btf: Btf | None) -> list[str]:
    """What differs between the definition and the map that is there, a sentence each.

    With ``btf``, the object's, the types of keys and values are compared as well, where the
    kernel shows them to this process (CAP_SYS_ADMIN).
    """
    told = found.info()
    said: list[str] = []

    def compare(what: str, here: int, there: int, shown: type = int) -> None:
        if here != there:
            said.append(f"its {what} is {_shown(there, shown)}, not {_shown(here, shown)}")

    compare("type", wanted.type, told.type, MapType)
    compare("key size", wanted.key_size, told.key_size)
    compare("value size", wanted.value_size, told.value_size)
    if wanted.max_entries or wanted.type != MapType.PERF_EVENT_ARRAY:
        compare("max_entries", wanted.max_entries, told.max_entries)
    extra = BPF_F_RDONLY_PROG if wanted.type in _FLAGGED else 0
    if wanted.flags & ~extra != told.flags & ~extra:
        said.append(f"its flags are {told.flags:#x}, not {wanted.flags:#x}")
    compare("map_extra", wanted.map_extra, told.map_extra)
    if btf is not None and not said:
        said += _types(wanted, found, btf)
    return said


def _shown(value: int, kind: type) -> str:
    if kind is int:
        return str(value)
    name = getattr(named(MapType, value), "name", None)
    return str(value) if name is None else name.lower()


def _types(wanted: MapHandle, found: MapHandle, btf: Btf) -> list[str]:
    if not (wanted.value_type_id and found.value_type_id):
        return []
    try:
        data = found.btf()
    except BpfPermissionError:
        return []  # the kernel tells types to CAP_SYS_ADMIN only; sizes agree
    if data is None:
        return []
    from pylibbpf.btf.compare import difference
    from pylibbpf.btf.parse import Btf

    theirs = Btf(data)
    for what, here, there in (
        ("key", wanted.key_type_id, found.key_type_id),
        ("value", wanted.value_type_id, found.value_type_id),
    ):
        if here and there and (said := difference(btf, here, theirs, there, what)):
            return [said]
    return []
