"""Programs and links that stand in the kernel by themselves, by a pin or an id.

Maps that do are :mod:`pylibbpf.engine.kernel.openmap`'s.
"""

from __future__ import annotations

import errno
import os
import time

from pylibbpf.engine.fork import track
from pylibbpf.engine.kernel import describe, pins
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.hold import Held
from pylibbpf.engine.kernel.library import load
from pylibbpf.engine.kernel.links import KernelLink, attaching
from pylibbpf.engine.kernel.programs import KernelProgram
from pylibbpf.errors import BpfError, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn


__all__ = [
    "KernelStandingLink",
    "KernelStandingProgram",
    "Lone",
    "RunStats",
    "ids",
]


# How often a link is asked for that is not settled, a millisecond apart.
_TRIES = 500


class Lone(Held):
    """A descriptor that belongs to no object, with what an object does for its parts."""

    load_tried = True  # whatever is here is loaded

    def __init__(self, what: str, name: str) -> None:
        super().__init__()
        self.ffi, self.lib = load()
        self.what, self.name = what, name
        # Closed when it is collected, too: whatever interrupts what follows leaves nothing.
        self.cell = self.ffi.gc(self.ffi.new("int *", -1), self.lib.plb_fd_close)
        self.parts: list[Any] = []  # what else a forked child is to abandon
        track(self)

    def open(self, where: str | int) -> int:
        """Open what is pinned at a path, or has an id, into the cell; gives the descriptor."""
        if isinstance(where, str):
            pins.pinned_fd(self.cell, where, self.what)
        else:
            call = getattr(self.lib, f"plb_fd_{self.what}")
            rc = call(self.cell, where)
            for _ in range(_TRIES):
                if rc != -errno.EAGAIN:
                    break
                # A link that somebody makes at this moment (kernel/bpf/syscall.c, bpf_link_by_id).
                time.sleep(0.001)
                rc = call(self.cell, where)
            check(rc, f"open {self.what} by id", str(where))
        return int(self.cell[0])

    def close(self) -> None:
        with self.lock:
            self.gone = self.gone or "is closed"
            self.lib.plb_fd_close(self.cell)

    def abandon(self) -> None:
        """In a forked child: the parent's is none of ours."""
        super().abandon()
        for part in self.parts:
            part.abandon()
        self.lib.plb_fd_close(self.cell)

    # ---- what an object's parts ask of it

    def forget(self, link: object) -> None:
        self.gone = self.gone or "is closed"

    def facts(self, subject: str | None) -> dict[str, Any]:
        return {}


class RunStats(Lone):
    """The kernel counts programs' run time while this is open (BPF_ENABLE_STATS)."""

    def __init__(self) -> None:
        super().__init__("run_stats", "run time")
        rc = self.lib.plb_fd_stats(self.cell, 0)  # BPF_STATS_RUN_TIME
        check(rc, "enable run stats")


def ids(what: str) -> Iterator[int]:
    """The ids of all maps, programs or links of the kernel, as they are while one goes on."""
    ffi, lib = load()
    short = {"map": "map", "program": "prog", "link": "link"}[what]
    following = getattr(lib, f"bpf_{short}_get_next_id")
    number = ffi.new("uint32_t *")
    while True:
        rc = following(number[0], number)
        if rc == -errno.ENOENT:
            return
        check(rc, f"list {what}s")
        yield int(number[0])


def _label(where: str | int) -> str:
    return where if isinstance(where, str) else f"id {where}"


class _Part:
    """What libbpf would tell of a part of an object, the kernel tells of one by itself."""

    name: str
    _owner: Any
    _known: dict[str, Any]

    def _get(self, function: str) -> Any:
        self._owner.alive()
        return self._known[function]

    def _set(self, function: str, value: Any, what: str) -> NoReturn:
        self._owner.alive()
        raise BpfError(errno.EBUSY, f"set {what} of", self.name, "that can be set until load only")

    def alive(self) -> None:
        self._owner.alive()


class KernelStandingProgram(_Part, KernelProgram):
    """A program by itself."""

    section = ""
    optional = False

    def __init__(self, where: str | int) -> None:
        owner: Any = Lone("program", _label(where))
        fd = owner.open(where)
        self._owner = owner
        self.ffi, self.lib = self._ffi, self._lib = owner.ffi, owner.lib
        info = describe.program_info(fd)
        self.name = owner.name = info.name or _label(where)
        self._known = {
            "bpf_program__type": info.type,
            "bpf_program__autoload": True,
            "bpf_program__autoattach": False,
            "bpf_program__fd": fd,
        }

    def _get(self, function: str) -> Any:
        found = super()._get(function) if function in self._known else None
        if found is None:
            raise NotSupportedError(
                f"{function.removeprefix('bpf_program__').replace('_', ' ')} of program "
                f"{self.name!r}: the kernel does not tell it of a program that was opened by itself"
            )
        return found

    @property
    def autoattach(self) -> bool:
        return bool(self._get("bpf_program__autoattach"))

    @autoattach.setter
    def autoattach(self, value: bool) -> None:
        self._set("bpf_program__set_autoattach", value, "autoattach")

    def instructions(self) -> bytes:
        return bytes(self._get("bpf_program__insns"))

    def attach(self, hook: object = None) -> NoReturn:
        raise NotSupportedError(
            f"program {self.name!r} was opened by itself, and libbpf attaches programs of objects "
            "only: put it in the place of another with link.update(), or load its object again"
        )

    def close(self) -> None:
        self._owner.close()


class KernelStandingLink(KernelLink):
    """A link by itself: its end here is no more than the end of this descriptor."""

    def __init__(self, where: str | int) -> None:
        lone = self._lone = Lone("link", _label(where))
        super().__init__(lone, lone.name)
        # One cell for both: the link closes it, or its collection does.
        self.cell = lone.ffi.gc(self.cell, lone.lib.plb_link_destroy)
        lone.cell = lone.ffi.addressof(self.cell, "fd")
        with attaching:
            self.descriptors = [lone.open(where)]
            lone.parts.append(self)
        if isinstance(where, str):
            self.pin_path = os.path.abspath(where)
        prog_id = describe.link_info(self.cell.fd, lone.name).prog_id
        self.name = lone.name = self._program(prog_id) or lone.name

    def _program(self, id: int) -> str | None:
        """The name of the attached program, where this process may look it up."""
        lone = Lone("program", f"id {id}")
        try:
            return describe.program_info(lone.open(id)).name if id else None
        except BpfError:
            return None
        finally:
            lone.close()

    def alive(self) -> None:
        self._lone.alive()
