"""What sets kinds of maps apart, wherever it is minded."""

from __future__ import annotations

from pylibbpf.uapi.enums import MapType

# A value for each possible CPU, each rounded up to 8 bytes.
PER_CPU = frozenset(
    (
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
    )
)
MAPS_OF_MAPS = frozenset((MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS))
