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
    from pylibbpf.map.arena import Arena
    from pylibbpf.map.base import Map
    from pylibbpf.map.bloom import BloomFilter
    from pylibbpf.map.create import create_map
    from pylibbpf.map.devices import CpuMap, DevMap, DevMapHash
    from pylibbpf.map.entries import ArrayMap, HashMap
    from pylibbpf.map.lpm import LpmTrie
    from pylibbpf.map.outer import ArrayOfMaps, HashOfMaps
    from pylibbpf.map.percpu import PerCpu
    from pylibbpf.map.queue import QueueMap
    from pylibbpf.map.references import CgroupArray, PerfEventArray, ProgramArray
    from pylibbpf.map.sockets import ReuseportArray, SockHash, SockMap, XskMap
    from pylibbpf.map.stack import BuildIdFrame, StackTraceMap
    from pylibbpf.map.storage import (
        CgroupStorage,
        InodeStorage,
        OldCgroupStorage,
        PidFd,
        SocketStorage,
        TaskStorage,
    )
    from pylibbpf.map.struct_ops import StructOpsMap

__all__ = [
    "Arena",
    "ArrayMap",
    "ArrayOfMaps",
    "BloomFilter",
    "BuildIdFrame",
    "CgroupArray",
    "CgroupStorage",
    "CpuMap",
    "DevMap",
    "DevMapHash",
    "HashMap",
    "HashOfMaps",
    "InodeStorage",
    "LpmTrie",
    "Map",
    "OldCgroupStorage",
    "PerCpu",
    "PerfEventArray",
    "PidFd",
    "ProgramArray",
    "QueueMap",
    "ReuseportArray",
    "SockHash",
    "SockMap",
    "SocketStorage",
    "StackTraceMap",
    "StructOpsMap",
    "TaskStorage",
    "XskMap",
    "create_map",
    "map_class",
]

# Name -> the file that has it.
_FILES = {
    "Arena": "arena",
    "ArrayMap": "entries",
    "ArrayOfMaps": "outer",
    "BloomFilter": "bloom",
    "BuildIdFrame": "stack",
    "CgroupArray": "references",
    "CgroupStorage": "storage",
    "CpuMap": "devices",
    "DevMap": "devices",
    "DevMapHash": "devices",
    "HashMap": "entries",
    "HashOfMaps": "outer",
    "InodeStorage": "storage",
    "LpmTrie": "lpm",
    "Map": "base",
    "OldCgroupStorage": "storage",
    "PerCpu": "percpu",
    "PerfEventArray": "references",
    "PidFd": "storage",
    "ProgramArray": "references",
    "QueueMap": "queue",
    "ReuseportArray": "sockets",
    "SockHash": "sockets",
    "SockMap": "sockets",
    "SocketStorage": "storage",
    "StackTraceMap": "stack",
    "StructOpsMap": "struct_ops",
    "TaskStorage": "storage",
    "XskMap": "sockets",
    "create_map": "create",
}

# Type -> class. Ring buffers have no entries.
_CLASSES: dict[int, str] = {
    MapType.HASH: "HashMap",
    MapType.LRU_HASH: "HashMap",
    MapType.PERCPU_HASH: "HashMap",
    MapType.LRU_PERCPU_HASH: "HashMap",
    MapType.RHASH: "HashMap",
    MapType.LPM_TRIE: "LpmTrie",
    MapType.ARRAY: "ArrayMap",
    MapType.PERCPU_ARRAY: "ArrayMap",
    MapType.INSN_ARRAY: "ArrayMap",
    MapType.QUEUE: "QueueMap",
    MapType.STACK: "QueueMap",
    MapType.BLOOM_FILTER: "BloomFilter",
    MapType.ARRAY_OF_MAPS: "ArrayOfMaps",
    MapType.HASH_OF_MAPS: "HashOfMaps",
    MapType.PROG_ARRAY: "ProgramArray",
    MapType.PERF_EVENT_ARRAY: "PerfEventArray",
    MapType.CGROUP_ARRAY: "CgroupArray",
    MapType.STACK_TRACE: "StackTraceMap",
    MapType.SOCKMAP: "SockMap",
    MapType.SOCKHASH: "SockHash",
    MapType.REUSEPORT_SOCKARRAY: "ReuseportArray",
    MapType.XSKMAP: "XskMap",
    MapType.DEVMAP: "DevMap",
    MapType.DEVMAP_HASH: "DevMapHash",
    MapType.CPUMAP: "CpuMap",
    MapType.TASK_STORAGE: "TaskStorage",
    MapType.SK_STORAGE: "SocketStorage",
    MapType.INODE_STORAGE: "InodeStorage",
    MapType.CGRP_STORAGE: "CgroupStorage",
    MapType.CGROUP_STORAGE: "OldCgroupStorage",
    MapType.PERCPU_CGROUP_STORAGE: "OldCgroupStorage",
    MapType.ARENA: "Arena",
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
