"""What hooks are asked, and what they need beside their programs.

Targets do not exist: see :mod:`pylibbpf.engine.kernel.probe.hooks`.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Callable

from pylibbpf.ability import Ability, Probe
from pylibbpf.engine.kernel.lsm import MODULES, why_idle
from pylibbpf.engine.kernel.privileges import UNLOCK, lockdown_mode
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.uapi.enums import AttachType, ProgType

NOTHING = "pylibbpf_no_such_target"  # no function, tracepoint or file of this name exists
NO_DEVICE = 0x7FFFFFFF  # no interface has this index
NO_DESCRIPTOR = -1

_PERF_SOFTWARE, _PERF_HARDWARE = 1, 0  # enum perf_type_id
_CPU_CLOCK, _CPU_CYCLES = 0, 0  # enum perf_sw_ids, enum perf_hw_id

# Asks the kernel, given the descriptor of the loaded program.
Ask = Callable[[Asker, int], Probe]


# ---- questions


def ask_link(attach_type: AttachType, target: int, rest: bytes = b"", what: str = "") -> Ask:
    def ask(asker: Asker, program: int) -> Probe:
        number = asker.kernel.link(program, target, attach_type, rest)
        return Probe(f"BPF_LINK_CREATE({attach_type.name}, {what or 'no descriptor'})", number)

    return ask


def ask_attach(attach_type: AttachType) -> Ask:
    def ask(asker: Asker, program: int) -> Probe:
        number = asker.kernel.attach(program, NO_DESCRIPTOR, attach_type)
        return Probe(f"BPF_PROG_ATTACH({attach_type.name}, no descriptor)", number)

    return ask


def ask_raw_tracepoint(asker: Asker, program: int) -> Probe:
    return Probe(
        f"BPF_RAW_TRACEPOINT_OPEN({NOTHING})", asker.kernel.raw_tracepoint(program, NOTHING)
    )


def ask_kprobe_multi(attach_type: AttachType) -> Ask:
    def ask(asker: Asker, program: int) -> Probe:
        name = ctypes.create_string_buffer(NOTHING.encode())
        names = (ctypes.c_void_p * 1)(ctypes.addressof(name))
        rest = struct.pack("=IIQQQ", 0, 1, ctypes.addressof(names), 0, 0)
        return ask_link(attach_type, 0, rest, NOTHING)(asker, program)

    return ask


def ask_uprobe_multi(attach_type: AttachType) -> Ask:
    def ask(asker: Asker, program: int) -> Probe:
        path = ctypes.create_string_buffer(f"/{NOTHING}".encode())
        offsets = (ctypes.c_ulong * 1)(0)
        rest = struct.pack(
            "=QQQQIII", ctypes.addressof(path), ctypes.addressof(offsets), 0, 0, 1, 0, 0
        )
        return ask_link(attach_type, 0, rest, f"/{NOTHING}")(asker, program)

    return ask


def ask_perf_probe(pmu: str) -> Ask:
    target = NOTHING if pmu == "kprobe" else f"/{NOTHING}"

    def ask(asker: Asker, program: int) -> Probe:
        del program  # the event comes first, and this one never comes to be
        kind = asker.host.number(f"sys/bus/event_source/devices/{pmu}/type")
        assert kind is not None  # need_pmu() has seen to it
        number = asker.kernel.perf_event(kind, name=target)
        return Probe(f"perf_event_open({pmu}, {target})", number)

    return ask


def ask_software_event(asker: Asker, program: int) -> Probe:
    del program
    number = asker.kernel.perf_event(_PERF_SOFTWARE, _CPU_CLOCK)
    return Probe("perf_event_open(software, cpu-clock, disabled)", number)


def ask_hardware_event(asker: Asker, program: int) -> Probe:
    del program
    number = asker.kernel.perf_event(_PERF_HARDWARE, _CPU_CYCLES)
    return Probe("perf_event_open(hardware, cycles, disabled)", number)


# ---- what a hook needs beside its program


def need_pmu(name: str, option: str) -> Callable[[Asker, Ability], Ability | None]:
    """The kernel's source of perf events for probes."""

    def need(asker: Asker, about: Ability) -> Ability | None:
        place = f"sys/bus/event_source/devices/{name}/type"
        if asker.host.number(place) is not None:
            return None
        probe = Probe(f"read(/{place})", errno.ENOENT)
        if asker.host.why_unreadable("sys/bus/event_source/devices") is not None:
            return asker.unknown(about, "/sys/bus/event_source cannot be read", probe)
        reason = f"the kernel has no {name}s (/sys/bus/event_source/devices/{name} is missing)"
        if asker.config.lacks(option):
            reason += f": it was built without {option}"
        return asker.no(about, probe, "attach", reason=reason)

    return need


def need_no_lockdown(asker: Asker, about: Ability) -> Ability | None:
    """A real kprobe is refused then; one on no function says ENOENT all the same."""
    if lockdown_mode(asker.host) != "confidentiality":
        return None
    probe = Probe("read(/sys/kernel/security/lockdown)", errno.EPERM)
    reason = "kernel lockdown is in confidentiality mode, which forbids kprobes"
    return asker.no(about, probe, "attach", reason=reason, mend=UNLOCK)


def need_active_lsm(asker: Asker, about: Ability) -> Ability | None:
    """Programs of security hooks load and attach without it, and are never called."""
    found = why_idle(asker.host)
    if found is None:
        return None
    reason, mend = found
    probe = Probe(f"read(/{MODULES}), no bpf in it", errno.ENOENT)
    return asker.no(about, probe, "attach", reason=reason, mend=mend)


def need_tracefs(asker: Asker, about: Ability) -> Ability | None:
    """Where libbpf looks up a tracepoint's number."""
    number = asker.host.why_no_tracefs()
    if number is not None and asker.host.why_no_tracefs("sys/kernel/debug/tracing") is None:
        number = None
    if number is None:
        return None
    probe = Probe("list(/sys/kernel/tracing/events)", number)
    if number == errno.ENOENT and asker.host.mounted("tracefs"):
        reason = "tracefs is mounted, but there are no events in it"
        if lockdown_mode(asker.host) == "confidentiality":
            reason += ": the kernel was booted with lockdown in confidentiality mode"
        return asker.no(about, probe, "attach", reason=reason)
    if number == errno.ENOENT:
        return asker.no(
            about,
            probe,
            "attach",
            reason="tracefs is not mounted at /sys/kernel/tracing",
            mend="sudo mount -t tracefs tracefs /sys/kernel/tracing",
        )
    # The program is not loaded before this: that would need CAP_BPF, too.
    return asker.no(about, probe, "attach", program_type=ProgType.TRACEPOINT, capabilities=("BPF",))


def need_tc(asker: Asker, about: Ability) -> Ability | None:
    """A classifier is a part of the kernel, or a module that is loaded when it is asked for."""
    name, option = "cls_bpf", "CONFIG_NET_CLS_BPF"
    value = asker.config.options.get(option)
    if value == "y":
        return None
    if asker.host.why_unreadable(f"sys/module/{name}") is None:
        return None
    probe = Probe(f"list(/sys/module/{name})", errno.ENOENT)
    if value == "m":
        reason = f"the kernel has it as a module ({name}), which is not loaded"
        return asker.unknown(about, f"{reason}: it may be at the first use", probe)
    if asker.config.source is None:
        return asker.unknown(about, "the kernel's configuration is not known", probe)
    reason = f"this kernel was built without {option} ({asker.config.source})"
    return asker.no(about, probe, "attach", reason=reason)
