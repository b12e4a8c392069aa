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
    BudgetError,
    ClosedError,
    ElfError,
    Error,
    InsnError,
    MemoryFault,
    NotSupportedError,
    RelocationError,
    RunError,
    VerifierError,
)
from pylibbpf.object import Attached, AttachError, Object, open_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.attach.devices import TcLink, TcxLink, XdpLink
    from pylibbpf.btf.record import Enumeration, Record
    from pylibbpf.cgroup import CgroupProgram, CgroupPrograms, query_cgroup
    from pylibbpf.checkup import Report, doctor
    from pylibbpf.iterator import IterLink
    from pylibbpf.leftovers import StaleAttachment, stale
    from pylibbpf.link import Link
    from pylibbpf.loader.portability import Portability, portability
    from pylibbpf.loader.static_linker import link_objects
    from pylibbpf.map import (
        Arena,
        ArrayMap,
        ArrayOfMaps,
        BloomFilter,
        BuildIdFrame,
        CgroupArray,
        CgroupStorage,
        CpuMap,
        DevMap,
        DevMapHash,
        HashMap,
        HashOfMaps,
        InodeStorage,
        LpmTrie,
        Map,
        OldCgroupStorage,
        PerCpu,
        PerfEventArray,
        PidFd,
        ProgramArray,
        QueueMap,
        ReuseportArray,
        SocketStorage,
        SockHash,
        SockMap,
        StackTraceMap,
        StructOpsMap,
        TaskStorage,
        XskMap,
        create_map,
    )
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
    from pylibbpf.uapi.enums import AttachType, CgroupIterOrder, LinkType, MapType, ProgType
    from pylibbpf.userring import UserRingBuffer
    from pylibbpf.variables import Globals

__version__ = "0.1.0"

__all__ = [
    "Arena",
    "ArrayMap",
    "ArrayOfMaps",
    "AttachError",
    "AttachType",
    "Attached",
    "BloomFilter",
    "BpfError",
    "BpfPermissionError",
    "BtfError",
    "BudgetError",
    "BuildIdFrame",
    "CgroupArray",
    "CgroupIterOrder",
    "CgroupProgram",
    "CgroupPrograms",
    "CgroupStorage",
    "ClosedError",
    "CpuMap",
    "CpuRecord",
    "DevMap",
    "DevMapHash",
    "ElfError",
    "Enumeration",
    "Error",
    "FlightRecorder",
    "Globals",
    "HashMap",
    "HashOfMaps",
    "InodeStorage",
    "InsnError",
    "IterLink",
    "Link",
    "LinkType",
    "LpmTrie",
    "Map",
    "MapType",
    "MemoryFault",
    "Named",
    "NotSupportedError",
    "Object",
    "OldCgroupStorage",
    "PerCpu",
    "PerfBuffer",
    "PerfEventArray",
    "PidFd",
    "Portability",
    "ProgType",
    "Program",
    "ProgramArray",
    "QueueMap",
    "Record",
    "Recorded",
    "RelocationError",
    "Report",
    "ReuseportArray",
    "RingBuffer",
    "RunError",
    "RunResult",
    "SockHash",
    "SockMap",
    "SocketStorage",
    "StackTraceMap",
    "StaleAttachment",
    "StructOpsMap",
    "TaskStorage",
    "TcLink",
    "TcxLink",
    "UserRingBuffer",
    "VerifierError",
    "XdpLink",
    "XskMap",
    "create_map",
    "doctor",
    "link_objects",
    "links",
    "maps",
    "open_link",
    "open_map",
    "open_object",
    "open_program",
    "portability",
    "programs",
    "query_cgroup",
    "run_stats",
    "stale",
]

# Imported when first asked for: a service that loads an object and waits needs none of them.
_LATER = {
    "Arena": "map",
    "ArrayMap": "map",
    "ArrayOfMaps": "map",
    "AttachType": "uapi.enums",
    "BloomFilter": "map",
    "BuildIdFrame": "map",
    "CgroupArray": "map",
    "CgroupIterOrder": "uapi.enums",
    "CgroupProgram": "cgroup",
    "CgroupPrograms": "cgroup",
    "CgroupStorage": "map",
    "CpuMap": "map",
    "CpuRecord": "perfbuf",
    "DevMap": "map",
    "DevMapHash": "map",
    "Enumeration": "btf.record",
    "FlightRecorder": "recorder",
    "Globals": "variables",
    "HashMap": "map",
    "HashOfMaps": "map",
    "InodeStorage": "map",
    "IterLink": "iterator",
    "Link": "link",
    "LinkType": "uapi.enums",
    "LpmTrie": "map",
    "Map": "map",
    "MapType": "uapi.enums",
    "Named": "named",
    "OldCgroupStorage": "map",
    "PerCpu": "map",
    "PerfBuffer": "perfbuf",
    "PerfEventArray": "map",
    "PidFd": "map",
    "Portability": "loader.portability",
    "ProgType": "uapi.enums",
    "Program": "program",
    "ProgramArray": "map",
    "QueueMap": "map",
    "Record": "btf.record",
    "Recorded": "recorder",
    "Report": "checkup",
    "ReuseportArray": "map",
    "RingBuffer": "ringbuf",
    "RunResult": "testrun",
    "SockHash": "map",
    "SockMap": "map",
    "SocketStorage": "map",
    "StackTraceMap": "map",
    "StaleAttachment": "leftovers",
    "StructOpsMap": "map",
    "TaskStorage": "map",
    "TcLink": "attach.devices",
    "TcxLink": "attach.devices",
    "UserRingBuffer": "userring",
    "XdpLink": "attach.devices",
    "XskMap": "map",
    "create_map": "map",
    "doctor": "checkup",
    "link_objects": "loader.static_linker",
    "links": "standing",
    "maps": "standing",
    "open_link": "standing",
    "open_map": "standing",
    "open_program": "standing",
    "portability": "loader.portability",
    "programs": "standing",
    "query_cgroup": "cgroup",
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
