"""Maps as Python collections of typed keys and values.

The class follows the map's type: hash-like maps are ``MutableMapping``, arrays are mappings
from the index that have no ``del``, queues and stacks push and pop, bloom filters add and
test. What has no class of its own is a plain :class:`Map`, with its definition only.

A file for each shape, imported when a map of that shape is first seen.
"""

from __future__ import annotations

from importlib import import_module

from pylibbpf.errors import NotSupportedError
from pylibbpf.uapi.enums import MapType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.map.base import Map
    from pylibbpf.map.bloom import BloomFilter
    from pylibbpf.map.entries import ArrayMap, HashMap
    from pylibbpf.map.queue import QueueMap
    from pylibbpf.map.struct_ops import StructOpsMap

__all__ = ["ArrayMap", "BloomFilter", "HashMap", "Map", "QueueMap", "StructOpsMap", "map_class"]

# Class -> the file that has it.
_FILES = {
    "ArrayMap": "entries",
    "BloomFilter": "bloom",
    "HashMap": "entries",
    "Map": "base",
    "QueueMap": "queue",
    "StructOpsMap": "struct_ops",
}

# Type -> class. Types that are not here have no entries, or none of a known shape.
_CLASSES: dict[int, str] = {
    MapType.HASH: "HashMap",
    MapType.LRU_HASH: "HashMap",
    MapType.PERCPU_HASH: "HashMap",
    MapType.LRU_PERCPU_HASH: "HashMap",
    MapType.LPM_TRIE: "HashMap",
    MapType.ARRAY: "ArrayMap",
    MapType.PERCPU_ARRAY: "ArrayMap",
    MapType.QUEUE: "QueueMap",
    MapType.STACK: "QueueMap",
    MapType.BLOOM_FILTER: "BloomFilter",
    MapType.STRUCT_OPS: "StructOpsMap",
}


def __getattr__(name: str) -> object:
    file = _FILES.get(name)
    if file is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{file}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def map_class(kind: int) -> type[Map]:
    """The class for a map type; :class:`Map` where entries have no class of their own."""
    name = _CLASSES.get(kind, "Map")
    return globals().get(name) or __getattr__(name)  # type: ignore[return-value]  # of maps only


def typed(found: Map) -> Map:
    """``found`` if its entries can be used from Python, as ``obj.map(name)`` promises.

    Raises:
        NotSupportedError: maps of this type are not read as a collection.
    """
    from pylibbpf.map.base import TypedMap

    if not isinstance(found, TypedMap):
        raise NotSupportedError(
            f"map {found.name!r} ({found!r}) has no entries to read as a collection; ring buffers "
            "are obj.ringbuf(name), perf buffers obj.perfbuf(name), global data obj.globals"
        )
    return found
