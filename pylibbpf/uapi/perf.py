"""Events of perf_event_open(2), and the names that perf(1) has for them.

Facts of include/uapi/linux/perf_event.h, Linux 6.12, and of tools/perf/util/parse-events.c.
"""

from __future__ import annotations

import enum

__all__ = ["PerfHardware", "PerfSoftware", "PerfType", "perf_event"]


class PerfType(enum.IntEnum):
    """Kinds of events (enum perf_type_id). More are in /sys/bus/event_source/devices/*/type."""

    HARDWARE = 0
    SOFTWARE = 1
    TRACEPOINT = 2
    HW_CACHE = 3
    RAW = 4
    BREAKPOINT = 5


class PerfHardware(enum.IntEnum):
    """Counters that most processors have (enum perf_hw_id)."""

    CPU_CYCLES = 0
    INSTRUCTIONS = 1
    CACHE_REFERENCES = 2
    CACHE_MISSES = 3
    BRANCH_INSTRUCTIONS = 4
    BRANCH_MISSES = 5
    BUS_CYCLES = 6
    STALLED_CYCLES_FRONTEND = 7
    STALLED_CYCLES_BACKEND = 8
    REF_CPU_CYCLES = 9


class PerfSoftware(enum.IntEnum):
    """What the kernel counts itself, on every machine (enum perf_sw_ids)."""

    CPU_CLOCK = 0
    TASK_CLOCK = 1
    PAGE_FAULTS = 2
    CONTEXT_SWITCHES = 3
    CPU_MIGRATIONS = 4
    PAGE_FAULTS_MIN = 5
    PAGE_FAULTS_MAJ = 6
    ALIGNMENT_FAULTS = 7
    EMULATION_FAULTS = 8
    DUMMY = 9
    BPF_OUTPUT = 10
    CGROUP_SWITCHES = 11


_ALIASES = {
    "cycles": PerfHardware.CPU_CYCLES,
    "branches": PerfHardware.BRANCH_INSTRUCTIONS,
    "ref-cycles": PerfHardware.REF_CPU_CYCLES,
    "idle-cycles-frontend": PerfHardware.STALLED_CYCLES_FRONTEND,
    "idle-cycles-backend": PerfHardware.STALLED_CYCLES_BACKEND,
    "faults": PerfSoftware.PAGE_FAULTS,
    "minor-faults": PerfSoftware.PAGE_FAULTS_MIN,
    "major-faults": PerfSoftware.PAGE_FAULTS_MAJ,
    "cs": PerfSoftware.CONTEXT_SWITCHES,
    "migrations": PerfSoftware.CPU_MIGRATIONS,
}
_NAMES: dict[str, PerfHardware | PerfSoftware] = {
    each.name.lower().replace("_", "-"): each
    for each in (*PerfHardware, *PerfSoftware)
    if each is not PerfHardware.REF_CPU_CYCLES
} | _ALIASES

# enum perf_hw_cache_id, perf_hw_cache_op_id and perf_hw_cache_op_result_id: the config of a cache
# event is cache | operation << 8 | result << 16.
_CACHES = ("L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node")
_OPERATIONS = {"load": 0, "store": 1, "prefetch": 2}


def perf_event(name: str) -> tuple[int, int]:
    """Give type and config of the event that perf(1) knows by this name.

    ``"cpu-clock"``, ``"cycles"``; ``"L1-dcache-loads"``, ``"LLC-load-misses"``; ``"r01c2"``: a
    raw event, in hexadecimal.

    Raises:
        ValueError: there is none; the message names those that are near.
    """
    known = _NAMES.get(name)
    if known is not None:
        kind = PerfType.HARDWARE if isinstance(known, PerfHardware) else PerfType.SOFTWARE
        return kind, known
    cached = _cache_events().get(name)
    if cached is not None:
        return PerfType.HW_CACHE, cached
    if name.startswith("r") and name[1:] and not set(name[1:]) - set("0123456789abcdefABCDEF"):
        return PerfType.RAW, int(name[1:], 16)
    import difflib

    near = difflib.get_close_matches(name, [*_NAMES, *_cache_events()], 3)
    hint = f"did you mean {', '.join(near)}?" if near else "names are those of perf list"
    raise ValueError(f"there is no perf event {name!r}; {hint}")


def _cache_events() -> dict[str, int]:
    found = {}
    for cache, cache_name in enumerate(_CACHES):
        for operation, number in _OPERATIONS.items():
            config = cache | number << 8
            plural = f"{operation}es" if operation.endswith("ch") else f"{operation}s"
            found[f"{cache_name}-{plural}"] = config
            found[f"{cache_name}-{operation}-misses"] = config | 1 << 16
    return found
