"""pylibbpf: load CO-RE BPF objects into the Linux kernel, and read what they find.

import pylibbpf

with pylibbpf.open_object("opensnoop.bpf.o") as obj:
    obj.load()
    obj.attach()
    for event in obj.ringbuf("events"):
        print(event.pid, event.comm, event.fname)
"""

from __future__ import annotations

from pylibbpf.errors import (
    BpfError,
    BpfPermissionError,
    BtfError,
    ClosedError,
    ElfError,
    Error,
    NotSupportedError,
    VerifierError,
)
from pylibbpf.object import Attached, AttachError, Object, open_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.attach.devices import TcLink, TcxLink, XdpLink
    from pylibbpf.btf.record import Enumeration, Record
    from pylibbpf.cgroup import CgroupProgram, CgroupPrograms, query_cgroup
    from pylibbpf.checkup import Report, doctor
    from pylibbpf.leftovers import StaleAttachment, stale
    from pylibbpf.link import Link
    from pylibbpf.map import ArrayMap, BloomFilter, HashMap, Map, QueueMap, StructOpsMap
    from pylibbpf.named import Named
    from pylibbpf.perfbuf import CpuRecord, PerfBuffer
    from pylibbpf.program import Program
    from pylibbpf.recorder import FlightRecorder, Recorded
    from pylibbpf.ringbuf import RingBuffer
    from pylibbpf.standing import (
        links,
        maps,
        open_link,
        open_map,
        open_program,
        programs,
        run_stats,
    )
    from pylibbpf.testrun import RunResult
    from pylibbpf.uapi.enums import AttachType, LinkType, MapType, ProgType
    from pylibbpf.userring import UserRingBuffer
    from pylibbpf.variables import Globals

__version__ = "0.1.0"

__all__ = [
    "ArrayMap",
    "AttachError",
    "AttachType",
    "Attached",
    "BloomFilter",
    "BpfError",
    "BpfPermissionError",
    "BtfError",
    "CgroupProgram",
    "CgroupPrograms",
    "ClosedError",
    "CpuRecord",
    "ElfError",
    "Enumeration",
    "Error",
    "FlightRecorder",
    "Globals",
    "HashMap",
    "Link",
    "LinkType",
    "Map",
    "MapType",
    "Named",
    "NotSupportedError",
    "Object",
    "PerfBuffer",
    "ProgType",
    "Program",
    "QueueMap",
    "Record",
    "Recorded",
    "Report",
    "RingBuffer",
    "RunResult",
    "StaleAttachment",
    "StructOpsMap",
    "TcLink",
    "TcxLink",
    "UserRingBuffer",
    "VerifierError",
    "XdpLink",
    "doctor",
    "links",
    "maps",
    "open_link",
    "open_map",
    "open_object",
    "open_program",
    "programs",
    "query_cgroup",
    "run_stats",
    "stale",
]

# Imported when first asked for: a service that loads an object and waits needs none of them.
_LATER = {
    "Record": "btf.record",
    "Named": "named",
    "Globals": "variables",
    "Enumeration": "btf.record",
    "ArrayMap": "map",
    "AttachType": "uapi.enums",
    "BloomFilter": "map",
    "CgroupProgram": "cgroup",
    "CgroupPrograms": "cgroup",
    "CpuRecord": "perfbuf",
    "FlightRecorder": "recorder",
    "HashMap": "map",
    "Link": "link",
    "LinkType": "uapi.enums",
    "Map": "map",
    "MapType": "uapi.enums",
    "PerfBuffer": "perfbuf",
    "ProgType": "uapi.enums",
    "Program": "program",
    "QueueMap": "map",
    "Report": "checkup",
    "Recorded": "recorder",
    "RingBuffer": "ringbuf",
    "RunResult": "testrun",
    "StaleAttachment": "leftovers",
    "TcLink": "attach.devices",
    "TcxLink": "attach.devices",
    "XdpLink": "attach.devices",
    "StructOpsMap": "map",
    "links": "standing",
    "maps": "standing",
    "open_link": "standing",
    "open_map": "standing",
    "open_program": "standing",
    "programs": "standing",
    "UserRingBuffer": "userring",
    "query_cgroup": "cgroup",
    "doctor": "checkup",
    "run_stats": "standing",
    "stale": "leftovers",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
