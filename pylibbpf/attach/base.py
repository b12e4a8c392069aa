"""What the families of ``attach_*`` methods stand on."""

from __future__ import annotations

import errno

from pylibbpf.errors import BpfError
from pylibbpf.handle import Handle
from pylibbpf.link import Link, link_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from pylibbpf.engine.abc import ProgramHandle
    from pylibbpf.hook import Hook
    from pylibbpf.object import Object

    _L = TypeVar("_L", bound=Link)


class Attachable(Handle):
    """A program that can be attached to a hook."""

    _owner: Object
    _handle: ProgramHandle
    name: str
    section: str

    def _attach_to(self, hook: Hook | None) -> Link:
        """Attach to a hook, or to what the SEC() name says."""
        return self._attach_as(link_class(self._handle.expected_attach_type), hook)

    def _attach_as(self, kind: type[_L], hook: Hook | None) -> _L:
        """Attach to a hook whose links are of a class of their own."""
        self._owner._need_loaded("attach", self.name)
        if not self._handle.autoload:
            why = "the program was not loaded: set its autoload before the object's load"
            raise BpfError(errno.EBADF, "attach", self.name, why)
        link = kind(self._owner, self._handle.attach(hook), self.name)
        self._owner._links[id(link)] = link
        return link

    def _need_type(self, method: str, *kinds: str) -> None:
        """Refuse a program whose type is not the hook's: ``kinds`` are names of ProgType.

        Raises:
            TypeError: it is of another type.
        """
        # Enumerations take 3 ms to import, which obj.attach() can do without: so not at the top.
        from pylibbpf.uapi.enums import ProgType, named

        if self._handle.type not in [ProgType[each] for each in kinds]:
            *most, last = kinds
            wanted = f"{', '.join(most)} or {last}" if most else last
            found = named(ProgType, self._handle.type)
            raise TypeError(
                f"{method}() attaches programs of type {wanted}; {self.name!r} is of type "
                f'{getattr(found, "name", found)} (SEC("{self.section}"))'
            )
