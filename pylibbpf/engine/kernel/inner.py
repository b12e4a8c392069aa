"""The declared type of the maps in a map of maps, and maps made of it."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.openmap import OpenMap
from pylibbpf.errors import BpfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.kernel.maps import KernelMap

# Field -> libbpf's function for it, without "bpf_map__".
_FIELDS = {
    "type": "type",
    "key_size": "key_size",
    "value_size": "value_size",
    "max_entries": "max_entries",
    "flags": "map_flags",
    "map_extra": "map_extra",
}


class InnerMap:
    """What the maps in a map of maps are like.

    libbpf frees its own definition of the inner map when the outer one is made, so the facts
    are kept here. Without a declaration (``__array(values, struct inner)``) all are 0 until a
    template is set.
    """

    def __init__(self, outer: KernelMap, pointer: Any) -> None:
        lib = outer.lib
        self._outer = outer
        self._template: OpenMap | None = None
        self._changed = False
        self.declared = bool(pointer != outer.ffi.NULL)
        self.facts: dict[str, int] = dict.fromkeys(_FIELDS, 0)
        self.key_type_id = self.value_type_id = 0
        if self.declared:
            self.facts = {
                name: int(getattr(lib, f"bpf_map__{call}")(pointer))
                for name, call in _FIELDS.items()
            }
            self.key_type_id = int(lib.bpf_map__btf_key_type_id(pointer))
            self.value_type_id = int(lib.bpf_map__btf_value_type_id(pointer))

    def set(self, field: str, value: int) -> None:
        """Change the definition, until load."""
        with self._outer.owner:
            self._changeable(f"set {field} of", self.name)
            if not self.declared:
                raise BpfError(errno.EINVAL, f"set {field} of", self.name, "it is not declared")
            self.facts[field] = value
            self._changed = True
            if field in ("key_size", "value_size"):
                # Of another size it is no longer what BTF says, but bytes.
                setattr(self, field.replace("_size", "_type_id"), 0)

    def _changeable(self, operation: str, name: str) -> None:
        if self._outer.owner.load_tried:
            raise BpfError(errno.EBUSY, operation, name, "that can be set until load only")

    def set_template(self, fd: int) -> None:
        """Have the maps be like the map of a descriptor, which is copied. Until load."""
        with self._outer.owner:
            self._changeable("set template of", self._outer.name)
            template = OpenMap.by_fd(fd)
            self._use(template)
            self.declared, self._changed = True, False
            self.facts = {name: int(getattr(template, name)) for name in _FIELDS}
            self.key_type_id = self.value_type_id = 0

    def _use(self, template: OpenMap) -> None:
        outer = self._outer
        with Capture() as capture:
            rc = outer.lib.bpf_map__set_inner_map_fd(outer.pointer, template.fd)
        check(rc, "set template of", outer.name, capture)
        # libbpf keeps the number, and does not close it.
        self._template = template

    def loading(self) -> None:
        """Before the object's load: have the outer map made for what was set.

        The setters of libbpf 1.1 crash on an inner map: it has no object there, which they look
        at. So a map that is made here serves as the template, with any libbpf.
        """
        if self._changed:
            self._changed = False
            self._use(self.create())

    @property
    def name(self) -> str:
        """As libbpf calls it."""
        return f"{self._outer.name}.inner"

    def create(self, **given: Any) -> OpenMap:
        """Make such a map; ``given`` are facts that differ, and its ``name``."""
        name = given.pop("name", None) or self._outer.name[:15]
        facts = {**self.facts, **{field: n for field, n in given.items() if n is not None}}
        fields: dict[str, Any] = {}
        # libbpf loads the object's BTF with the object.
        btf_fd = self._outer.owner.btf_fd if self._outer.owner.load_tried else -1
        if btf_fd >= 0 and self.key_type_id and self.value_type_id:
            fields = {
                "btf_fd": btf_fd,
                "btf_key_type_id": self.key_type_id,
                "btf_value_type_id": self.value_type_id,
            }
        made = OpenMap.create(
            facts["type"],
            name,
            facts["key_size"],
            facts["value_size"],
            facts["max_entries"],
            flags=facts["flags"],
            map_extra=facts["map_extra"] or None,
            **fields,
        )
        made.key_type_id, made.value_type_id = self.key_type_id, self.value_type_id
        return made
