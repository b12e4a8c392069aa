"""What a kernel has, as its BTF tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibbpf.btf.core import Target
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Enum, Enum64, Kind
from pylibbpf.errors import BtfError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Kernel", "version_of"]


class Kernel:
    """A kernel's BTF and its modules', and what follows from it.

    ``version`` is the kernel's where it is known otherwise: BTF does not tell it.
    """

    def __init__(
        self,
        btf: Btf,
        modules: Mapping[str, Btf] | None = None,
        version: tuple[int, int, int] | None = None,
    ) -> None:
        self.btf = btf
        self.version = version
        self.modules = dict(modules or {})
        self.target = Target(btf, self.modules)
        self._numbers: dict[str, frozenset[int] | None] = {}

    @classmethod
    def parse(
        cls, data: bytes, modules: Mapping[str, bytes] | None = None, name: str = ""
    ) -> Kernel:
        """Read the BTF of a kernel, and that of its modules by their names.

        ``name`` is what the kernel is called: the version is taken from it, if it has one.

        Raises:
            BtfError: it is damaged.
        """
        btf = Btf(data)
        found = {}
        for module, each in (modules or {}).items():
            try:
                found[module] = Btf(each, btf)
            except BtfError as error:
                raise BtfError(f"module {module}: {error}") from None
        return cls(btf, found, version_of(name))

    @property
    def whole(self) -> bool:
        """Whether it can be told what the kernel has not.

        BTF that was cut down to what an object needs (``bpftool gen min_core_btf``) has none of
        the enumerations of the kernel's interface, and no functions.
        """
        return self.numbers("bpf_cmd") is not None

    def numbers(self, enumeration: str) -> frozenset[int] | None:
        """The values of an enumeration of the kernel's interface; None where BTF has it not."""
        if enumeration not in self._numbers:
            found: set[int] | None = None
            for type_id in self.btf.find(enumeration, Kind.ENUM, Kind.ENUM64):
                some = self.btf.type(type_id)
                if isinstance(some, (Enum, Enum64)):
                    # __MAX_BPF_MAP_TYPE and its like count the others.
                    found = {number for name, number in some.values if not name.startswith("__")}
            self._numbers[enumeration] = frozenset(found) if found is not None else None
        return self._numbers[enumeration]

    def lacks(self, enumeration: str, number: int) -> bool:
        """Whether the kernel is known not to know this number."""
        known = self.numbers(enumeration)
        return known is not None and number not in known

    def find(self, name: str, kind: Kind, module: str | None = None) -> Iterator[tuple[Btf, int]]:
        """Yield the types of this name, the kernel's own first; of one module only if it is named.

        "vmlinux" is the kernel itself.
        """
        for owner, btf in (("vmlinux", self.btf), *self.modules.items()):
            if module in (None, owner):
                for type_id in btf.find(name, kind):
                    if btf is self.btf or type_id >= len(self.btf):
                        yield btf, type_id

    def has(self, name: str, kind: Kind, module: str | None = None) -> bool:
        """Whether the kernel or one of its modules has a type of this name."""
        return any(True for _ in self.find(name, kind, module))


def version_of(name: str) -> tuple[int, int, int] | None:
    """Take the version out of a kernel's name, such as ``ubuntu/x86_64/5.4.0-100-generic``.

    Distributions count releases in the third number, or leave it 0.
    """
    last = name.rpartition("/")[2].lstrip(_BEFORE)
    numbers = []
    for part in last.split(".", 2):
        digits = part[: next((at for at, c in enumerate(part) if c not in _DIGITS), len(part))]
        if not digits or len(digits) > _LONGEST:
            break
        numbers.append(int(digits))
        if digits != part:
            break  # 6.8-rc1
    if len(numbers) < 2:
        return None
    return numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0


_BEFORE = "abcdefghijklmnopqrstuvwxyz-_"  # vmlinux-6.1, v6.1
_DIGITS = frozenset("0123456789")
_LONGEST = 4
