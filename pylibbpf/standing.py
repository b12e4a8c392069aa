"""What stands in the kernel by itself: maps, programs and links by their pin or their id."""

from __future__ import annotations

import os
import warnings

from pylibbpf.engine.select import select
from pylibbpf.errors import BpfError, ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pylibbpf.btf.codec import Codec
    from pylibbpf.btf.parse import Btf
    from pylibbpf.engine.abc import Engine, LinkHandle, OpenMapHandle
    from pylibbpf.engine.abc import Standing as Handle
    from pylibbpf.link import Link
    from pylibbpf.object import Object
    from pylibbpf.program import Program

__all__ = [
    "RunStats",
    "links",
    "maps",
    "open_link",
    "open_map",
    "open_program",
    "programs",
    "run_stats",
]


class Standing:
    """What an object is to its parts, for one that belongs to none."""

    def __init__(self, handle: Handle, what: str) -> None:
        self._handle = handle
        self._links: dict[int, Link] = {}
        self._what = what

    @property
    def closed(self) -> bool:
        """True after its close, and in a forked child."""
        try:
            self._handle.alive()
        except ClosedError:
            return True
        return False

    def _need_loaded(self, operation: str, name: str) -> None:
        self._handle.alive()

    def _add_link(self, handle: LinkHandle, name: str) -> Link:
        from pylibbpf.link import Link

        link = Link(self, handle, name)
        self._links[id(link)] = link
        return link

    def _let_go(self) -> None:
        self._handle.close()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(f"unclosed {self._what}", ResourceWarning, source=self, stacklevel=1)
            self._handle.close()


class MapOwner(Standing):
    """Of a map, whose types the kernel keeps."""

    _handle: OpenMapHandle

    def __init__(self, handle: OpenMapHandle, what: str, raw: bool) -> None:
        super().__init__(handle, what)
        self._raw = raw
        self._parsed: Btf | None = None

    def _codec(self, type_id: int) -> Codec | None:
        """The codec of a BTF type; None where entries are bytes."""
        if self._raw or not type_id:
            return None
        if self._parsed is None:
            try:
                data = self._handle.btf()
            except PermissionError as error:
                error.add_note(
                    f"{self._what}: its types can only be asked for by id; "
                    "open_map(..., raw=True) needs them not, and gives bytes"
                )
                raise
            if data is None:
                return None
            from pylibbpf.btf.parse import Btf

            self._parsed = Btf(data)
        from pylibbpf.btf.codec import codec
        from pylibbpf.btf.types import Datasec

        if isinstance(self._parsed.type(type_id), Datasec):
            return None  # global data of an object: a section has no C type
        return codec(self._parsed, type_id)


def _where(where: str | os.PathLike[str] | int) -> str | int:
    if isinstance(where, int) and not isinstance(where, bool):
        if not 0 < where < 1 << 32:
            raise ValueError(f"an id is a number from 1 to 4294967295, not {where}")
        return where
    if isinstance(where, str | os.PathLike):
        return os.fsdecode(where)
    raise TypeError(f"a path or an id is wanted, not {type(where).__name__}")


def open_map(
    where: str | os.PathLike[str] | int,
    *,
    raw: bool = False,
    flags: int = 0,
    engine: str | Engine | None = None,
) -> Any:
    """Open the map that is pinned at a path, or that has the id ``where``.

    It is of the same class as ``obj.maps[name]`` would be, typed by the BTF that the kernel
    keeps of it; with ``raw`` keys and values are bytes. ``flags`` are BPF_F_RDONLY or
    BPF_F_WRONLY. Close it, or use it with ``with``: the map itself stays as long as it is
    pinned, open or used by a program.

    Privileges: CAP_BPF and the right to read and write the pin's file; by id, and for the types,
    CAP_SYS_ADMIN.

    Raises:
        BpfError: ENOENT, there is none; EINVAL, it is no map; EACCES, EPERM.
    """
    from pylibbpf.map import map_class

    found = _where(where)
    handle = select(engine).open_map(found, flags)
    owner = MapOwner(handle, f"map {found!r}", raw)
    # Whatever of an object a map needs, its owner has.
    return map_class(handle.type)(owner, handle)  # type: ignore[arg-type]


def open_program(
    where: str | os.PathLike[str] | int, *, engine: str | Engine | None = None
) -> Program:
    """Open the program that is pinned at a path, or that has the id ``where``.

    It can be asked (``info()``), run (``test_run()``), pinned, and put into the place of another
    (``link.update()``); to attach it otherwise, its object is needed. Close it, or use it with
    ``with``: the program stays as long as it is pinned, attached or open.

    Privileges: CAP_BPF and the right to read and write the pin's file; by id CAP_SYS_ADMIN.

    Raises:
        BpfError: ENOENT, there is none; EINVAL, it is no program; EACCES, EPERM.
    """
    from pylibbpf.program import Program

    found = _where(where)
    handle = select(engine).open_program(found)
    owner = Standing(handle, f"program {found!r}")
    return Program(owner, handle)  # type: ignore[arg-type]  # it needs no more of an object


def open_link(where: str | os.PathLike[str] | int, *, engine: str | Engine | None = None) -> Link:
    """Open the link that is pinned at a path, or that has the id ``where``.

    Its ``update()`` puts another program in place; its ``close()`` lets go of it, and detaches
    only what nobody else has open or pinned; ``detach()`` detaches, ``unpin()`` removes the pin.

    Privileges: the right to read and write the pin's file, and CAP_BPF unless
    kernel.unprivileged_bpf_disabled is 0; by id CAP_SYS_ADMIN. Linux 5.7, by id 5.8.

    Raises:
        BpfError: ENOENT, there is none; EINVAL, it is no link; EACCES, EPERM.
    """
    from pylibbpf.link import link_class
    from pylibbpf.uapi.enums import AttachType, LinkType

    found = _where(where)
    handle = select(engine).open_link(found)
    owner = Standing(handle, f"link {found!r}")
    iterates = handle.type == LinkType.ITER
    return link_class(AttachType.TRACE_ITER if iterates else None)(owner, handle, handle.name)


def maps(*, engine: str | Engine | None = None) -> Iterator[int]:
    """The ids of all maps in the kernel, in rising order, for :func:`open_map`.

    What comes or goes meanwhile may be missed. Privilege: CAP_SYS_ADMIN.

    Raises:
        BpfPermissionError: the kernel does not tell this process.
    """
    return select(engine).ids("map")


def programs(*, engine: str | Engine | None = None) -> Iterator[int]:
    """The ids of all programs in the kernel, for :func:`open_program`; as :func:`maps`."""
    return select(engine).ids("program")


def links(*, engine: str | Engine | None = None) -> Iterator[int]:
    """The ids of all links in the kernel, for :func:`open_link`; as :func:`maps`. Linux 5.8."""
    return select(engine).ids("link")


class RunStats:
    """What :func:`run_stats` gives: the counting ends with it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def close(self) -> None:
        """End the counting, unless somebody else asked for it, too. A second call does nothing."""
        self._handle.close()

    def __enter__(self) -> RunStats:
        self._handle.alive()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def run_stats(*, engine: str | Engine | None = None) -> RunStats:
    """Have the kernel count how often each program runs, and for how long, inside a ``with``.

    ``program.info()`` tells it as ``run_count`` and ``run_time_ns``. It is for all programs, and
    costs each run some 20 nanoseconds. Privilege: CAP_SYS_ADMIN. Linux 5.8.
    """
    return RunStats(select(engine).run_stats())


# ---- all of an object


def pin_all(obj: Object, folder: str) -> dict[str, str]:
    """Pin every map and program of an object; all or none."""
    made = _make(folder)
    done: list[Any] = []
    paths: dict[str, str] = {}
    try:
        for name, part in _parts(obj).items():
            paths[part.name] = os.path.join(folder, name)
            part.pin(paths[part.name])
            done.append(part)
    except BaseException as reason:
        for part in reversed(done):
            try:
                part.unpin(paths[part.name])
            except BpfError as error:
                reason.add_note(f"and then: {error}")
        if made:
            _remove(folder)
        raise
    return paths


def unpin_all(obj: Object, folder: str) -> None:
    """Remove the pins of an object, and the folder if it is empty then."""
    for name, part in _parts(obj).items():
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            part.unpin(path)
    _remove(folder)


def _parts(obj: Object) -> dict[str, Any]:
    """What is pinned under which name."""
    found: dict[str, Any] = {}
    part: Any
    for part in (*obj.maps.values(), *obj.programs.values()):
        # What was left out (autoload, autocreate) is not in the kernel.
        if not (getattr(part, "autoload", True) and getattr(part, "autocreate", True)):
            continue
        name = part.name.replace(".", "_")
        if name in found:
            raise ValueError(
                f"object {obj.name!r} has a map and a program called {name!r}: pin them one by one"
            )
        found[name] = part
    return found


def _make(folder: str) -> bool:
    """Make the folder; whether it was missing."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    except OSError as error:
        raise BpfError(
            error.errno or 0, "make the folder for pins", folder, error.strerror
        ) from None
    return True


def _remove(folder: str) -> None:
    """Remove the folder, unless something is in it."""
    import errno

    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
