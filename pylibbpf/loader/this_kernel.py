"""The types of the kernel that runs this: its own, and its modules' when they are needed."""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterator, Mapping

from pylibbpf.btf.core import Target
from pylibbpf.btf.core.target import VMLINUX
from pylibbpf.btf.kept import FOLDER, kernel_btf
from pylibbpf.btf.parse import Btf
from pylibbpf.errors import BtfError

__all__ = ["this_kernel"]


def this_kernel() -> Target:
    """Read the types of the running kernel. Needs no privilege; kernel 5.4, modules 5.11.

    Its own are read once in a process; see :mod:`pylibbpf.btf.kept` for what is kept on disk.

    Raises:
        BtfError: this kernel shows none (CONFIG_DEBUG_INFO_BTF).
    """
    btf = kernel_btf()
    return Target(btf, _Modules(btf))


def _read(name: str) -> bytes:
    path = f"{FOLDER}/{name}"
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:  # unloaded since it was listed
        raise KeyError(name) from None
    except OSError as error:
        raise BtfError(
            f"this kernel's types cannot be read from {path}: {error.strerror}"
        ) from None


class _Items(ItemsView[str, Btf]):
    """Those that are still there: a module that is unloaded meanwhile is passed over."""

    _mapping: Mapping[str, Btf]

    def __iter__(self) -> Iterator[tuple[str, Btf]]:
        for name in self._mapping:
            try:
                btf = self._mapping[name]
            except KeyError:
                continue
            yield name, btf


class _Modules(Mapping[str, Btf]):
    """The BTF of each module, read when it is asked for, by name."""

    def __init__(self, base: Btf) -> None:
        self._base = base
        self._names: list[str] | None = None
        self._read: dict[str, Btf] = {}

    def _all(self) -> list[str]:
        if self._names is None:
            try:
                self._names = sorted(name for name in os.listdir(FOLDER) if name != VMLINUX)
            except OSError as error:
                raise BtfError(f"{FOLDER} cannot be read: {error.strerror}") from None
        return self._names

    def __getitem__(self, name: str) -> Btf:
        if name not in self._all():
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = Btf(_read(name), self._base)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def items(self) -> ItemsView[str, Btf]:
        return _Items(self)

    def __len__(self) -> int:
        return len(self._all())
