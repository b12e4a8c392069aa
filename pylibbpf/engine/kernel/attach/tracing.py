"""Attaching to the kernel's own trace points."""

from __future__ import annotations

from pylibbpf.engine.kernel.attach import attaches
from pylibbpf.engine.kernel.opts import c_string, opts
from pylibbpf.hook.tracing import RawTracepoint, Tracepoint

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
    )


@attaches(RawTracepoint)
def raw_tracepoint(program: KernelProgram, hook: RawTracepoint) -> LinkHandle:
    name = c_string(hook.name, "tracepoint")
    section = f"raw_tp/{hook.name}"
    if hook.cookie is None:
        call = program.lib.plb_attach_raw_tracepoint
        return program.attach_by(call, name, section=section)
    fields, _keep = opts("bpf_raw_tracepoint_opts", cookie=hook.cookie)
    call = program.lib.plb_attach_raw_tracepoint_opts
    return program.attach_by(call, name, fields, section=section)
