"""Kernel symbols for ``extern ... __ksym``: addresses by name, types by the kernel's BTF.

The rules are those of libbpf 1.7 (libbpf.c: kallsyms_cb, find_ksym_btf_id,
bpf_object__resolve_ksym_var_btf_id, bpf_object__resolve_ksym_func_btf_id).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibbpf.btf.core.match import compatible
from pylibbpf.btf.core.stop import Budget, Stop
from pylibbpf.btf.names import essential
from pylibbpf.btf.types import Func, Kind, Var
from pylibbpf.errors import RelocationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pylibbpf.btf.core import Target
    from pylibbpf.btf.parse import Btf
    from pylibbpf.spec import ExternSpec

__all__ = ["Symbols", "find_function", "find_type", "find_variable"]


class Symbols:
    """Addresses of kernel symbols by name.

    Without ``addresses``, /proc/kallsyms of the running kernel is read when one is asked for;
    without CAP_SYSLOG all its addresses may be 0 (sysctl kernel.kptr_restrict).
    """

    def __init__(self, addresses: Mapping[str, int] | None = None) -> None:
        self._addresses = addresses

    def find(self, names: Collection[str]) -> dict[str, int]:
        """Give the address of each name that there is.

        Raises:
            RelocationError: a name has several addresses, or the running kernel does not tell.
        """
        if self._addresses is not None:
            return {name: self._addresses[name] for name in names if name in self._addresses}
        try:
            with open("/proc/kallsyms", encoding="ascii", errors="surrogateescape") as file:
                return pick(file, names)
        except OSError as error:
            raise RelocationError(f"/proc/kallsyms cannot be read: {error.strerror}") from None


def pick(lines: Iterable[str], names: Collection[str]) -> dict[str, int]:
    """Find names among lines of /proc/kallsyms: address, letter of the kind, name, module.

    Raises:
        RelocationError: a name has several addresses.
    """
    found: dict[str, int] = {}
    for line in lines:
        words = line.split(None, 3)
        if len(words) < 3:
            raise RelocationError(f"/proc/kallsyms has a line of another form: {line!r}")
        name = words[2]
        # LTO gives local data a suffix: "name.llvm.123".
        if words[1] == "d" and ".llvm." in name:
            name = name[: name.index(".llvm.")]
        if name not in names:
            continue
        address = int(words[0], 16)
        known = found.setdefault(name, address)
        if known != address:
            raise RelocationError(
                f"extern {name!r}: the kernel has several symbols of that name, at {known:#x} "
                f"and {address:#x}"
            )
    return found


def find_type(kernel: Target, name: str, kind: Kind) -> tuple[str, Btf, int] | None:
    """Find a kernel's type by its name: which module's it is ("" the kernel's own), BTF and id.

    Modules are asked for what the kernel itself does not have (find_ksym_btf_id).
    """
    found = kernel.btf.find(name, kind)
    if found:
        return "", kernel.btf, found[0]
    for module, btf in kernel.modules.items():
        own = [type_id for type_id in btf.find(name, kind) if type_id >= btf.first_id]
        if own:
            return module, btf, own[0]
    return None


def find_variable(own: Btf, extern: ExternSpec, kernel: Target) -> tuple[str, int] | None:
    """Find a kernel variable of the type that the object knows: its module and BTF id.

    None where there is none, and the object can do without.

    Raises:
        RelocationError: there is none, or of another type.
    """
    found = find_type(kernel, extern.name, Kind.VAR)
    if found is None:
        if extern.weak:
            return None
        raise _missing(extern, "variable", "in its BTF (only per-CPU ones are there)")
    module, btf, type_id = found
    variable = btf.type(type_id)
    assert isinstance(variable, Var)
    assert extern.type_id is not None
    if not _compatible(own, own.resolve(extern.type_id), btf, btf.resolve(variable.type_id)):
        raise RelocationError(
            f"extern {extern.name!r}: the object knows it as {own.c_name(extern.type_id)!r}, this "
            f"kernel as {btf.c_name(variable.type_id)!r}"
        )
    return module, type_id


def find_function(
    own: Btf, extern: ExternSpec, kernel: Target, *, flavours: bool = True
) -> tuple[str, int] | None:
    """Find a kernel function with the parameters that the object knows: its module and BTF id.

    None where there is none, or another, and the object can do without. Without ``flavours``
    (libbpf before 1.3), a ``___flavour`` is part of the name, and another is an error.

    Raises:
        RelocationError: there is none, or with other parameters.
    """
    found = find_type(kernel, essential(extern.name) if flavours else extern.name, Kind.FUNC)
    if found is None:
        if extern.weak:
            return None
        raise _missing(extern, "function", "in its BTF")
    module, btf, type_id = found
    function = btf.type(type_id)
    assert isinstance(function, Func)
    assert extern.type_id is not None
    if not _compatible(own, own.resolve(extern.type_id), btf, function.type_id):
        if extern.weak and flavours:
            return None
        raise RelocationError(
            f"extern {extern.name!r}: the object knows it as {own.c_name(extern.type_id)!r}, this "
            f"kernel as {btf.c_name(function.type_id)!r}"
        )
    return module, type_id


def _missing(extern: ExternSpec, what: str, where: str) -> RelocationError:
    return RelocationError(
        f"extern {extern.name!r}: this kernel has no {what} of that name {where}; make it __weak "
        "to go on without it"
    )


def _compatible(own: Btf, own_id: int, btf: Btf, type_id: int) -> bool:
    budget = Budget()
    budget.start()
    try:
        return compatible(own, own_id, btf, type_id, budget)
    except Stop:  # too deep to compare: libbpf takes that for another type
        return False
