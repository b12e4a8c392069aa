"""Kernel symbols for ``extern ... __ksym``: addresses by name, types by the kernel's BTF.

The rules are those of libbpf 1.7 (libbpf.c: kallsyms_cb, find_ksym_btf_id,
bpf_object__resolve_ksym_var_btf_id, bpf_object__resolve_ksym_func_btf_id).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibbpf.errors import RelocationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["Symbols"]


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
