"""Programs of an object."""

from __future__ import annotations

import os

from pylibbpf.attach.cgroups import CgroupHooks
from pylibbpf.attach.devices import DeviceHooks
from pylibbpf.attach.iterators import IteratorHooks
from pylibbpf.attach.perf import PerfHooks
from pylibbpf.attach.probes import ProbeHooks
from pylibbpf.attach.sockets import SocketHooks
from pylibbpf.attach.tracing import TracingHooks
from pylibbpf.uapi.attaching import attaches_itself

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.info import ProgramInfo
    from pylibbpf.link import Link
    from pylibbpf.object import Object
    from pylibbpf.testrun import RunResult

__all__ = ["Program"]


class Program(
    ProbeHooks, TracingHooks, PerfHooks, CgroupHooks, DeviceHooks, IteratorHooks, SocketHooks
):
    """One program of an object: ``obj.programs["name"]``.

    ``type``, ``expected_attach_type``, ``autoload``, ``autoattach`` and ``flags`` can be set
    until the object is loaded; later the kernel's refusal is raised as ``BpfError``.
    """

    def __init__(self, owner: Object, handle: ProgramHandle) -> None:
        self._owner = owner
        self._handle = handle
        self.name = handle.name
        """The C function's name."""
        self.section = handle.section
        """The SEC() name, without a leading ``?``."""

    @property
    def type(self) -> int:
        """What kind of program it is: a :class:`ProgType`, a plain int if it has no name."""
        from pylibbpf.uapi.enums import ProgType, named

        return named(ProgType, self._handle.type)

    @type.setter
    def type(self, value: int) -> None:
        self._handle.type = value

    @property
    def expected_attach_type(self) -> int:
        """An :class:`AttachType` that the kernel checks the program for at load."""
        from pylibbpf.uapi.enums import AttachType, named

        return named(AttachType, self._handle.expected_attach_type)

    @expected_attach_type.setter
    def expected_attach_type(self, value: int) -> None:
        self._handle.expected_attach_type = value

    @property
    def autoload(self) -> bool:
        """Whether the object's load loads it. False at first for ``SEC("?...")``."""
        return self._handle.autoload

    @autoload.setter
    def autoload(self, value: bool) -> None:
        self._handle.autoload = value

    @property
    def autoattach(self) -> bool:
        """Whether the object's ``attach()`` attaches it. Can be set at any time."""
        return self._handle.autoattach

    @autoattach.setter
    def autoattach(self, value: bool) -> None:
        self._handle.autoattach = value

    @property
    def flags(self) -> int:
        """BPF_F_* flags of BPF_PROG_LOAD, such as BPF_F_SLEEPABLE."""
        return self._handle.flags

    @flags.setter
    def flags(self, value: int) -> None:
        self._handle.flags = value

    @property
    def optional(self) -> bool:
        """True for ``SEC("?...")``: not loaded unless ``autoload`` is set, and if it cannot be
        attached then, the object's ``attach()`` goes on without it.
        """
        return self._handle.optional

    @property
    def attaches_itself(self) -> bool:
        """True where the SEC() name says what to attach to."""
        return attaches_itself(self.section)

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be attached to what its SEC() says here, or None.

        So it is where this libbpf is older than the SEC() name and has no call for it. The object's
        ``load()`` then raises NotSupportedError, unless ``autoload`` or ``autoattach`` is off.
        """
        return self._handle.obstacle

    @property
    def fd(self) -> int:
        """The loaded program's descriptor, owned by the object.

        Raises:
            BpfError: it is not loaded.
        """
        return self._handle.fd

    @property
    def id(self) -> int:
        """The kernel's number of the loaded program."""
        return self._handle.info().id

    def info(self) -> ProgramInfo:
        """What the kernel tells of the loaded program: a :class:`pylibbpf.info.ProgramInfo`.

        How often it ran, and for how long, is counted inside :func:`pylibbpf.run_stats` only.
        """
        return self._handle.info()

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin it: it stays loaded, without any process, until the file ``path`` is removed.

        That keeps it, and attaches it to nothing: for that, pin its link. ``path`` is below a
        BPF file system (/sys/fs/bpf), in a folder that exists; its name has no dot.
        ``pylibbpf.open_program(path)`` gives it to another process.

        Raises:
            BpfError: the path cannot be, and why.
        """
        self._handle.pin(os.fsdecode(path))

    def unpin(self, path: str | os.PathLike[str]) -> None:
        """Remove its pin at ``path``.

        Raises:
            BpfError: ENOENT, there is none; EINVAL, another program is pinned there.
        """
        self._handle.unpin(os.fsdecode(path))

    def instructions(self) -> bytes:
        """The program's instructions, 8 bytes each, in this machine's byte order.

        As in the file before load; after it relocated, with the subprograms appended.
        """
        return self._handle.instructions()

    def attach(self) -> Link:
        """Attach to what the SEC() name says.

        Privileges: those of the program's type (tracing: CAP_PERFMON and CAP_BPF). The link
        closes with the object.

        Raises:
            BpfError: the kernel or libbpf refused; EOPNOTSUPP where SEC() names no target.
        """
        return self._attach_to(None)

    def test_run(
        self,
        data: bytes | None = None,
        ctx: bytes | Mapping[str, Any] | tuple[Any, ...] | None = None,
        *,
        args: Sequence[int] | None = None,
        ctx_type: str | None = None,
        repeat: int = 0,
        cpu: int | None = None,
        flags: int = 0,
        batch_size: int = 0,
        live_frames: bool = False,
    ) -> RunResult:
        """Run it once (or ``repeat`` times) with BPF_PROG_TEST_RUN, attached or not.

        ``data`` is the packet of a networking program, from its Ethernet header on. ``ctx`` is
        the context: bytes, or its fields in a dict (what is left out is zero) or a record. The
        struct is the kernel's for networking programs (``__sk_buff``, ``xdp_md``,
        ``bpf_sk_lookup``), what the function's argument points to for ``SEC("syscall")``, or the
        one that ``ctx_type`` names. ``args`` are the arguments of a raw tracepoint.

        ``cpu`` runs a raw tracepoint's program there. ``live_frames`` sends the packets of XDP
        programs on for real, ``batch_size`` (at most 256, 64 by default) at a time: then nothing
        comes back but ``retval`` and the time.

        Privileges: CAP_BPF, and CAP_NET_ADMIN for networking, CAP_PERFMON for tracing programs.
        Linux 5.10 for raw tracepoints, 5.14 for syscall and sk_lookup, 5.18 for live frames.

        Raises:
            BpfError: ENOTSUPP for types that cannot be run so (tracepoints, kprobes); EINVAL,
                the kernel does not take this packet or context: the text says what it is.
            TypeError: a context of unknown type, or fields that it has not.
        """
        from pylibbpf.testrun import run

        return run(
            self,
            data,
            ctx,
            args=args,
            ctx_type=ctx_type,
            repeat=repeat,
            cpu=cpu,
            flags=flags,
            batch_size=batch_size,
            live_frames=live_frames,
        )

    def close(self) -> None:
        """Let go of a program that ``open_program()`` gave; others close with their object."""
        self._owner._let_go()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Program {self.name!r} SEC({self.section!r})>"
