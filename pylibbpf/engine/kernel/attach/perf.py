"""Attaching to perf events, which are opened for it."""

from __future__ import annotations

import errno
import os

from pylibbpf.engine.kernel.attach import attaches
from pylibbpf.engine.kernel.cpus import online
from pylibbpf.engine.kernel.opts import opts
from pylibbpf.hook.perf import PerfDescriptor, PerfEvent
from pylibbpf.uapi.perf import PerfType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.programs import KernelProgram

_ANY_CPU = -1
_EVERY_PROCESS = -1
_COUNTERS = "/sys/bus/event_source/devices"
_MAX_RATE = "/proc/sys/kernel/perf_event_max_sample_rate"


@attaches(PerfEvent)
def perf_event(program: KernelProgram, hook: PerfEvent) -> LinkHandle:
    ffi = program.ffi
    cpus = _places(hook)
    event = ffi.new(
        "struct plb_perf_event *",
        {
            "type": hook.type,
            "config": hook.config,
            "config1": hook.config1,
            "config2": hook.config2,
            "sample": hook.period if hook.frequency is None else hook.frequency,
            "frequency": hook.frequency is not None,
            "inherit": hook.inherit,
            "exclude_kernel": hook.exclude_kernel,
            "exclude_user": hook.exclude_user,
            "pid": _EVERY_PROCESS if hook.pid is None else hook.pid,
        },
    )
    numbers = ffi.new("int[]", cpus)
    place = ffi.new("struct plb_perf_place *", {"cpus": numbers})
    fields, _keep = _opts(hook)
    return program.attach_several(
        len(cpus),
        program.lib.plb_attach_perf_events,
        event,
        place,
        fields,
        why=lambda number: None if place.opened else _why(number, hook, cpus[place.failed]),
        system_wide=hook.pid is None,
    )


@attaches(PerfDescriptor)
def perf_descriptor(program: KernelProgram, hook: PerfDescriptor) -> LinkHandle:
    fields, _keep = _opts(hook)
    return program.attach_by(
        program.lib.plb_attach_perf_copy,
        hook.fd,
        fields,
        why=lambda number: (
            f"descriptor {hook.fd} is no perf event's"
            if number in (errno.EBADF, errno.EINVAL, errno.ENOTTY)
            else None
        ),
    )


def _opts(hook: PerfEvent | PerfDescriptor) -> tuple[Any, list[Any]]:
    disabled = None if hook.enable else True
    return opts("bpf_perf_event_opts", bpf_cookie=hook.cookie, dont_enable=disabled)


def _places(hook: PerfEvent) -> list[int]:
    if hook.cpus is None:
        return list(online()) if hook.pid is None else [_ANY_CPU]
    there = online()
    absent = [cpu for cpu in hook.cpus if cpu not in there]
    if absent:
        raise ValueError(
            f"CPU {', '.join(map(str, absent))} is not online; these are: "
            f"{', '.join(map(str, there))}"
        )
    return list(hook.cpus)


def _why(number: int, hook: PerfEvent, cpu: int) -> str | None:
    """Why perf_event_open(2) refused (kernel/events/core.c)."""
    if number in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV) and hook.type != PerfType.SOFTWARE:
        if not os.path.exists(f"{_COUNTERS}/cpu") and hook.type in _HARDWARE:
            return (
                f"this machine has no hardware counters for {hook.name} (a virtual machine "
                "without them?); software events such as cpu-clock are everywhere"
            )
        return (
            f"this machine does not count {hook.name}; what it counts is below {_COUNTERS} "
            "(type and events), and software events such as cpu-clock are everywhere"
        )
    if number == errno.ENOENT:
        return f"this kernel does not know the software event {hook.name}"
    if number == errno.ENODEV:
        return f"CPU {cpu} went offline meanwhile: try again"
    if number == errno.ESRCH:
        return f"there is no process (or thread) {hook.pid}"
    if number == errno.EBUSY:
        return f"the counter for {hook.name} is taken by another event for itself alone"
    if number == errno.ENOSPC:
        return "all hardware counters of the CPU are in use"
    rate = _max_rate()
    if number == errno.EINVAL and hook.frequency is not None and rate and hook.frequency > rate:
        return (
            f"the frequency is more than kernel.perf_event_max_sample_rate allows: {rate} a second"
        )
    if number == errno.EINVAL:
        return f"the kernel does not take these numbers for {hook.name}, or not this period"
    return None


_HARDWARE = frozenset((PerfType.HARDWARE, PerfType.HW_CACHE, PerfType.RAW))


def _max_rate() -> int | None:
    try:
        with open(_MAX_RATE) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
