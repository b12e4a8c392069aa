"""What an object expects the kernel to have, looked up: configuration, variables, functions.

The order is libbpf's (cmp_externs): its index of an extern shows in instructions.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pylibbpf.btf.types import Void
from pylibbpf.errors import ElfError, RelocationError
from pylibbpf.loader.kconfig import Kconfig, Layout
from pylibbpf.loader.ksyms import Symbols, find_function, find_variable
from pylibbpf.loader.releases import Change
from pylibbpf.spec import ExternKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibbpf.btf.core import Target
    from pylibbpf.btf.parse import Btf
    from pylibbpf.loader.releases import Release
    from pylibbpf.spec import ExternSpec, ObjectSpec

__all__ = ["Extern", "Externs"]

# ``off`` of a call has 16 bits, and 0 is the kernel itself.
_MOST_MODULES = (1 << 15) - 1


@dataclasses.dataclass(slots=True)
class Extern:
    """A kernel symbol and what was found of it; nothing, where it is weak.

    ``address`` is that of one without a type; ``type_id`` the BTF id of one with a type, in the
    BTF of ``module``, which is number ``module_index`` of those that functions are called in.
    """

    index: int
    found: bool = False
    address: int = 0
    type_id: int = 0
    module: str = ""
    module_index: int = 0


class Externs:
    """The externs of an object, answered by a kernel.

    Raises:
        ElfError: libbpf would refuse the object.
        RelocationError: the kernel lacks one that is not weak, or has it otherwise.
    """

    def __init__(
        self,
        spec: ObjectSpec,
        config: Kconfig,
        symbols: Symbols,
        kernel: Callable[[], Target],
        release: Release,
    ) -> None:
        self.modules: list[str] = []
        self._flavours = release.has(Change.FUNCTION_FLAVOURS)
        self._kernel = kernel
        for extern in spec.externs:
            if extern.type_id is None or spec.btf is None:
                raise ElfError(
                    f"extern {extern.name!r} has no BTF: declare it __ksym or __kconfig, or link "
                    "in the object that defines it"
                )
        options = [e for e in spec.externs if e.kind is ExternKind.CONFIG]
        self.kconfig = b""
        self._places: dict[str, int] = {}
        if options and spec.btf is not None:
            layout = Layout(spec.btf, options)
            self.kconfig = layout.contents(config)
            self._places = {slot.extern.name: slot.offset for slot in layout.slots}
        others = [e for e in spec.externs if e.kind is not ExternKind.CONFIG]
        others.sort(key=lambda extern: extern.name.encode("utf-8", "replace"))
        self._symbols = {e.name: Extern(at) for at, e in enumerate(others, len(options))}
        if spec.btf is not None:
            self._find_addresses(spec.btf, others, symbols)
            for extern in others:
                if not _is_untyped(spec.btf, extern):
                    self._find_type(spec.btf, extern)

    def option(self, name: str) -> int | None:
        """The place of a configuration value in the map ``.kconfig``; None if it is none."""
        return self._places.get(name)

    def symbol(self, name: str) -> Extern | None:
        return self._symbols.get(name)

    def _find_addresses(self, own: Btf, externs: list[ExternSpec], symbols: Symbols) -> None:
        untyped = [extern for extern in externs if _is_untyped(own, extern)]
        if not untyped:
            return
        addresses = symbols.find({extern.name for extern in untyped})
        for extern in untyped:
            known = self._symbols[extern.name]
            if extern.name in addresses:
                known.found, known.address = True, addresses[extern.name]
            elif not extern.weak:
                raise RelocationError(
                    f"extern {extern.name!r}: the kernel has no symbol of that name; make it "
                    "__weak to go on without it"
                )

    def _find_type(self, own: Btf, extern: ExternSpec) -> None:
        is_function = extern.kind is ExternKind.FUNCTION
        if is_function:
            found = find_function(own, extern, self._kernel(), flavours=self._flavours)
        else:
            found = find_variable(own, extern, self._kernel())
        if found is None:
            return
        known = self._symbols[extern.name]
        known.found = True
        known.module, known.type_id = found
        if is_function and known.module:
            if known.module not in self.modules:
                if len(self.modules) == _MOST_MODULES - 1:
                    raise RelocationError(
                        f"extern {extern.name!r} is in one kernel module too many: a call can name "
                        f"{_MOST_MODULES - 1}"
                    )
                self.modules.append(known.module)
            known.module_index = 1 + self.modules.index(known.module)


def _is_untyped(own: Btf, extern: ExternSpec) -> bool:
    if extern.kind is ExternKind.FUNCTION:
        return False
    return isinstance(own.strip(extern.type_id or 0), Void)
