"""Attachments that no link of the kernel's holds: they stay until somebody detaches them.

A :class:`Place` is where a program is attached: it knows the calls that attach, detach and look
what is there. A :class:`LegacyAttachment` is one program at one place, undone by its ``close()``.
What a process that is killed leaves is found again by its entry in the ledger, which holds the
place as plain data.
"""

from __future__ import annotations

import errno
from importlib import import_module

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.info import program_by_id, program_info
from pylibbpf.engine.kernel.ledger import Record
from pylibbpf.engine.kernel.nolink import NoLink
from pylibbpf.errors import BpfError, ClosedError, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from pylibbpf.engine.kernel.programs import KernelProgram

__all__ = ["LegacyAttachment", "Place", "place_of", "places"]

# What detaching answers where the program is not there (any more): replaced or detached by
# somebody else, or gone with the interface, cgroup or map. Then there is nothing to undo.
_GONE = frozenset((errno.ENOENT, errno.ENODEV))


class Place:
    """Where a program is attached without a link; each kind is a subclass."""

    kind: ClassVar[str]
    """Names the subclass in the ledger: ``"FAMILY.WHAT"``, where engine/kernel/attach/FAMILY.py
    has a class decorated by :func:`places`."""
    of_program: ClassVar[bool] = True
    """Whether the entry's ``program`` is one; False where the place itself knows what is there."""
    gone: ClassVar[frozenset[int]] = _GONE
    """The errno values by which :meth:`detach` says that the program is not there any more."""

    def facts(self) -> dict[str, Any]:
        """What :meth:`find` needs, as JSON can hold it."""
        raise NotImplementedError

    @classmethod
    def find(cls, facts: dict[str, Any]) -> Place:
        """Find again a place that another process wrote down.

        Raises:
            LookupError: it is gone, and what was attached there with it.
            BpfError: it cannot be reached from here, so nobody knows.
        """
        raise NotImplementedError

    def __str__(self) -> str:
        """Where it is, in words: "interface 'eth0' (XDP, native)"."""
        raise NotImplementedError

    def attach(self, mark: Any, program_fd: int) -> int:
        """Attach by a call of C's that sets ``mark`` where it worked; gives 0 or -errno."""
        raise NotImplementedError

    def detach(self, mark: Any, program_fd: int) -> int:
        """Detach that program, and no other; clears ``mark``. Gives 0 or -errno."""
        raise NotImplementedError

    def remove(self, mark: Any, program_id: int) -> int:
        """Detach the program of that id, and no other, for a process that is dead.

        Raises:
            BpfPermissionError: the program cannot be opened by its id, which is needed here.
        """
        with program_by_id(program_id) as fd:
            return self.detach(mark, fd) if fd is not None else -errno.ENOENT

    def holds(self, program_id: int) -> bool:
        """Ask the kernel whether the program is attached here."""
        raise NotImplementedError

    def explain(self, error: BpfError) -> None:
        """Have the error of an attach say more (``error.cause``), where more is known here."""

    def tidy(self) -> None:
        """After detaching, or an attach that failed: undo what attaching did besides."""

    def close(self) -> None:
        """Give back descriptors of the place; a second call does nothing."""


_kinds: dict[str, type[Place]] = {}


def places(kind: type[Place]) -> type[Place]:
    """Register the decorated class as what finds places of its ``kind`` again."""
    _kinds[kind.kind] = kind
    return kind


def place_of(kind: str, facts: dict[str, Any]) -> Place:
    """Find a place again by what the ledger has of it.

    Raises:
        LookupError, BpfError: as :meth:`Place.find` does.
        NotSupportedError: this version knows no places of that kind.
    """
    family = kind.partition(".")[0]
    if kind not in _kinds and family.isidentifier():
        try:
            import_module(f"pylibbpf.engine.kernel.attach.{family}")
        except ImportError:
            pass  # by another version of pylibbpf: the same as a kind that is not there
    if kind not in _kinds:
        raise NotSupportedError(f"this version of pylibbpf knows no attachments of kind {kind!r}")
    return _kinds[kind].find(facts)


class LegacyAttachment(NoLink):
    """One program at one place, until :meth:`close`."""

    def __init__(self, program: KernelProgram, place: Place) -> None:
        self._owner = program.owner
        self._program = program
        self.name = program.name
        self.place = place
        self._mark = self._owner.ffi.new("struct plb_mark *")
        self._record: Record | None = None

    @classmethod
    def make(cls, program: KernelProgram, place: Place, **facts: Any) -> LegacyAttachment:
        """Attach. The place belongs to the attachment, which closes it.

        ``facts`` are for hints about a failure, as in ``KernelObject.attach()``.
        """
        owner = program.owner
        with owner:
            try:
                attachment = cls(program, place)
                identity = program_info(program.fd)
                record = Record(place.kind, place.facts(), dict(identity.facts()))
            except BaseException:
                place.close()
                raise
            # Before it is made: whatever interrupts us from here on, the object's close undoes it.
            owner.keep(attachment)
            try:
                attachment._write(record)
                with Capture() as capture:
                    rc = place.attach(attachment._mark, program.fd)
                attachment.check(rc, capture, facts)
                record.update(place.facts())
            except BaseException as error:
                if isinstance(error, BpfError):
                    place.explain(error)
                attachment.close()
                raise
            capture.log()
            return attachment

    def _write(self, record: Record) -> None:
        self._record = record
        try:
            record.write()
        except BpfError:
            self._record = None
            raise

    def check(self, rc: int, capture: Capture, facts: dict[str, Any]) -> None:
        """Raise what a failed attach means."""
        check(rc, "attach", self.name, capture, **{**self._owner.facts(self.name), **facts})

    @property
    def fd(self) -> int:
        self._need_open()
        raise NotSupportedError(
            f"the attachment of {self.name!r} has no descriptor: no link of the kernel's holds it"
        )

    def _need_open(self) -> None:
        self._owner.alive()
        if not self._mark.made:
            raise ClosedError(f"the attachment of {self.name!r} is closed")

    def close(self) -> None:
        """Detach, if it is still this program that is attached. A second call does nothing."""
        owner = self._owner
        with owner.lock:
            if owner.gone:
                return
            rc, capture = 0, None
            if self._mark.made:
                with Capture() as capture:
                    rc = self.place.detach(self._mark, self._program.fd)
            if rc >= 0 or -rc in self.place.gone:
                rc = 0
                self.place.tidy()
                if self._record is not None:
                    self._record.remove()
                    self._record = None
            # Where the kernel refused, the entry stays: that is what it is for.
            owner.forget(self)
            self.place.close()
        check(rc, "detach", self.name, capture, **owner.facts(self.name))

    def abandon(self) -> None:
        """In a forked child: it is the parent's to undo."""
        self._mark.made = 0
        self._record = None
        self.place.close()
