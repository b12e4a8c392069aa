"""What sets kinds of maps apart, as far as the kernel engine minds."""

from __future__ import annotations

from pylibbpf.uapi.enums import MapType

# Whose batch lookup walks bucket by bucket, each under its lock (kernel/bpf/hashtab.c,
# __htab_map_lookup_and_delete_batch): what is there throughout comes exactly once. The generic
# batch of other types starts again from the first key when the one under its cursor is deleted.
BATCH_HASH = frozenset(
    (MapType.HASH, MapType.LRU_HASH, MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH)
)
BATCH_ARRAY = frozenset((MapType.ARRAY, MapType.PERCPU_ARRAY))
ARRAYS = BATCH_ARRAY | {
    MapType.PROG_ARRAY,
    MapType.PERF_EVENT_ARRAY,
    MapType.CGROUP_ARRAY,
    MapType.ARRAY_OF_MAPS,
    MapType.SOCKMAP,
    MapType.DEVMAP,
    MapType.CPUMAP,
    MapType.XSKMAP,
}
