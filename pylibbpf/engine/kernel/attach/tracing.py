"""Attaching to the kernel's own trace points and functions, and to other programs."""

from __future__ import annotations

import errno
from functools import partial

from pylibbpf.engine.kernel.attach import attaches, explain, explains
from pylibbpf.engine.kernel.opts import c_string, opts
from pylibbpf.hook.tracing import Freplace, Lsm, RawTracepoint, Trace, Tracepoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.programs import KernelProgram


@attaches(Tracepoint)
def tracepoint(program: KernelProgram, hook: Tracepoint) -> LinkHandle:
    fields, _keep = opts("bpf_tracepoint_opts", bpf_cookie=hook.cookie)
    return program.attach_by(
        program.lib.plb_attach_tracepoint,
        c_string(hook.category, "category"),
        c_string(hook.name, "tracepoint"),
        fields,
        section=f"tp/{hook.category}/{hook.name}",
        why=partial(explain, hook),
    )


@explains(Tracepoint)
def why_no_tracepoint(hook: Tracepoint, number: int) -> str | None:
    from pylibbpf.engine.kernel.tracefs import why_no_tracepoint as why_not

    return why_not(hook.category, hook.name) if number == errno.ENOENT else None


@attaches(RawTracepoint)
def raw_tracepoint(program: KernelProgram, hook: RawTracepoint) -> LinkHandle:
    name = c_string(hook.name, "tracepoint")
    section = f"raw_tp/{hook.name}"
    why = partial(explain, hook)
    if hook.cookie is None:
        call = program.lib.plb_attach_raw_tracepoint
        return program.attach_by(call, name, section=section, why=why)
    fields, _keep = opts("bpf_raw_tracepoint_opts", cookie=hook.cookie)
    call = program.lib.plb_attach_raw_tracepoint_opts
    return program.attach_by(call, name, fields, section=section, why=why)


@explains(RawTracepoint)
def why_no_raw_tracepoint(hook: RawTracepoint, number: int) -> str | None:
    from pylibbpf.engine.kernel.tracefs import why_no_raw_tracepoint as why_not

    return why_not(hook.name) if number == errno.ENOENT else None


@attaches(Trace)
def trace(program: KernelProgram, hook: Trace) -> LinkHandle:
    if hook.cookie and program.adopted is not None:
        # bpf_link_create() passes on attach types that it does not know, but no cookie with them.
        from pylibbpf.engine.kernel.sections import too_old

        raise too_old(program.adopted, f"a cookie for {program.adopted.name} programs")
    fields, _keep = opts("bpf_trace_opts", cookie=hook.cookie)
    return program.attach_by(program.lib.plb_attach_trace, fields, why=partial(explain, hook))


@explains(Trace)
def why_no_trace(hook: Trace, number: int) -> str | None:
    if number == errno.EBUSY:
        return "the program is attached already: load the object twice to attach it twice"
    return None


@attaches(Lsm)
def lsm(program: KernelProgram, hook: Lsm) -> LinkHandle:
    return program.attach_by(program.lib.plb_attach_lsm, why=partial(explain, hook))


@explains(Lsm)
def why_no_lsm(hook: Lsm, number: int) -> str | None:
    if number == errno.EBUSY:
        return "the program is attached already: load the object twice to attach it twice"
    return None


@attaches(Freplace)
def freplace(program: KernelProgram, hook: Freplace) -> LinkHandle:
    null = program.ffi.NULL
    function = null if hook.function is None else c_string(hook.function, "function")
    call = program.lib.plb_attach_freplace
    return program.attach_by(call, hook.fd or 0, function, why=partial(explain, hook))


@explains(Freplace)
def why_no_freplace(hook: Freplace, number: int) -> str | None:
    if number in (errno.ENOENT, errno.ESRCH) and hook.function is not None:
        return f"the program has no global function {hook.function} (static ones do not count)"
    if number == errno.EBUSY:
        return "the function has been replaced by another program already"
    return None
