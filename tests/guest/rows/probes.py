"""Rows of probes: functions of the kernel, and of programs of users."""

from __future__ import annotations

import os

from guest.rows import usdt as places
from guest.rows.firing import calls, fires_until_closed, opens
from guest.rows.ground import Ground
from guest.rows.row import Rows

from pylibbpf.engine.kernel import library

rows = Rows("probes")

_FUNCTION = "do_sys_openat2"  # which opens() calls
_LIBRARY, _SYMBOL = "libc.so.6", "getpgid"  # which calls() does


def _kernel(ground: Ground, program: str, method: str, *place: object, **how: object) -> None:
    """A program of probes.bpf.c, attached by a method to what opens() passes."""
    with ground.loaded("probes", program, target_pid=os.getpid()) as obj:
        link = getattr(obj.programs[program], method)(*place, **how)
        fires_until_closed(link, lambda: obj.globals["hits"], opens)


def _user(ground: Ground, program: str, method: str, *place: object, **how: object) -> None:
    """The same, to what calls() passes."""
    with ground.loaded("probes", program, target_pid=os.getpid()) as obj:
        link = getattr(obj.programs[program], method)(*place, **how)
        fires_until_closed(link, lambda: obj.globals["hits"], calls)


# ---- functions of the kernel

_PERF = {"config": "KPROBES", "needs": "kernel.perf_event_paranoid"}
_FPROBE = {"config": "KPROBES FPROBE", "since": (5, 18)}


@rows.row("kprobe", **_PERF)
def kprobe(ground: Ground) -> None:
    _kernel(ground, "kprobe", "attach_kprobe", _FUNCTION)


@rows.row("kretprobe", **_PERF)
def kretprobe(ground: Ground) -> None:
    _kernel(ground, "kretprobe", "attach_kprobe", _FUNCTION, retprobe=True)


@rows.row("ksyscall", **_PERF)
def ksyscall(ground: Ground) -> None:
    _kernel(ground, "ksyscall", "attach_ksyscall", "openat")


@rows.row("kretsyscall", **_PERF)
def kretsyscall(ground: Ground) -> None:
    _kernel(ground, "ksyscall", "attach_ksyscall", "openat", retprobe=True)


@rows.row("kprobe.multi", **_FPROBE)
def kprobe_multi(ground: Ground) -> None:
    _kernel(ground, "kprobe_multi", "attach_kprobe_multi", functions=[_FUNCTION, "ksys_read"])


@rows.row("kretprobe.multi", **_FPROBE)
def kretprobe_multi(ground: Ground) -> None:
    functions = [_FUNCTION, "ksys_read"]
    _kernel(ground, "kprobe_multi", "attach_kprobe_multi", functions=functions, retprobe=True)


@rows.row("kprobe.session", config="KPROBES FPROBE", since=(6, 10), libbpf=(1, 5))
def kprobe_session(ground: Ground) -> None:
    how = {"functions": [_FUNCTION], "session": True}
    _kernel(ground, "kprobe_session", "attach_kprobe_multi", **how)


# ---- functions of programs

# Programs of kprobes fit uprobes, too: these read no memory, which kernel lockdown may forbid.

_UPROBES = {"config": "UPROBE_EVENTS", "needs": "CAP_SYS_ADMIN"}
_MULTI = {"config": "UPROBE_EVENTS", "since": (6, 6), "libbpf": (1, 3)}


@rows.row("uprobe", **_UPROBES)
def uprobe(ground: Ground) -> None:
    _user(ground, "kprobe", "attach_uprobe", _LIBRARY, _SYMBOL)


@rows.row("uretprobe", **_UPROBES)
def uretprobe(ground: Ground) -> None:
    _user(ground, "kretprobe", "attach_uprobe", _LIBRARY, _SYMBOL, retprobe=True)


@rows.row("usdt", ground="usdt", **_UPROBES)
def usdt(ground: Ground) -> None:
    larger = library.version() >= (1, 7)
    passed = ground["usdt"]
    with ground.opened("rows", "usdt", target_pid=os.getpid(), libbpf_1_7=larger) as obj:
        obj.maps["__bpf_usdt_specs"].value_size = 304 if larger else 208
        obj.load()
        method = obj.programs["usdt"].attach_usdt
        link = method(passed.path, places.PROVIDER, places.NAME, cookie=77)
        fires_until_closed(link, lambda: obj.globals["hits"], lambda: passed.call(1))
        assert obj.globals["cookie"] == 77


@rows.row("uprobe.multi", **_MULTI)
def uprobe_multi(ground: Ground) -> None:
    functions = [_SYMBOL, "getsid"]
    _user(ground, "uprobe_multi", "attach_uprobe_multi", _LIBRARY, functions=functions)


@rows.row("uretprobe.multi", **_MULTI)
def uretprobe_multi(ground: Ground) -> None:
    how = {"functions": [_SYMBOL, "getsid"], "retprobe": True}
    _user(ground, "uprobe_multi", "attach_uprobe_multi", _LIBRARY, **how)


@rows.row("uprobe.session", config="UPROBE_EVENTS", since=(6, 13), libbpf=(1, 6))
def uprobe_session(ground: Ground) -> None:
    how = {"functions": [_SYMBOL], "session": True}
    _user(ground, "uprobe_session", "attach_uprobe_multi", _LIBRARY, **how)
