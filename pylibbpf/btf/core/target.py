"""The types that an object is to run against: a kernel's and its modules'."""

from __future__ import annotations

from pylibbpf.btf.core.match import alike
from pylibbpf.btf.names import essential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pylibbpf.btf.parse import Btf
    from pylibbpf.btf.types import Kind

__all__ = ["VMLINUX", "Target"]

VMLINUX = "vmlinux"


class Target:
    """A kernel's types: ``btf`` its own, ``modules`` those of its modules, by name.

    A module's types are looked at only where the kernel itself has none of the name. Give no
    modules for what libbpf does with ``btf_custom_path``: it looks at that file alone.
    """

    __slots__ = ("_found", "btf", "modules")

    def __init__(self, btf: Btf, modules: Mapping[str, Btf] | None = None) -> None:
        self.btf = btf
        # Not copied: to read all modules of a kernel takes long, and few objects need one.
        self.modules = modules or {}
        self._found: dict[tuple[str, Kind], tuple[tuple[str, Btf, int], ...]] = {}

    def candidates(self, name: str, kind: Kind) -> tuple[tuple[str, Btf, int], ...]:
        """List the types that may be the one of this name: whose it is, BTF and id, in order.

        Flavours (what follows ``___``) do not count. An enum and an enum64 may be the same.
        """
        wanted = essential(name), kind
        found = self._found.get(wanted)
        if found is None:
            found = tuple(self._in(VMLINUX, self.btf, *wanted))
            if not found:
                found = tuple(
                    each for module in self.modules.items() for each in self._in(*module, *wanted)
                )
            self._found[wanted] = found
        return found

    @staticmethod
    def _in(owner: str, btf: Btf, name: str, kind: Kind) -> list[tuple[str, Btf, int]]:
        ids = btf.find_flavours(name)
        return [(owner, btf, type_id) for type_id in ids if alike(btf.kind(type_id), kind)]
