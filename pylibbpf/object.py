"""Opening, loading, attaching and closing a BPF object."""

from __future__ import annotations

import errno
import os
import warnings
from _thread import RLock  # threading takes 0.7 MB, and every load would pay it

from pylibbpf.engine.select import select
from pylibbpf.errors import BpfError, BtfError, ClosedError, Error, errno_text
from pylibbpf.loader.header import check_header, read_file
from pylibbpf.named import Named
from pylibbpf.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any, BinaryIO, Self

    from typing_extensions import TypeVar

    from pylibbpf.btf.codec import Codec
    from pylibbpf.btf.parse import Btf
    from pylibbpf.engine.abc import Engine, LinkHandle, MapHandle
    from pylibbpf.link import Link
    from pylibbpf.map import Map, QueueMap
    from pylibbpf.program import Program
    from pylibbpf.streams import Stream
    from pylibbpf.variables import Globals

    _O = TypeVar("_O", bound="Object", default="Object")

__all__ = ["AttachError", "Attached", "Object", "open_object"]

# MapType.STRUCT_OPS: enumerations take 3 ms to import, and loading and attaching do without them.
_STRUCT_OPS = 26


def open_object(
    source: str | bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO,
    *,
    engine: str | Engine | None = None,
    name: str | None = None,
    pin_root_path: str | os.PathLike[str] | None = None,
    kconfig: str | None = None,
    btf_custom_path: str | os.PathLike[str] | None = None,
    cls: type[_O] | None = None,
) -> _O:
    """Open a BPF object and give what is in it, to be edited, loaded and attached.

    ``source`` is the path of an object file (``str`` or ``os.PathLike``), its contents
    (``bytes``), or a binary file to read it from. Nothing is loaded yet, and no privilege is
    needed.

    ``engine`` is the name of an engine (``"kernel"``) or an engine; None takes the environment
    variable ``PYLIBBPF_ENGINE``, or the kernel. ``name`` overrides the object's name, which the
    kernel puts before the names of its global data maps (15 bytes at most are kept).
    ``pin_root_path`` is the folder for maps that ask to be pinned by name (default
    /sys/fs/bpf), ``kconfig`` text that overrides the kernel's configuration, and
    ``btf_custom_path`` a BTF file to relocate against instead of this kernel's. ``cls`` is the
    class of what is opened, a subclass of :class:`Object` (``pylibbpf gen`` writes such ones).

    Raises:
        ElfError: not an ELF object for BPF of this machine's byte order, or damaged.
        BtfError: type information that is needed is missing or damaged.
        NotSupportedError: no such engine, or no libbpf for it.
        OSError: the file, or ``btf_custom_path``, cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        label = os.fsdecode(source)
        data = read_file(label)
    elif isinstance(source, bytes | bytearray | memoryview):
        data, label = bytes(source), "object"
    elif hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise TypeError("the object's file is not open in binary mode")
        label = str(getattr(source, "name", "object"))
    else:
        raise TypeError(f"an object is a path, bytes or a binary file, not {type(source).__name__}")
    check_header(data, label)
    for what, option in (("name", name), ("kconfig", kconfig)):
        if option is not None and not isinstance(option, str):
            raise TypeError(f"{what} is a str, not {type(option).__name__}")
    if btf_custom_path is not None:
        _check_btf(btf_custom_path)
    return (cls or Object)(  # type: ignore[return-value]  # the default of _O
        data,
        name or os.path.basename(label).split(".")[0] or "object",
        select(engine),
        pin_root_path=None if pin_root_path is None else os.fsdecode(pin_root_path),
        kconfig=kconfig,
        btf_custom_path=None if btf_custom_path is None else os.fsdecode(btf_custom_path),
    )


def _check_btf(path: str | os.PathLike[str]) -> None:
    """Libbpf would name no file, and only at load."""
    with open(path, "rb") as file:
        start = file.read(4)
    if start[:2] not in (b"\x9f\xeb", b"\xeb\x9f") and start != b"\x7fELF":
        raise BtfError(f"{os.fsdecode(path)}: neither BTF nor an ELF file that may hold it")


class Attached:
    """What :meth:`Object.attach` did: ``links``, and ``failures`` by program name."""

    __slots__ = ("failures", "links")

    def __init__(self, links: list[Link], failures: dict[str, Error]) -> None:
        self.links = links
        self.failures = failures

    def __repr__(self) -> str:
        return f"<Attached {len(self.links)} links, {len(self.failures)} failures>"


class AttachError(Error):
    """``attach()`` failed; nothing stays attached. ``failures``: exception by program name."""

    def __init__(self, failures: dict[str, Error]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        return "\n".join(f"attach {line}" for line in by_reason(self.failures))


def by_reason(failures: Mapping[str, Error]) -> list[str]:
    """A line for each reason, with the names of those whose failure it is."""
    names: dict[str, list[str]] = {}
    for name, error in failures.items():
        said = str(error)
        if isinstance(error, BpfError) and error.cause:
            said = f"{errno_text(error.errno or 0)}: {error.cause}"
        names.setdefault(said, []).append(name)
    return [f"{', '.join(each)}: {said}" for said, each in names.items()]


class Object(Streams):
    """A BPF object: its programs, maps and global variables.

    Made by :func:`open_object`. Use it as a context manager, or call :meth:`close`: that
    detaches all its links and gives back everything it holds in the kernel. An object that is
    forgotten with programs attached warns (``ResourceWarning``).

    Methods may be called from several threads.
    """

    _closed = _done = True  # until it is open: __del__ sees half-made ones, too

    def __init__(self, data: bytes, name: str, engine: Engine, **options: str | None) -> None:
        self._data = data
        self._links: dict[int, Link] = {}
        self._streams: dict[str, Stream] = {}
        self._asked: dict[str, tuple[Any, ...]] = {}
        self._globals: Globals | None = None
        self._lock = RLock()
        self._engine = engine
        self._handle = engine.open(data, name, **options)
        self._closed = self._done = False
        self._parsed: Btf | None = None
        self._loaded = False
        self.name = name
        """The object's name: that of its file, up to the first dot."""
        self.engine = engine.name
        """The name of the engine that holds it."""
        self.needs_tracefs = engine.needs_tracefs
        """Whether attaching to tracepoints and probes reads this host's tracefs."""
        self._program_table: dict[str, Program] | None = None
        self._map_table: dict[str, Map] | None = None

    # ---- what is in it

    @property
    def programs(self) -> Named[Program]:
        """Programs by name: ``obj.programs["name"]``, ``obj.programs.name``."""
        if self._program_table is None:
            from pylibbpf.program import Program

            table: dict[str, Program] = {}
            for handle in self._handle.programs:
                table[handle.name] = Program(self, handle)
            self._program_table = table  # whole: another thread may look
        return Named(self._program_table, "program")

    @property
    def maps(self) -> Named[Map]:
        """Maps by name: ``obj.maps["name"]``, ``obj.maps.name``.

        Those of global data are there by their section (``.bss``).
        """
        return Named(self._maps, "map")

    @property
    def _maps(self) -> dict[str, Map]:
        if self._map_table is None:
            from pylibbpf.map import map_class

            table: dict[str, Map] = {}
            for handle in self._handle.maps:
                table[handle.name] = map_class(handle.type)(self, handle)
            self._map_table = table  # whole: another thread may look
        return self._map_table

    @property
    def globals(self) -> Globals:
        """Global variables by name, as typed values; see :class:`Globals`."""
        if self._globals is None:
            from pylibbpf.variables import Globals

            self._globals = Globals(self)
        return self._globals

    def map(self, name: str) -> Any:
        """The map of that name, as a collection of typed keys and values.

        Raises:
            KeyError: there is none.
            NotSupportedError: its type has no such entries.
        """
        from pylibbpf.map import typed

        return typed(self.maps[name])

    def queue(self, name: str) -> QueueMap:
        """The queue or stack of that name.

        Raises:
            KeyError: there is no such map.
            TypeError: it is neither.
        """
        from pylibbpf.map.queue import QueueMap

        found = self.maps[name]
        if not isinstance(found, QueueMap):
            raise TypeError(f"map {name!r} is neither a queue nor a stack, but {found!r}")
        return found

    # ---- life

    @property
    def loaded(self) -> bool:
        """True after :meth:`load`."""
        return self._loaded

    @property
    def closed(self) -> bool:
        """True after :meth:`close`, and in a forked child."""
        if not self._closed:
            try:
                self._handle.alive()
            except ClosedError:
                return True
        return self._closed

    def load(self) -> None:
        """Make the maps and load the programs into the kernel.

        Privileges: CAP_BPF; CAP_PERFMON for tracing programs, CAP_NET_ADMIN for networking ones.
        After a failure the object can only be closed.

        A map whose ``pin_path`` is there already is that map; where the two differ, in type,
        sizes, flags or the types of keys and values, the error says in what.

        Raises:
            VerifierError: the kernel's verifier refused a program.
            BpfPermissionError: a privilege is missing; the text says which, where a probe shows it.
            BpfError: the kernel or libbpf refused something else.
        """
        self._check()
        with self._lock:
            if self._handle.load_tried:
                why = (
                    "the object is loaded already"
                    if self._loaded
                    else "its load was tried before and failed; open it again"
                )
                raise BpfError(errno.EINVAL, "load", self.name, why)
            for each in self._handle.maps:
                if each.pin_path is not None:
                    from pylibbpf.reuse import check_pinned

                    check_pinned(self, each, self._engine)
            self._handle.load()
            self._loaded = True

    def attach(self, *, strict: bool = True, skip: Collection[str] = ()) -> Attached:
        """Attach every program whose SEC() says to what, and put struct_ops maps to use.

        Left out are programs with ``autoload`` or ``autoattach`` off (``SEC("?...")`` starts so),
        those whose SEC() names no target, maps with ``autocreate`` off, what has a link already,
        and the names in ``skip``.

        With ``strict``, a failure detaches what this call attached and raises; only that of an
        optional program (``SEC("?...")`` with ``autoload`` turned on) does not. Without, what
        worked stays. The failures that did not end the call are returned.

        Raises:
            BpfError: one program could not be attached; this is why.
            AttachError: several could not; ``failures`` has each one.
        """
        from pylibbpf.program import Program

        self._need_loaded("attach", self.name)
        links: list[Link] = []
        failures: dict[str, Error] = {}
        fatal: dict[str, Error] = {}
        linked = {link.name for link in self._links.values()}
        wanted: list[Any] = [
            program
            for program in self.programs.values()
            if program.autoload and program.autoattach and program.attaches_itself
        ]
        wanted += [
            self._maps[each.name]
            for each in self._handle.maps
            if each.type == _STRUCT_OPS and each.autocreate
        ]
        try:
            for each in wanted:
                if each.name in skip or each.name in linked:
                    continue
                try:
                    links.append(each.attach())
                except ClosedError:
                    raise
                except Error as error:
                    failures[each.name] = error
                    if not (isinstance(each, Program) and each.optional):
                        fatal[each.name] = error
            if fatal and strict:
                if len(fatal) == 1:
                    (only,) = fatal.values()
                    raise only
                raise AttachError(fatal)
        except BaseException as reason:
            for link in reversed(links):
                try:
                    link.close()
                except Error as error:
                    reason.add_note(f"and then: {error}")
            raise
        return Attached(links, failures)

    def pin(self, folder: str | os.PathLike[str]) -> dict[str, str]:
        """Pin every map and program of the loaded object in a folder of a BPF file system.

        The folder is made where it is missing. Names are those of the maps and programs, with
        ``_`` for a dot. Links are pinned one by one (:meth:`Link.pin`). Gives the paths by name;
        all or none is pinned.

        Raises:
            BpfError: one could not be pinned, and why.
        """
        from pylibbpf.standing import pin_all

        self._need_loaded("pin", self.name)
        return pin_all(self, os.fsdecode(folder))

    def unpin(self, folder: str | os.PathLike[str]) -> None:
        """Remove the pins that :meth:`pin` made, and the folder if nothing else is in it.

        What is not pinned there (any more) is passed over.

        Raises:
            BpfError: EINVAL, something else is pinned under one of the names.
        """
        from pylibbpf.standing import unpin_all

        self._need_loaded("unpin", self.name)
        unpin_all(self, os.fsdecode(folder))

    def close(self) -> None:
        """Detach every link, end every stream, unload.

        A second call does nothing, or finishes what an exception in the first one (a signal
        handler's) left to do.
        """
        self._closed = True
        if self._done:
            return
        for stream in list(self._streams.values()):
            stream.close()
        self._handle.close()
        self._links.clear()
        self._done = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._done:
            if self._loaded and not self.closed:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=1)
            self.close()

    # ---- for the other files of the façade

    @property
    def _btf(self) -> Btf | None:
        if self._parsed is None:
            data = self._handle.btf()
            if data is None:
                return None
            from pylibbpf.btf.parse import Btf

            self._parsed = Btf(data)
        return self._parsed

    def _codec(self, type_id: int) -> Codec | None:
        """The codec of a BTF type; None for type 0, which is "none given"."""
        btf = self._btf
        if not type_id or btf is None:
            return None
        from pylibbpf.btf.codec import codec

        return codec(btf, type_id)

    def _handle_of(self, name: str) -> MapHandle:
        return self._maps[name]._handle

    def _add_link(self, handle: LinkHandle, name: str) -> Link:
        from pylibbpf.link import Link

        link = Link(self, handle, name)
        self._links[id(link)] = link
        return link

    def _need_loaded(self, operation: str, name: str) -> None:
        self._check()
        if not self._loaded:
            why = (
                "the object's load failed; open it again"
                if self._handle.load_tried
                else "the object is not loaded yet"
            )
            raise BpfError(errno.EBADF, operation, name, why)

    def _let_go(self) -> None:
        """The close of one map or program, which live as long as the object."""

    def _check(self) -> None:
        if self._closed:
            raise ClosedError(f"object {self.name!r} is closed")
        self._handle.alive()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "loaded" if self._loaded else "open"
        return f"<Object {self.name!r}, {state}>"
