"""What a program is loaded for, where SEC() does not say it, or says something else."""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import check
from pylibbpf.engine.kernel.opts import c_string
from pylibbpf.errors import BpfError
from pylibbpf.uapi.enums import AttachType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.kernel.programs import KernelProgram

_OPERATION = "set attach target of"


def set_attach_target(program: KernelProgram, function: str | None, fd: int | None) -> None:
    """Before load; libbpf looks the function up in BTF at once."""
    owner, ffi = program.owner, program.ffi
    if owner.load_tried:
        why = "that can be said until load only: the verifier checks the program against it"
        raise BpfError(errno.EBUSY, _OPERATION, program.name, why)
    text = ffi.NULL if function is None else c_string(function, "function")
    with owner, Capture() as capture:
        rc = owner.lib.bpf_program__set_attach_target(program.pointer, fd or 0, text)
    check(
        rc,
        _OPERATION,
        program.name,
        capture,
        why=lambda number: _why_not(number, function, fd, program.expected_attach_type),
        # Another program's types are had by the id of its BTF only.
        capabilities=("SYS_ADMIN",) if fd is not None else (),
    )
    capture.log()
    program.targeted = True


def _why_not(number: int, function: str | None, fd: int | None, attach_type: int) -> str | None:
    if number not in (errno.ESRCH, errno.ENOENT) or function is None:
        return None
    if fd is not None:
        return f"that program has no global function {function} with BTF"
    return why_not_in_btf(function, attach_type)


def why_not_in_btf(name: str, attach_type: int) -> str | None:
    """Why the kernel's BTF has not what a program is for."""
    if attach_type == AttachType.TRACE_RAW_TP:
        from pylibbpf.engine.kernel.tracefs import why_no_raw_tracepoint

        return why_no_raw_tracepoint(name)
    from pylibbpf.engine.kernel.symbols import why_no_btf_function

    prefix = _PREFIXES.get(attach_type, "")
    return why_no_btf_function(name, prefix=prefix)


# libbpf.c, btf_get_kernel_prefix_kind(): how a hook's function is called in BTF.
_PREFIXES: dict[int, str] = {
    AttachType.LSM_MAC: "bpf_lsm_",
    AttachType.LSM_CGROUP: "bpf_lsm_",
    AttachType.TRACE_ITER: "bpf_iter_",
}
