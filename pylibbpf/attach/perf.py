"""Attaching to perf events."""

from __future__ import annotations

import operator

from pylibbpf.arguments import cookie as checked_cookie
from pylibbpf.arguments import descriptor, integer
from pylibbpf.attach.base import Attachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pylibbpf.link import Link
    from pylibbpf.uapi.perf import PerfHardware, PerfSoftware


class PerfHooks(Attachable):
    """Perf events."""

    def attach_perf_event(
        self,
        event: str | PerfHardware | PerfSoftware | Sequence[int] | None = None,
        *,
        period: int | None = None,
        frequency: int | None = None,
        cpus: int | Iterable[int] | None = None,
        pid: int | None = None,
        inherit: bool = False,
        exclude_kernel: bool = False,
        exclude_user: bool = False,
        fd: int | None = None,
        cookie: int | None = None,
        enable: bool = True,
    ) -> Link:
        """Open a perf event and run the program (``SEC("perf_event")``) each time it strikes.

        ``event`` is the name that perf(1) has for it (``"cpu-clock"``, ``"page-faults"``,
        ``"cycles"``, ``"LLC-load-misses"``, ``"r01c2"``), a member of ``uapi.perf``, or the
        numbers ``(type, config)``, also with ``config1`` and ``config2``. It strikes every
        ``period`` events (for the clocks: nanoseconds), or about ``frequency`` times a second.

        It watches every CPU that is online, or those in ``cpus``; with ``pid`` that one thread
        (and those that it makes later, with ``inherit``) wherever it runs. The link closes all.

        ``fd`` is an event that is open already, instead of all this. It stays the caller's; the
        link has a copy. It is enabled, unless ``enable`` is false (libbpf 1.6), and disabled when
        the link closes. ``cookie`` is what ``bpf_get_attach_cookie()`` gives (Linux 5.15).

        Privileges: CAP_PERFMON, or kernel.perf_event_paranoid of at most 1 for a thread of one's
        own, 0 for CPUs. Software events strike on every machine, hardware events need a
        processor (or virtual machine) with counters.

        Raises:
            ValueError: no such event, not one of period and frequency, no such CPU.
            BpfError: ENOENT, the machine lacks the counter; ESRCH, there is no such process.
            BpfPermissionError: the kernel refused; the text says why.
        """
        from pylibbpf.hook.perf import PerfDescriptor, PerfEvent

        self._need_type("attach_perf_event", *_types(event))
        cookie = checked_cookie(cookie)
        place = (period, frequency, cpus, pid)
        if fd is not None:
            flags = inherit or exclude_kernel or exclude_user
            if event is not None or flags or any(each is not None for each in place):
                raise TypeError("an event's descriptor is given, or what is to be opened, not both")
            return self._attach_to(PerfDescriptor(descriptor("fd", fd), cookie, bool(enable)))
        if event is None:
            raise TypeError("attach_perf_event() needs an event, or the descriptor of one (fd=)")
        if (period is None) == (frequency is None):
            raise ValueError("say how often it strikes: give one of period and frequency")
        for what, number in (("period", period), ("frequency", frequency)):
            if number is not None:
                integer(what, number, 64, 1)
        if pid is not None:
            integer("pid (0: this thread)", pid, 31)
        if inherit and pid is None:
            raise ValueError("inherit is for the threads that a thread makes: give its pid")
        name, (kind, config, config1, config2) = _event(event)
        return self._attach_to(
            PerfEvent(
                name,
                kind,
                config,
                config1,
                config2,
                period=period,
                frequency=frequency,
                cpus=_cpus(cpus),
                pid=pid,
                inherit=bool(inherit),
                exclude_kernel=bool(exclude_kernel),
                exclude_user=bool(exclude_user),
                cookie=cookie,
                enable=bool(enable),
            )
        )


def _types(event: object) -> tuple[str, ...]:
    """The types of programs that an event takes: tracing programs run at events of their own.

    Which events those are is known for numbers and descriptors to the kernel alone
    (perf_event_set_bpf_prog() in kernel/events/core.c).
    """
    if event is None or isinstance(event, tuple | list):
        return "PERF_EVENT", "TRACEPOINT", "KPROBE"
    return ("PERF_EVENT",)


def _event(event: str | int | Sequence[int]) -> tuple[str, tuple[int, int, int, int]]:
    """An event's name, and its type, config, config1 and config2."""
    from pylibbpf.uapi.perf import PerfHardware, PerfSoftware, PerfType, perf_event

    if isinstance(event, str):
        return event, (*perf_event(event), 0, 0)
    if isinstance(event, PerfSoftware | PerfHardware):
        kind = PerfType.HARDWARE if isinstance(event, PerfHardware) else PerfType.SOFTWARE
        return event.name.lower().replace("_", "-"), (kind, event, 0, 0)
    if isinstance(event, bytes):
        raise TypeError("an event's name is a str, not bytes")
    if isinstance(event, int):
        raise TypeError("an event's number says nothing without its type: give (type, config)")
    numbers = tuple(operator.index(number) for number in event)
    if not 2 <= len(numbers) <= 4:
        raise ValueError("an event is (type, config), or (type, config, config1, config2)")
    if not 0 <= numbers[0] < 1 << 32 or not all(0 <= each < 1 << 64 for each in numbers):
        raise ValueError(f"the numbers of an event are 32 and 64 bits without sign, not {event}")
    number, config, config1, config2 = (*numbers, 0, 0)[:4]
    return f"type {number}, config {config:#x}", (number, config, config1, config2)


def _cpus(cpus: int | Iterable[int] | None) -> tuple[int, ...] | None:
    if cpus is None:
        return None
    wanted = [cpus] if isinstance(cpus, int) else cpus
    found = tuple(dict.fromkeys(operator.index(cpu) for cpu in wanted))
    if not found or min(found) < 0:
        raise ValueError(f"CPUs are numbers from 0 on, and at least one, not {list(found)}")
    return found
