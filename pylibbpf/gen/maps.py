"""Annotations of maps: the class that the façade gives a map, and what is in it."""

from __future__ import annotations

from pylibbpf.gen.types import Types
from pylibbpf.map import map_class
from pylibbpf.spec import MapSpec
from pylibbpf.uapi.kinds import PER_CPU

__all__ = ["annotation"]

# The type arguments of the classes of maps.
_ARGUMENTS = {
    "ArrayMap": "{value}",
    "BloomFilter": "{value}",
    "CgroupStorage": "{value}",
    "HashMap": "{key}, {value}",
    "InodeStorage": "{value}",
    "LpmTrie": "{key}, {value}",
    "OldCgroupStorage": "{key}, {value}",
    "QueueMap": "{value}",
    "SocketStorage": "{value}",
    "TaskStorage": "{value}",
}


def annotation(spec: MapSpec, known: Types) -> str:
    """Give the annotation of ``obj.maps[spec.name]``."""
    cls = map_class(spec.type).__name__
    arguments = _ARGUMENTS.get(cls)
    if arguments is None:
        return f"pylibbpf.{cls}"
    key, value = known.of(spec.key_type_id), known.of(spec.value_type_id)
    if spec.type in PER_CPU:
        value = f"pylibbpf.PerCpu[{value}]"
    return f"pylibbpf.{cls}[{arguments.format(key=key, value=value)}]"
