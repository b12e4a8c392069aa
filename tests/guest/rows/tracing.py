"""Rows of trace points and traced functions of the kernel, iterators and perf events."""

from __future__ import annotations

import mmap
import os

import pytest
from guest.rows.firing import calls, fires_until_closed, opens
from guest.rows.ground import Ground
from guest.rows.row import Rows

import pylibbpf

rows = Rows("tracing")

_TRAMPOLINES = "BPF_JIT DYNAMIC_FTRACE_WITH_DIRECT_CALLS"


def _function(ground: Ground, program: str) -> None:
    """A program of traces.bpf.c, on what its SEC() says, with a cookie."""
    with ground.loaded("traces", program, target_pid=os.getpid()) as obj:
        link = obj.programs[program].attach_trace(cookie=31)
        fires_until_closed(link, lambda: obj.globals["hits"], opens)
        assert obj.globals["cookie"] == 31


@rows.row("tracepoint", config="FTRACE_SYSCALLS", needs="tracefs")
def tracepoint(ground: Ground) -> None:
    with ground.loaded("traces", "tracepoint", target_pid=os.getpid()) as obj:
        link = obj.programs["tracepoint"].attach_tracepoint("syscalls", "sys_enter_getpgid")
        fires_until_closed(link, lambda: obj.globals["hits"], calls)


@rows.row("raw_tp")
def raw_tp(ground: Ground) -> None:
    with ground.loaded("traces", "raw_tp", target_pid=os.getpid()) as obj:
        link = obj.programs["raw_tp"].attach_raw_tracepoint("sys_enter")
        fires_until_closed(link, lambda: obj.globals["hits"], calls)


@rows.row("tp_btf", config="DEBUG_INFO_BTF")
def tp_btf(ground: Ground) -> None:
    with ground.loaded("traces", "tp_btf", target_pid=os.getpid()) as obj:
        link = obj.programs["tp_btf"].attach()
        fires_until_closed(link, lambda: obj.globals["hits"], calls)


@rows.row("fentry", config=_TRAMPOLINES)
def fentry(ground: Ground) -> None:
    _function(ground, "fentry")


@rows.row("fexit", config=_TRAMPOLINES)
def fexit(ground: Ground) -> None:
    _function(ground, "fexit")


@rows.row("fsession", since=(7, 0), config=_TRAMPOLINES)
def fsession(ground: Ground) -> None:
    """libbpf knows it from 1.7 on; an older one passes it on, without a cookie."""
    with ground.loaded("traces", "fsession", target_pid=os.getpid()) as obj:
        link = obj.programs["fsession"].attach()
        fires_until_closed(link, lambda: obj.globals["hits"], opens)


@rows.row("fmod_ret", config=_TRAMPOLINES)
def fmod_ret(ground: Ground) -> None:
    _function(ground, "fmod_ret")


@rows.row("freplace", config=_TRAMPOLINES, needs="CAP_SYS_ADMIN")
def freplace(ground: Ground) -> None:
    """libbpf finds the function in the program's BTF, which it opens by its id."""
    with ground.loaded("traces", "target") as victim, ground.opened("traces", "freplace") as obj:
        target, program = victim.programs["target"], obj.programs["freplace"]
        program.set_attach_target("replaceable", target)
        obj.load()
        assert target.test_run(bytes(64)).retval == 1
        link = program.attach_freplace()
        fires_until_closed(link, lambda: obj.globals["hits"], lambda: target.test_run(bytes(64)))
        assert target.test_run(bytes(64)).retval == 1


@rows.row("iter")
def iterator(ground: Ground) -> None:
    with ground.loaded("iterators", "text") as obj:
        link = obj.programs["text"].attach_iter()
        me = f"{os.getpid()} {os.getpid()}"
        assert me in link.read_text().splitlines()
        link.close()
        with pytest.raises(pylibbpf.ClosedError):
            link.read_text()


def _pages() -> None:
    """Touch memory that is new to this process: each page is a fault."""
    with mmap.mmap(-1, 16 * mmap.PAGESIZE) as memory:
        for page in range(16):
            memory[page * mmap.PAGESIZE] = 1


@rows.row("perf_event (software)", config="PERF_EVENTS", needs="kernel.perf_event_paranoid")
def perf_event(ground: Ground) -> None:
    with ground.loaded("perf_event", "strike", target_pid=os.getpid()) as obj:
        link = obj.programs["strike"].attach_perf_event("page-faults", period=1, pid=0)
        fires_until_closed(link, lambda: obj.globals["strikes"], _pages)


@rows.row("syscall", since=(5, 14))
def syscall(ground: Ground) -> None:
    """Attached to nothing: called, it fires."""
    with ground.loaded("testrun", "add") as obj:
        done = obj.programs["add"].test_run(ctx={"a": 3, "b": 4})
        assert (done.retval, done.ctx_out.sum) == (7, 7)
        program = obj.programs["add"]
    with pytest.raises(pylibbpf.ClosedError):
        program.test_run(ctx={"a": 3, "b": 4})
