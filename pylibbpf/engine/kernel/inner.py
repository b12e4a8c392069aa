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
        self._pointer = pointer
        self._template: OpenMap | None = None
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
        outer = self._outer
        with outer.owner as owner:
            if owner.load_tried:
                raise BpfError(
                    errno.EBUSY, f"set {field} of", self.name, "that can be set until load only"
                )
            if not self.declared:
                raise BpfError(errno.EINVAL, f"set {field} of", self.name, "it is not declared")
            call = getattr(outer.lib, f"bpf_map__set_{_FIELDS[field]}")
            with Capture() as capture:
                rc = call(self._pointer, value)
            check(rc, f"set {field} of", self.name, capture)
            self.facts[field] = value
            if field in ("key_size", "value_size"):
                # Of another size it is no longer what BTF says, but bytes.
                setattr(self, field.replace("_size", "_type_id"), 0)

    def set_template(self, fd: int) -> None:
        """Have the maps be like the map of a descriptor, which is copied. Until load."""
        outer = self._outer
        template = OpenMap.by_fd(fd)
        with outer.owner, Capture() as capture:
            if outer.owner.load_tried:
                raise BpfError(
                    errno.EBUSY, "set template of", outer.name, "that can be set until load only"
                )
            rc = outer.lib.bpf_map__set_inner_map_fd(outer.pointer, template.fd)
        check(rc, "set template of", outer.name, capture)
        # libbpf keeps the number, and does not close it.
        self._template, self._pointer, self.declared = template, None, True
        self.facts = {name: int(getattr(template, name)) for name in _FIELDS}
        self.key_type_id = self.value_type_id = 0

    def loading(self) -> None:
        """Before the object's load, after which libbpf has no inner map any more."""
        self._pointer = None

    @property
    def name(self) -> str:
        """As libbpf calls it."""
        return f"{self._outer.name}.inner"

    def create(self, **given: Any) -> OpenMap:
        """Make such a map; ``given`` are facts that differ, and its ``name``."""
        name = given.pop("name", None) or self._outer.name[:15]
        facts = {**self.facts, **{field: n for field, n in given.items() if n is not None}}
        fields: dict[str, Any] = {}
        btf_fd = self._outer.owner.btf_fd
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
