"""Attaching to sockets, to maps of sockets, and to network namespaces."""

from __future__ import annotations

import errno
import os
import stat

from pylibbpf.engine.kernel.attach import attaches
from pylibbpf.engine.kernel.attach.types import attach_type
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.legacy import LegacyAttachment, Place, places
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.links import attaching
from pylibbpf.engine.kernel.netns import Netns
from pylibbpf.engine.kernel.nolink import NoLink
from pylibbpf.engine.kernel.openmap import OpenMap
from pylibbpf.engine.kernel.query import called, query
from pylibbpf.errors import BpfError, ClosedError, NotSupportedError
from pylibbpf.hook.sockets import FlowDissector, Reuseport, SkLookup, SocketFilter, Sockmap
from pylibbpf.uapi.enums import AttachType, MapType, named
from pylibbpf.uapi.targets import SOCKMAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.programs import KernelProgram

# include/uapi/asm-generic/socket.h
_SO_ATTACH_BPF, _SO_DETACH_BPF = 50, 27
_SO_ATTACH_REUSEPORT_EBPF, _SO_DETACH_REUSEPORT_BPF = 52, 68


# ---- network namespaces


@attaches(SkLookup)
def sk_lookup(program: KernelProgram, hook: SkLookup) -> LinkHandle:
    with _NetnsFd(hook.netns) as fd:
        return program.link_to(fd, AttachType.SK_LOOKUP, netns=fd)


@attaches(FlowDissector)
def flow_dissector(program: KernelProgram, hook: FlowDissector) -> LinkHandle:
    if hook.link:
        with _NetnsFd(hook.netns) as fd:
            return program.link_to(fd, AttachType.FLOW_DISSECTOR, netns=fd)
    place = FlowDissectorPlace(Netns(hook.netns))
    try:
        there = place.programs()
        if there:
            # The kernel would let this one take its place, unasked.
            raise BpfError(
                errno.EEXIST,
                "attach",
                program.name,
                f"the network namespace has a flow dissector: {called(there)}",
            )
    except BaseException:
        place.close()
        raise
    return LegacyAttachment.make(program, place, netns=True)


class _NetnsFd:
    """A descriptor of a network namespace, for the block: also of our own one."""

    def __init__(self, which: str | int | os.PathLike[str] | None) -> None:
        ffi, lib = load()
        self._netns = Netns(which)
        self._own = ffi.gc(ffi.new("int *", -1), lib.plb_fd_close)

    def __enter__(self) -> int:
        if self._netns.fd >= 0:
            return self._netns.fd
        with attaching:  # no child is forked while the descriptor is nobody's
            rc = load()[1].plb_fd_open(self._own, b"/proc/thread-self/ns/net", os.O_RDONLY)
        check(rc, "open network namespace")
        return int(self._own[0])

    def __exit__(self, *exception: object) -> None:
        self._netns.close()
        with attaching:
            load()[1].plb_fd_close(self._own)


@places
class FlowDissectorPlace(Place):
    """What takes packets apart in a network namespace."""

    kind = "sockets.flow_dissector"

    def __init__(self, netns: Netns) -> None:
        self._netns = netns

    def facts(self) -> dict[str, Any]:
        return self._netns.facts()

    @classmethod
    def find(cls, facts: dict[str, Any]) -> FlowDissectorPlace:
        return cls(Netns.find(facts))

    def __str__(self) -> str:
        return f"flow dissector of network namespace {self._netns.name or self._netns.inode}"

    def attach(self, mark: Any, program_fd: int) -> int:
        call = load()[1].plb_netns_prog_attach
        return int(call(mark, self._netns.entrance, program_fd, AttachType.FLOW_DISSECTOR))

    def detach(self, mark: Any, program_fd: int) -> int:
        call = load()[1].plb_netns_prog_detach
        return int(call(mark, self._netns.entrance, program_fd, AttachType.FLOW_DISSECTOR))

    def holds(self, program_id: int) -> bool:
        return program_id in self.programs()

    def programs(self) -> list[int]:
        """Ids of the programs that are there: one or none."""
        entrance = self._netns.entrance
        with _NetnsFd(entrance if entrance >= 0 else None) as fd:
            return query(fd, AttachType.FLOW_DISSECTOR, "query network namespace").ids

    def close(self) -> None:
        self._netns.close()


# ---- maps of sockets


@attaches(Sockmap)
def sockmap(program: KernelProgram, hook: Sockmap) -> LinkHandle:
    kind = attach_type(program, SOCKMAP, hook.attach_type)
    if hook.map.type not in (MapType.SOCKMAP, MapType.SOCKHASH):
        raise BpfError(
            errno.EINVAL,
            "attach",
            program.name,
            f"map {hook.map.name!r} is of type {_name(named(MapType, hook.map.type))}, and holds "
            "no sockets: SOCKMAP and SOCKHASH do",
        )
    facts = {"sockmap": hook.map.name, "attach_type": _name(named(AttachType, kind))}
    if hook.link is not False:
        try:
            return program.link_to(hook.map.fd, kind, **facts)
        except BpfError as error:
            # Kernels before 6.10 have no such links, and say no more than this.
            if hook.link or error.errno != errno.EINVAL:
                raise
    place = SockmapPlace(OpenMap.by_fd(hook.map.fd), kind, hook.map.name)
    return LegacyAttachment.make(program, place, **facts)


@places
class SockmapPlace(Place):
    """An attach type of a map of sockets, by a descriptor of its own."""

    kind = "sockets.sockmap"

    def __init__(self, map: OpenMap, attach_type: int, name: str) -> None:
        self._map = map
        self._type = attach_type
        self._name = name

    def facts(self) -> dict[str, Any]:
        return {"map": self._map.told.id, "name": self._name, "attach_type": self._type}

    @classmethod
    def find(cls, facts: dict[str, Any]) -> SockmapPlace:
        try:
            return cls(OpenMap.by_id(facts["map"]), facts["attach_type"], facts["name"])
        except BpfError as error:
            if error.errno != errno.ENOENT:
                raise
        raise LookupError(f"map {facts['map']} ({facts['name']!r}) is gone")

    def __str__(self) -> str:
        return f"map of sockets {self._name!r} ({_name(named(AttachType, self._type))})"

    def attach(self, mark: Any, program_fd: int) -> int:
        ffi, lib = load()
        return int(lib.plb_prog_attach(mark, program_fd, self._map.fd, self._type, ffi.NULL))

    def detach(self, mark: Any, program_fd: int) -> int:
        return int(load()[1].plb_prog_detach(mark, program_fd, self._map.fd, self._type))

    def holds(self, program_id: int) -> bool:
        return program_id in query(self._map.fd, self._type, "query map", self._name).ids

    def close(self) -> None:
        self._map.close()


# ---- sockets


@attaches(SocketFilter)
def socket_filter(program: KernelProgram, hook: SocketFilter) -> LinkHandle:
    return SocketAttachment.make(program, hook.socket, _SO_ATTACH_BPF, _SO_DETACH_BPF)


@attaches(Reuseport)
def reuseport(program: KernelProgram, hook: Reuseport) -> LinkHandle:
    return SocketAttachment.make(
        program, hook.socket, _SO_ATTACH_REUSEPORT_EBPF, _SO_DETACH_REUSEPORT_BPF
    )


# The attachment that a socket has by now, by device and inode of the socket, and option: another
# takes the place of the first, which then has nothing to detach.
_latest: dict[tuple[int, int, int], SocketAttachment] = {}


class SocketAttachment(NoLink):
    """A program of one socket (or of its group), which does not keep the socket open."""

    def __init__(self, program: KernelProgram, socket: int, attach: int, detach: int) -> None:
        self._owner = program.owner
        self.name = program.name
        self._socket = socket
        self._attach, self._detach = attach, detach
        self._mark = self._owner.ffi.new("struct plb_mark *")
        try:
            found = os.fstat(socket)
        except OSError:
            raise BpfError(errno.EBADF, "attach", self.name, "the socket is closed") from None
        if not stat.S_ISSOCK(found.st_mode):
            why = f"descriptor {socket} is no socket"
            raise BpfError(errno.ENOTSOCK, "attach", self.name, why)
        self._key = (found.st_dev, found.st_ino, attach)

    @classmethod
    def make(
        cls, program: KernelProgram, socket: int, attach: int, detach: int
    ) -> SocketAttachment:
        """Attach by the socket option ``attach``, to be undone by ``detach``."""
        self = cls(program, socket, attach, detach)
        with self._owner as owner:
            # Before it is made: whatever interrupts us, the object's close undoes it.
            owner.keep(self)
            before = _latest.get(self._key)
            try:
                _latest[self._key] = self
                with Capture() as capture:
                    rc = owner.lib.plb_socket_attach(self._mark, socket, attach, program.fd)
                check(rc, "attach", self.name, capture, **self._facts())
            except BaseException:
                self.close()
                if before is not None:
                    _latest[self._key] = before
                raise
        return self

    def _facts(self) -> dict[str, Any]:
        facts = self._owner.facts(self.name)
        reuseport = self._attach == _SO_ATTACH_REUSEPORT_EBPF
        return {**facts, "socket": self._socket, "reuseport": reuseport}

    @property
    def fd(self) -> int:
        self._owner.alive()
        if not self._mark.made:
            raise ClosedError(f"the attachment of {self.name!r} is closed")
        raise NotSupportedError(
            f"the attachment of {self.name!r} has no descriptor: the socket holds it"
        )

    def close(self) -> None:
        """Detach, if the socket is open and no other program took this one's place."""
        owner = self._owner
        with owner.lock:
            if owner.gone:
                return
            rc = 0
            if self._is_there():
                rc = owner.lib.plb_socket_detach(self._mark, self._socket, self._detach)
            self._gone()
            owner.forget(self)
        if rc != -errno.ENOENT:
            check(rc, "detach", self.name, **self._facts())

    def _is_there(self) -> bool:
        """Whether the descriptor is still the socket's, and the program the last one."""
        if not self._mark.made or _latest.get(self._key) is not self:
            return False
        try:
            found = os.fstat(self._socket)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._key[:2]

    def _gone(self) -> None:
        self._mark.made = 0
        if _latest.get(self._key) is self:
            del _latest[self._key]

    def abandon(self) -> None:
        """In a forked child, which shares the socket: it is the parent's to undo."""
        self._gone()


def _name(value: int) -> str:
    return getattr(value, "name", str(value))
