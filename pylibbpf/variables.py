"""Global variables of an object, typed, whatever their section."""

from __future__ import annotations

import errno
from collections.abc import Iterator, MutableMapping

from pylibbpf.btf.types import Datasec, Var
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.btf.codec import Codec
    from pylibbpf.object import Object

__all__ = ["Globals"]


class _Variable:
    __slots__ = ("codec", "offset", "section", "size", "type_id")

    def __init__(self, section: str, type_id: int, offset: int, size: int) -> None:
        self.section = section
        self.type_id = type_id
        self.offset = offset
        self.size = size
        self.codec: Codec | None = None


class Globals(MutableMapping):  # type: ignore[type-arg]  # typed by BTF, not statically
    """``obj.globals``: variables of .data, .rodata, .bss, .kconfig and custom data sections.

    ``obj.globals["name"]`` or ``obj.globals.name``, to read and to set; a name that is that of a
    method here (``section``), or starts with an underscore, is had by ``[...]`` only.

    Before load they hold the initial values, and all but .kconfig can be set. After it those
    of .data and .bss are live: what is set is seen by the program at once, what the program
    writes is read here. Integers of up to 8 bytes are read and written in one access.

    Raises ``KeyError`` for a name that is not there, ``TypeError`` or ``OverflowError`` for a
    value that does not fit, ``BpfError`` (EPERM) for a constant that is set after load.
    """

    def __init__(self, owner: Object) -> None:
        self._owner = owner
        self._variables: dict[str, _Variable] = {}
        btf = owner._btf
        if btf is None:
            return
        sections = {handle.name for handle in owner._handle.maps if handle.internal}
        for _, section in btf.types():
            if not isinstance(section, Datasec) or section.name not in sections:
                continue
            for place in section.vars:
                variable = btf.type(place.type_id)
                if isinstance(variable, Var):
                    self._variables[variable.name] = _Variable(
                        section.name, variable.type_id, place.offset, place.size
                    )

    def _find(self, name: str) -> _Variable:
        if not isinstance(name, str):
            raise TypeError(f"the name of a global is a str, not {type(name).__name__}")
        try:
            variable = self._variables[name]
        except KeyError:
            import difflib

            near = difflib.get_close_matches(name, self._variables, 3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise KeyError(f"the object has no global variable {name!r}{hint}") from None
        if variable.codec is None:
            variable.codec = self._owner._codec(variable.type_id)
        return variable

    def __getitem__(self, name: str) -> Any:
        variable = self._find(name)
        data = self._owner._handle_of(variable.section).read(variable.offset, variable.size)
        return data if variable.codec is None else variable.codec.decode(data)

    def __setitem__(self, name: str, value: Any) -> None:
        variable = self._find(name)
        section = variable.section
        tried = self._owner._handle.load_tried
        if section == ".kconfig" or (tried and section.startswith(".rodata")):
            when = "at load" if section == ".kconfig" else "before load"
            raise BpfError(
                errno.EPERM, "set global", name, f"variables of {section} are set {when} only"
            )
        data = bytes(value) if variable.codec is None else variable.codec.encode(value)
        self._owner._handle_of(section).write(variable.offset, data)

    if not TYPE_CHECKING:  # which then knows only what a generated module says

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            try:
                return self[name]
            except KeyError as error:
                raise AttributeError(error.args[0]) from None

        def __setattr__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                super().__setattr__(name, value)
                return
            if hasattr(type(self), name):
                raise AttributeError(f"{name} is a method here; set the variable by [{name!r}]")
            try:
                self[name] = value
            except KeyError as error:
                raise AttributeError(error.args[0]) from None

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._variables})

    def section(self, name: str) -> dict[str, Any]:
        """Variables of one section (``".bss"``) and their values now."""
        return {
            each: self[each] for each, place in self._variables.items() if place.section == name
        }

    def __delitem__(self, name: str) -> None:
        raise TypeError("global variables cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, name: object) -> bool:
        return name in self._variables

    def __repr__(self) -> str:
        return f"<Globals {', '.join(self._variables)}>"
