"""What dead processes left attached, by their entries in the ledger and by what the kernel says."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel import ledger
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.info import program_by_id, program_info
from pylibbpf.engine.kernel.legacy import Place, place_of
from pylibbpf.engine.kernel.library import load
from pylibbpf.errors import BpfError, Error, NotSupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.kernel.ledger import Entry

__all__ = ["KernelStale", "stale"]


def stale() -> list[KernelStale]:
    """One for each entry whose process does not live, as far as that can be seen."""
    found, broken = ledger.entries()
    living = {
        (entry.kind, entry.program["id"]): entry.process.pid
        for entry in found
        if entry.process.alive()
    }
    left = [KernelStale(entry.name, entry, living) for entry in found if not entry.process.alive()]
    for name, why in broken.items():
        left.append(KernelStale(name, None, living))
        left[-1].reason = f"the entry cannot be read: {why}"
    return left


class KernelStale:
    """An attachment that a process wrote down and did not undo."""

    def __init__(self, name: str, entry: Entry | None, living: dict[tuple[str, int], int]) -> None:
        self.entry = name
        self.state = "unknown"
        self.reason: str | None = None
        self.kind = self.place = self.program_name = self.command = ""
        self.program_id = self.pid = 0
        self.time = 0.0
        self._living = living
        self._entry = entry
        if entry is not None:
            self.kind = entry.kind
            self.place = str(entry.place.get("interface") or entry.place.get("path") or "")
            self.program_id = int(entry.program["id"])
            self.program_name = str(entry.program["name"])
            self.pid = entry.process.pid
            self.command = entry.process.command
            self.time = entry.time
            self._judge(entry)

    def _judge(self, entry: Entry) -> None:
        place: Place | None = None
        try:
            place = self._find(entry)
            if place is not None:
                self.place = str(place)
                self.state = "attached" if self._is_there(entry, place) else "gone"
                self.reason = None if self.state == "attached" else "nothing is attached any more"
        except Error as error:
            self.state, self.reason = "unknown", str(error)
        finally:
            if place is not None:
                place.close()

    def _find(self, entry: Entry) -> Place | None:
        """The place, open; None where the state is known without it, or cannot be."""
        process = entry.process
        if process.since_another_boot:
            self.state, self.reason = "gone", "the machine was started again since"
            return None
        if process.alive() is None:
            self.reason = f"process {process.pid} is of another PID namespace, or hidden"
            return None
        # By netlink or a pinned program, two processes may have attached the same program.
        other = self._living.get((entry.kind, self.program_id))
        if other is not None:
            self.reason = f"process {other}, which lives, has attached the same program"
            return None
        try:
            return place_of(entry.kind, entry.place)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, Error):
                raise
            self.reason = f"the entry cannot be read: {type(error).__name__}: {error}"
        except LookupError as error:
            self.state, self.reason = "gone", str(error)
        except NotSupportedError as error:
            self.reason = str(error)
        except BpfError as error:
            # It cannot be reached. If the program is no more, it is attached nowhere.
            if self._loaded(entry) is False:
                self.state, self.reason = "gone", "the program is not loaded any more"
            else:
                self.reason = str(error)
        return None

    def _is_there(self, entry: Entry, place: Place) -> bool:
        """Whether it is attached, and not another that has its id by now."""
        if not place.holds(self.program_id):
            return False
        return not place.of_program or self._loaded(entry) is not False

    def _loaded(self, entry: Entry) -> bool | None:
        """Whether the program is loaded still; None where that may not be asked."""
        try:
            with program_by_id(self.program_id) as fd:
                if fd is None:
                    return False
                found = program_info(fd)
        except BpfError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                return None
            raise
        return all(entry.program[name] == value for name, value in found.facts().items())

    def detach(self) -> None:
        """Detach it, if it is still there, and take its entry off the ledger.

        Raises:
            BpfError: the kernel refused.
            NotSupportedError: it is not known whether it is there.
        """
        if self.state == "attached":
            assert self._entry is not None
            self.state = "unknown"
            place = self._find(self._entry)
            if place is not None:
                self._detach_from(place, self._entry)
        if self.state == "unknown":
            raise NotSupportedError(f"{self.entry}: {self.reason}")
        ledger.remove(self.entry)

    def _detach_from(self, place: Place, entry: Entry) -> None:
        ffi, _ = load()
        mark = ffi.new("struct plb_mark *")
        try:
            with Capture() as capture:
                there = self._is_there(entry, place)
                rc = place.remove(mark, self.program_id) if there else 0
                if rc >= 0 or -rc in place.gone:
                    rc = 0
                    place.tidy()
            check(rc, "detach", self.program_name, capture)
            self.state, self.reason = "gone", None
        finally:
            place.close()
