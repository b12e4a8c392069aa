"""What programs and maps of an object have in common."""

from __future__ import annotations

import os

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.engine import KernelObject


class Part:
    """A ``bpf_program`` or ``bpf_map``, which lives as long as its object."""

    def __init__(self, owner: KernelObject, pointer: Any, name: Any) -> None:
        self._owner = owner
        self.ffi = self._ffi = owner.ffi
        self.lib = self._lib = owner.lib
        self.pointer = pointer
        self.name: str = os.fsdecode(self._ffi.string(name(pointer)))

    @property
    def owner(self) -> KernelObject:
        """The object that it is a part of."""
        return self._owner

    def _get(self, function: str) -> Any:
        with self._owner:
            return getattr(self._lib, function)(self.pointer)

    def _set(self, function: str, value: Any, what: str) -> None:
        with self._owner, Capture() as capture:
            try:
                rc = getattr(self._lib, function)(self.pointer, value)
            except (TypeError, OverflowError) as error:  # cffi's, which does not say of what
                raise type(error)(f"{what} of {self.name!r}: {value!r} cannot be one") from None
        if rc < 0 and self._owner.load_tried:
            raise BpfError(-rc, f"set {what} of", self.name, "that can be set until load only")
        check(rc, f"set {what} of", self.name, capture)
        capture.log()
