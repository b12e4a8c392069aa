"""What an engine is: the Protocols between the façade and the engines.

Engines speak bytes and raise the errors of :mod:`pylibbpf.errors`; types, decoding, iteration
and Python's manners are written once, above. This module describes; nothing needs it at run
time, so it is imported for type checking only.

A handle that was closed, or that a forked child inherited, raises
:class:`~pylibbpf.errors.ClosedError` from every method but ``close``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pylibbpf.ability import Ability, Library
from pylibbpf.hook import Hook
from pylibbpf.info import LinkInfo, ProgramInfo


class ReadingHandle(Protocol):
    """One run of an iterator."""

    def read(self, size: int) -> bytes:
        """The next bytes of its output, ``size`` at most; none at its end."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class LinkHandle(Protocol):
    """A program, or a struct_ops map, that is attached.

    All but ``close`` raise NotSupportedError for an attachment that is no link to the engine.
    """

    name: str
    """Of the program or struct_ops map."""

    @property
    def pin_path(self) -> str | None:
        """Where it was pinned, or opened from."""

    @property
    def fd(self) -> int: ...
    @property
    def id(self) -> int: ...
    @property
    def type(self) -> int: ...
    def info(self) -> LinkInfo: ...
    def update(self, program: ProgramHandle, old: ProgramHandle | None, flags: int) -> None:
        """Put another program in place, at once; only if ``old`` is there, where that is given."""

    def update_map(self, new: MapHandle, old: MapHandle | None) -> None:
        """The same for a struct_ops map."""

    def detach(self) -> None:
        """Detach, and leave the link itself open."""

    def disconnect(self) -> None:
        """Close the handle and leave attached what is."""

    def pin(self, path: str) -> None: ...
    def unpin(self) -> None: ...
    def iterate(self) -> ReadingHandle:
        """Run an iterator: its output comes as it is read."""

    def close(self) -> None:
        """Detach, unless it is pinned. It is closed even where the kernel refused, and raised."""


class XdpHandle(LinkHandle, Protocol):
    """An XDP program that is attached."""

    @property
    def mode(self) -> str | None:
        """How it runs, by what the kernel says; None if it is not attached any more."""


class TcHandle(LinkHandle, Protocol):
    """A filter of tc."""

    @property
    def handle(self) -> int: ...
    @property
    def priority(self) -> int: ...


class ListHandle(LinkHandle, Protocol):
    """A program in the list of an interface."""

    def list(self) -> tuple[int, tuple[int, ...]]:
        """The list's revision, and the ids of its programs in the order in which they run."""


class RunResult(Protocol):
    """What ``test_run`` returned."""

    @property
    def retval(self) -> int: ...
    @property
    def data_out(self) -> bytes: ...
    @property
    def ctx_out(self) -> bytes: ...
    @property
    def duration_ns(self) -> int: ...


class ProgramHandle(Protocol):
    """One program of an object. Setters work until load."""

    name: str
    section: str
    type: int
    expected_attach_type: int
    autoload: bool
    autoattach: bool
    flags: int

    @property
    def optional(self) -> bool:
        """True for ``SEC("?...")``."""

    @property
    def fd(self) -> int: ...
    def info(self) -> ProgramInfo: ...
    def pin(self, path: str) -> None: ...
    def unpin(self, path: str) -> None: ...
    def instructions(self) -> bytes:
        """The program's instructions: as in the file before load, relocated after it."""

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be attached to what its SEC() says; None: nothing is known against it."""

    def set_attach_target(self, function: str | None, fd: int | None) -> None:
        """Say before load which function of the kernel, or of another program, it is for."""

    def attach(self, hook: Hook | None = None) -> LinkHandle:
        """Attach to ``hook``, or to what the SEC() name says."""

    def test_run(
        self,
        data: bytes | None,
        ctx: bytes | None,
        *,
        repeat: int,
        flags: int,
        cpu: int,
        batch_size: int,
    ) -> RunResult: ...


class RecordSource(Protocol):
    """A ring or perf buffer as a stream of records, for one consumer."""

    def fileno(self) -> int:
        """A descriptor that polls readable when there are records."""

    def drain(self) -> tuple[int, bytes, Sequence[int]]:
        """Give a batch of the records that are there, without waiting.

        Returns the batch's number, the records' bytes, and a flat sequence of offset and length
        of each in it. The same batch is given again until :meth:`taken` is called: a caller that
        is interrupted between the two loses nothing, and knows it again by its number.
        """

    def taken(self) -> None:
        """Let go of the batch that was given."""

    def close(self) -> None: ...


class ScalarCalls(Protocol):
    """Lookup and update of a map whose keys and values are plain ints of the right sizes."""

    cell: Any
    odd: int

    @property
    def lookup(self) -> Callable[[Any, Any], Any]:
        """By ``cell`` and key, give the value; ``odd``: none, a failure, or that is the value.

        OverflowError for an int that does not fit.
        """

    @property
    def update(self) -> Callable[[Any, Any, Any], int]:
        """By ``cell``, key and value, give 0, or another number on failure.

        OverflowError for an int that does not fit.
        """


class MapInfo(Protocol):
    """What the engine says of a map that it has."""

    id: int
    type: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int
    ifindex: int
    btf_id: int
    key_type_id: int
    value_type_id: int
    btf_vmlinux_value_type_id: int


class InnerMap(Protocol):
    """What the maps in a map of maps are like."""

    facts: dict[str, int]
    declared: bool
    key_type_id: int
    value_type_id: int

    def set(self, field: str, value: int) -> None: ...
    def set_template(self, fd: int) -> None: ...


class PerfSource(RecordSource, Protocol):
    """A perf buffer: a buffer for each CPU."""

    @property
    def cpus(self) -> Sequence[int]: ...

    def origins(self) -> Sequence[int]:
        """The CPU of each record of the batch that was given and not yet taken."""

    def lost(self) -> Mapping[int, int]:
        """Records lost since it was opened, by CPU, as far as the kernel has said."""


class RecorderHandle(Protocol):
    """A perf buffer in which new records overwrite the oldest."""

    @property
    def cpus(self) -> Sequence[int]: ...
    @property
    def exact(self) -> bool:
        """Whether the kernel counts losses, and not only tells of them in between."""

    def pause(self, pause: bool) -> None:
        """Stop (or go on) writing to it: records are lost, and counted, meanwhile."""

    def snapshot(self, resume: bool) -> list[tuple[int, bytes]]:
        """For each CPU, its memory as the kernel wrote it, from the newest record on.

        Writing stops for the time of the copy, and goes on after it if ``resume``.
        """

    def lost(self) -> Mapping[int, int]: ...
    def close(self) -> None: ...


class Reservation(Protocol):
    """Room in a user ring buffer; records behind it wait. Forgotten, it is discarded."""

    def submit(self, data: bytes) -> None:
        """Fill it: as many bytes as were reserved."""

    def discard(self) -> None: ...


class UserRingHandle(Protocol):
    """A user ring buffer: records that programs drain. Any thread may write to it."""

    size: int

    def fileno(self) -> int:
        """A descriptor that polls writable when there is any room."""

    def send(self, data: bytes) -> bool:
        """Write a record; False where there is no room for it now."""

    def reserve(self, size: int) -> Reservation | None:
        """Room for a record; None where there is none now."""

    def used(self) -> int:
        """Bytes that no program has drained yet, with the headers of their records."""

    def close(self) -> None: ...


class MapHandle(Protocol):
    """One map, of an object or of none. Setters work until load; the rest works after it."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int
    numa_node: int | None
    ifindex: int
    pin_path: str | None
    autocreate: bool
    key_type_id: int
    value_type_id: int

    @property
    def internal(self) -> bool:
        """True for global data (.data, .rodata, .bss, .kconfig), which libbpf makes a map of."""

    @property
    def inner(self) -> InnerMap | None:
        """What the maps in it are like, of a map of maps."""

    @property
    def fd(self) -> int: ...
    def btf(self) -> bytes | None:
        """The BTF that its type ids are of."""

    def reuse(self, fd: int) -> None:
        """Take the map of this descriptor at load, instead of making one."""

    def pin(self, path: str) -> None:
        """Pin it; ``pin_path`` says so then."""

    def unpin(self, path: str) -> None: ...
    @property
    def cpus(self) -> int:
        """How many values a lookup gives: the possible CPUs for a per-CPU map, else 1."""

    @property
    def stride(self) -> int:
        """Bytes of one value in a lookup's result (per-CPU maps round up to 8)."""

    def lookup(self, key: bytes | None, flags: int = 0) -> bytes | None:
        """The value under a key, all CPUs' for a per-CPU map; None if there is none.

        Queues, stacks and bloom filters have no key: None.
        """

    def scalars(self, key: str, value: str) -> ScalarCalls | None:
        """Quick calls for a key and a value that are such numbers (format characters of struct).

        None where the engine has none for them: then it is done by bytes.
        """

    def pop(self, key: bytes | None, flags: int = 0) -> bytes | None:
        """Take the value out of the map."""

    def test(self, value: bytes) -> bool:
        """Whether a bloom filter may hold a value."""

    def update(self, key: bytes | None, value: bytes, flags: int) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def iter_keys(self) -> Iterator[bytes]: ...
    def iter_items(self) -> Iterator[tuple[bytes, bytes]]: ...
    def update_many(self, keys: Sequence[bytes], values: Sequence[bytes], flags: int) -> None: ...
    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Delete those that are there, and give their number."""

    def lookup_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def lookup_cpu(self, key: bytes, cpu: int) -> bytes | None: ...
    def update_cpu(self, key: bytes, value: bytes, cpu: int | None, flags: int) -> None:
        """Write one CPU's value of a per-CPU map, or all CPUs' (None)."""

    def freeze(self) -> None: ...
    def info(self) -> MapInfo: ...
    def fdinfo(self) -> dict[str, int | str]: ...
    def open_id(self, number: int) -> OpenMapHandle: ...
    def create_inner(self, **given: Any) -> OpenMapHandle:
        """Make a map that fits into this map of maps; ``given`` are facts that differ."""

    @property
    def address(self) -> int:
        """Where the map's memory is in this process."""

    def peek(self, offset: int, size: int) -> bytes:
        """Bytes of the memory of a map that is mapped."""

    def poke(self, offset: int, data: bytes) -> None: ...
    def view(self, offset: int, size: int) -> memoryview:
        """The memory itself, which stays as long as the view does."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of global data, before and after load."""

    def write(self, offset: int, data: bytes) -> None: ...
    def attach_struct_ops(self) -> LinkHandle: ...
    def read_initial(self, offset: int, size: int) -> bytes:
        """Bytes of the struct of a struct_ops map, before load."""

    def write_initial(self, offset: int, data: bytes) -> None: ...
    def struct_ops_program(self, offset: int) -> str | None:
        """The name of the program that stands for the function at that place of the struct."""

    def set_struct_ops_program(self, offset: int, name: str | None) -> None: ...
    @property
    def struct_ops_state(self) -> str:
        """Of a loaded struct_ops map: "init", "ready", "in use" or "to be freed"."""

    def open_ring(self) -> RecordSource: ...
    def open_perf(
        self,
        pages: int,
        cpus: Sequence[int] | None,
        wakeup_events: int,
        wakeup_watermark: int | None,
    ) -> PerfSource:
        """Read the CPUs given, or all that are online."""

    def open_recorder(self, pages: int, cpus: Sequence[int] | None) -> RecorderHandle: ...
    def open_user_ring(self) -> UserRingHandle: ...


class Standing(Protocol):
    """What was opened by a pin or an id, and belongs to no object."""

    def alive(self) -> None:
        """Raise ClosedError if it is closed, or belongs to this process's parent."""

    def close(self) -> None: ...


class OpenMapHandle(MapHandle, Standing, Protocol):
    """A map that no object owns."""


class StandingProgram(ProgramHandle, Standing, Protocol):
    """A program by itself."""


class StandingLink(LinkHandle, Standing, Protocol):
    """A link by itself."""


class ObjectHandle(Protocol):
    """A BPF object that was opened."""

    name: str
    load_tried: bool

    @property
    def programs(self) -> Sequence[ProgramHandle]: ...
    @property
    def maps(self) -> Sequence[MapHandle]: ...

    def alive(self) -> None:
        """Raise ClosedError if the object is closed, or belongs to this process's parent."""

    def btf(self) -> bytes | None:
        """The object's BTF, with the offsets of its global data filled in."""

    def load(self) -> None: ...
    def close(self) -> None: ...


class CgroupQuery(Protocol):
    """Programs of one attach type at a cgroup: ids, names and flags (BPF_F_ALLOW_*) of each."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def names(self) -> Sequence[str | None]: ...
    @property
    def program_flags(self) -> Sequence[int]: ...
    @property
    def revision(self) -> int | None: ...


class StaleHandle(Protocol):
    """An attachment that its process did not undo."""

    entry: str
    kind: str
    place: str
    program_id: int
    program_name: str
    pid: int
    command: str
    time: float
    state: str
    reason: str | None

    def detach(self) -> None: ...


class Engine(Protocol):
    """Opens objects, and tells what it can do."""

    @property
    def name(self) -> str: ...
    @property
    def needs_tracefs(self) -> bool:
        """Whether attaching to tracepoints and probes reads the host's tracefs."""

    def open(
        self,
        data: bytes,
        name: str,
        *,
        pin_root_path: str | None,
        kconfig: str | None,
        btf_custom_path: str | None,
    ) -> ObjectHandle: ...
    def create_map(self, kind: int, name: str, key: int, value: int, **facts: Any) -> OpenMapHandle:
        """Make a map of no object, of these sizes."""

    def open_map(self, what: int | str, flags: int = 0) -> OpenMapHandle:
        """Open a map by its id, or by the path of its pin."""

    def query_cgroup(self, cgroup: str | int, attach_type: int, effective: bool) -> CgroupQuery: ...

    def library(self) -> Library:
        """What the engine stands on. Does not raise where that is missing."""

    def abilities(self) -> tuple[Ability, ...]:
        """What works here for this process, and why the rest does not. Changes nothing."""

    def map_of_descriptor(self, fd: int) -> OpenMapHandle:
        """The map of an open descriptor, which is copied."""

    def open_program(self, where: str | int) -> StandingProgram: ...
    def open_link(self, where: str | int) -> StandingLink: ...
    def ids(self, what: str) -> Iterator[int]:
        """The ids of all that there are: ``what`` is "map", "program" or "link"."""

    def run_stats(self) -> Standing:
        """Have the time counted that programs take, until it is closed."""

    def stale(self) -> Sequence[StaleHandle]:
        """What processes that are dead, or of which nothing can be seen, have not undone."""
