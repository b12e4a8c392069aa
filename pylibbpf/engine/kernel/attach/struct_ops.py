"""struct_ops maps registered without a link, found again after their process was killed."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.legacy import Place, places
from pylibbpf.engine.kernel.links import KernelLink
from pylibbpf.engine.kernel.openmap import OpenMap
from pylibbpf.errors import BpfError
from pylibbpf.uapi.enums import MapType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.ledger import Record

__all__ = ["Registered", "Registration"]

_IN_USE = 1  # enum bpf_struct_ops_state (include/linux/bpf.h): BPF_STRUCT_OPS_STATE_INUSE


@places
class Registered(Place):
    """A struct_ops map in use, by its id. It keeps itself, and its programs, in the kernel."""

    kind = "struct_ops.map"
    of_program = False

    def __init__(self, map_id: int, name: str) -> None:
        self._id = map_id
        self._name = name

    def facts(self) -> dict[str, Any]:
        return {"map": self._id, "name": self._name}

    @classmethod
    def find(cls, facts: dict[str, Any]) -> Registered:
        return cls(int(facts["map"]), str(facts["name"]))

    def __str__(self) -> str:
        return f"struct_ops map {self._name!r} (id {self._id})"

    def holds(self, program_id: int) -> bool:
        found = self._open()
        if found is None:
            return False
        try:
            return self._registered(found)
        finally:
            found.close()

    def remove(self, mark: Any, program_id: int) -> int:
        found = self._open()
        if found is None:
            return -errno.ENOENT
        try:
            there = self._registered(found) and found.delete(bytes(4))
            return 0 if there else -errno.ENOENT
        finally:
            found.close()

    def _open(self) -> OpenMap | None:
        try:
            return OpenMap.by_id(self._id)
        except BpfError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def _registered(self, found: OpenMap) -> bool:
        """Whether it is that map, and not another that has its id by now, and in use."""
        if found.info().type != MapType.STRUCT_OPS or found.told.name != self._name:
            return False
        value = found.lookup(bytes(4)) or bytes(8)
        return int.from_bytes(value[4:8], "little") == _IN_USE


class Registration(KernelLink):
    """A registration that no link of the kernel holds: on the ledger as long as it lasts."""

    record: Record | None = None

    def close(self) -> None:
        super().close()
        if self.record is not None and not self.made:
            self.record.remove()
            self.record = None

    def abandon(self) -> None:
        self.record = None
        super().abandon()
