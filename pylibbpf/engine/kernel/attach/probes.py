"""Attaching to functions, in the kernel and in programs of users."""

from __future__ import annotations

import errno
import os
from functools import partial

from pylibbpf.engine.kernel.attach import attaches, explain, explains
from pylibbpf.engine.kernel.library import version
from pylibbpf.engine.kernel.opts import c_string, opts
from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.hook.probes import Kprobe, KprobeMulti, Ksyscall, Uprobe, UprobeMulti, Usdt
from pylibbpf.uapi.enums import AttachType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pylibbpf.engine.abc import LinkHandle
    from pylibbpf.engine.kernel.programs import KernelProgram

_EVERY_PROCESS = -1
# enum probe_attach_mode (libbpf.h)
_MODES = {"default": None, "legacy": 1, "perf": 2, "link": 3}
# kernel/events/core.c: perf_uprobe_event_init() asks for this, where its like for kprobes, and
# uprobe.multi, are content with CAP_PERFMON.
_UPROBE_NEEDS = ("SYS_ADMIN",)
# What a probe that is not to be had is refused with: no such thing, not there, not allowed there,
# not clear which (register_kprobe(), and libbpf's own search).
_NO_FUNCTION = frozenset(
    (errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.EADDRNOTAVAIL, errno.EOPNOTSUPP, errno.ENODEV)
)
# The same for a binary: it may be no ELF file, or have the name twice (libbpf's elf.c).
_NO_SYMBOL = _NO_FUNCTION | {errno.EEXIST, 4000, 4001, 4003}


# ---- the kernel


@attaches(Kprobe)
def kprobe(program: KernelProgram, hook: Kprobe) -> LinkHandle:
    name = program.ffi.NULL if hook.function is None else c_string(hook.function, "function")
    if hook.function is not None and hook.offset:
        _check_offset(program.name, hook.function, hook.offset)
    fields, _keep = opts(
        "bpf_kprobe_opts",
        offset=(hook.address or 0) + hook.offset,
        retprobe=hook.retprobe,
        bpf_cookie=hook.cookie,
        attach_mode=_MODES[hook.mode],
    )
    return program.attach_by(
        program.lib.plb_attach_kprobe,
        name,
        fields,
        section=f"kprobe/{hook.function or hex(hook.address or 0)}",
        by_tracefs=_by_tracefs("kprobe", hook.mode),
        why=partial(explain, hook),
    )


def _by_tracefs(kind: str, mode: str) -> bool:
    """Whether libbpf writes the probe to tracefs: it is told to, or knows no other way."""
    if mode != "default":
        return mode == "legacy"
    return not os.path.exists(f"/sys/bus/event_source/devices/{kind}/type")


def _check_offset(program: str, function: str, offset: int) -> None:
    """The kernel takes any offset that an instruction begins at, be it in another function."""
    from pylibbpf.engine.kernel.symbols import Kernel

    size = Kernel().size(function)
    if size is not None and offset >= size:
        why = f"offset {offset} is outside the function {function}, which has {size} bytes"
        raise BpfError(errno.EINVAL, "attach", program, why)


@explains(Kprobe)
def why_no_kprobe(hook: Kprobe, number: int) -> str | None:
    from pylibbpf.engine.kernel.symbols import NO_KPROBES, Kernel, why_no_function

    kernel = Kernel()
    if not kernel.has_kprobes and number in _NO_FUNCTION:
        return NO_KPROBES
    if number == errno.EILSEQ:
        return f"offset {hook.offset} is in the middle of an instruction"
    if number == errno.EINVAL and hook.retprobe and hook.offset:
        return "a return probe takes no offset: it strikes where the function returns"
    if hook.function is None:
        if number in _NO_FUNCTION:
            return (
                f"the kernel does not take a probe at address {hook.address:#x}: no code, or"
                " forbidden"
            )
        return None
    if number not in _NO_FUNCTION:
        return None
    return why_no_function(hook.function, kernel)


@attaches(KprobeMulti)
def kprobe_multi(program: KernelProgram, hook: KprobeMulti) -> LinkHandle:
    ffi = program.ffi
    pattern = ffi.NULL if hook.pattern is None else c_string(hook.pattern, "pattern")
    names, keep = _c_strings(ffi, hook.functions, "function")
    addresses = _array(ffi, "unsigned long[]", hook.addresses)
    cookies = _array(ffi, "uint64_t[]", hook.cookies)
    fields, _keep = opts(
        "bpf_kprobe_multi_opts",
        syms=names,
        addrs=addresses,
        cookies=cookies,
        cnt=len(hook.functions) or len(hook.addresses) or None,
        retprobe=hook.retprobe,
        session=hook.session or None,
    )
    link = program.attach_by(
        program.lib.plb_attach_kprobe_multi,
        pattern,
        fields,
        section=f"kprobe.multi/{hook.pattern or ''}",
        why=partial(explain, hook),
    )
    del keep
    return link


@explains(KprobeMulti)
def why_no_kprobe_multi(hook: KprobeMulti, number: int) -> str | None:
    from pylibbpf.engine.kernel.lacking import why_no_hook
    from pylibbpf.engine.kernel.symbols import Kernel, why_no_function, why_no_pattern

    kind = "kprobe.session" if hook.session else "kprobe.multi"
    if number in (errno.EOPNOTSUPP, errno.EINVAL):
        lacking = why_no_hook(kind)
        if lacking is not None:
            return f"{lacking}: attach a kprobe to each function"
    if number == errno.EOPNOTSUPP:
        return (
            "this kernel has no kprobe.multi (Linux 5.18 and CONFIG_FPROBE): attach a kprobe to"
            " each function"
        )
    if number not in _NO_FUNCTION:
        return None
    kernel = Kernel()
    if hook.pattern is not None:
        why = why_no_pattern(hook.pattern, kernel)
        if why is not None:
            return why
    for name in hook.functions:
        kinds = kernel.kinds(name)
        if not kinds or kernel.traceable(name) is False:
            return why_no_function(name, kernel)
    if number == errno.EINVAL:
        return (
            f"this kernel does not know {kind}, or the program was not loaded for it"
            f' (SEC("{kind}") says so)'
        )
    return None


@attaches(Ksyscall)
def ksyscall(program: KernelProgram, hook: Ksyscall) -> LinkHandle:
    fields, _keep = opts("bpf_ksyscall_opts", bpf_cookie=hook.cookie, retprobe=hook.retprobe)
    return program.attach_by(
        program.lib.plb_attach_ksyscall,
        c_string(hook.name, "system call"),
        fields,
        section=f"ksyscall/{hook.name}",
        why=partial(explain, hook),
    )


@explains(Ksyscall)
def why_no_ksyscall(hook: Ksyscall, number: int) -> str | None:
    from pylibbpf.engine.kernel.symbols import NO_KPROBES, Kernel, near_names

    if number not in _NO_FUNCTION:
        return None
    kernel = Kernel()
    if not kernel.has_kprobes:
        return NO_KPROBES
    # __x64_sys_openat, __arm64_sys_openat: SYSCALL_DEFINE() of the architecture.
    calls = {
        name.partition("_sys_")[2]
        for name in kernel.functions()
        if name.startswith(("__x64_sys_", "__arm64_sys_", "__riscv_sys_", "__s390x_sys_"))
    }
    if not calls or hook.name in calls:
        return None
    near = near_names(hook.name, calls)
    hint = f"; near: {', '.join(near)}" if near else ""
    return f"this kernel has no system call {hook.name}{hint}"


# ---- programs of users


# With these the kernel does not let a program run on a perf event.
_FOR_MANY = (AttachType.TRACE_UPROBE_MULTI, AttachType.TRACE_UPROBE_SESSION)


@attaches(Uprobe)
def uprobe(program: KernelProgram, hook: Uprobe) -> LinkHandle:
    from pylibbpf.engine.kernel.binaries import check_offsets, find

    path = find(hook.binary, hook.pid, program.name)
    if hook.function is None:
        check_offsets(path, (hook.offset,), program.name)

    def why(number: int) -> str | None:
        if number == errno.EINVAL and program.expected_attach_type in _FOR_MANY:
            return f'SEC("{program.section}") was loaded for links to many functions'
        return _why_no_uprobe(path, hook, number)

    by_tracefs = _by_tracefs("uprobe", hook.mode)
    fields, _keep = opts(
        "bpf_uprobe_opts",
        ref_ctr_offset=hook.ref_ctr_offset,
        bpf_cookie=hook.cookie,
        retprobe=hook.retprobe,
        func_name=hook.function,
        attach_mode=_MODES[hook.mode],
    )
    return program.attach_by(
        program.lib.plb_attach_uprobe,
        _EVERY_PROCESS if hook.pid is None else hook.pid,
        c_string(path, "path"),
        hook.offset,
        fields,
        section=f"uprobe/{path}:{hook.function or hex(hook.offset)}",
        capabilities=() if by_tracefs else _UPROBE_NEEDS,
        by_tracefs=by_tracefs,
        why=why,
    )


@explains(Uprobe)
def why_no_uprobe(hook: Uprobe, number: int) -> str | None:
    from pylibbpf.engine.kernel.binaries import find

    return _found_or_why(hook, number, find, _why_no_uprobe)


def _why_no_uprobe(path: str, hook: Uprobe, number: int) -> str | None:
    from pylibbpf.engine.kernel.binaries import why_no_function, why_unclear

    if hook.function is not None and number in _NO_SYMBOL:
        why = why_no_function(path, (hook.function,)) or why_unclear(path, hook.function)
        if why is not None:
            return why
    return _why_no_place(path, number, hook.pid)


def _why_no_place(path: str, number: int, pid: int | None) -> str | None:
    """What kernel/events/uprobes.c and the perf events before it refuse."""
    if number == errno.EINVAL:
        return f"the kernel does not take a probe there: the offset is outside {path}"
    if number in (errno.EOPNOTSUPP, 524):
        return "the instruction there cannot be probed (it is at no boundary, or needs its place)"
    if number == errno.EIO:
        return f"the file system of {path} does not let the kernel read the code (procfs, FUSE?)"
    if number == errno.ESRCH and pid is not None:
        return f"there is no process {pid}"
    return None


@attaches(UprobeMulti)
def uprobe_multi(program: KernelProgram, hook: UprobeMulti) -> LinkHandle:
    from pylibbpf.engine.kernel.binaries import check_offsets, find, places

    ffi = program.ffi
    path = find(hook.binary, hook.pid, program.name)
    if hook.offsets:
        check_offsets(path, hook.offsets, program.name)
    found = places(path, hook.functions, program.name) or [[each] for each in hook.offsets]
    pattern = ffi.NULL if hook.pattern is None else c_string(hook.pattern, "pattern")
    offsets = _array(ffi, "unsigned long[]", [place for each in found for place in each])
    counters = _array(ffi, "unsigned long[]", _for_each(hook.ref_ctr_offsets, found))
    cookies = _array(ffi, "uint64_t[]", _for_each(hook.cookies, found))
    fields, _keep = opts(
        "bpf_uprobe_multi_opts",
        offsets=offsets,
        ref_ctr_offsets=counters,
        cookies=cookies,
        cnt=sum(map(len, found)) or None,
        retprobe=hook.retprobe,
        session=hook.session or None,
    )
    return program.attach_by(
        program.lib.plb_attach_uprobe_multi,
        _EVERY_PROCESS if hook.pid is None else hook.pid,
        c_string(path, "path"),
        pattern,
        fields,
        section=f"uprobe.multi/{path}:{hook.pattern or ''}",
        why=partial(_why_no_uprobe_multi, path, hook),
    )


def _for_each(values: Sequence[int], places: Sequence[Sequence[int]]) -> list[int]:
    """A function's value for each place that it has."""
    return [value for value, each in zip(values, places, strict=False) for _ in each]


@explains(UprobeMulti)
def why_no_uprobe_multi(hook: UprobeMulti, number: int) -> str | None:
    from pylibbpf.engine.kernel.binaries import find

    return _found_or_why(hook, number, find, _why_no_uprobe_multi)


def _why_no_uprobe_multi(path: str, hook: UprobeMulti, number: int) -> str | None:
    from pylibbpf.engine.kernel.binaries import why_no_function
    from pylibbpf.engine.kernel.lacking import why_no_hook

    kind = "uprobe.session" if hook.session else "uprobe.multi"
    if number in (errno.EOPNOTSUPP, errno.EINVAL):
        lacking = why_no_hook(kind)
        if lacking is not None:
            return lacking
    if (hook.pattern or hook.functions) and number in _NO_SYMBOL:
        why = why_no_function(path, hook.functions, hook.pattern)
        if why is not None:
            return why
    if number == errno.EINVAL:
        return (
            f"this kernel does not know {kind}, or the program was not loaded for it"
            f' (SEC("{kind}") says so), or a place is outside {path}'
        )
    return _why_no_place(path, number, hook.pid)


@attaches(Usdt)
def usdt(program: KernelProgram, hook: Usdt) -> LinkHandle:
    from pylibbpf.engine.kernel.binaries import find

    path = find(hook.binary, hook.pid, program.name)
    _check_usdt_layout(program)
    fields, _keep = opts("bpf_usdt_opts", usdt_cookie=hook.cookie)
    return program.attach_by(
        program.lib.plb_attach_usdt,
        _EVERY_PROCESS if hook.pid is None else hook.pid,
        c_string(path, "path"),
        c_string(hook.provider, "provider"),
        c_string(hook.name, "probe"),
        fields,
        section=f"usdt/{path}:{hook.provider}:{hook.name}",
        capabilities=_UPROBE_NEEDS,
        why=partial(_why_no_usdt, path, hook),
    )


# Bytes of struct usdt_spec (libbpf's usdt.c), which libbpf hands to struct __bpf_usdt_spec of the
# object without looking at its size. Of later versions than these nothing is known.
_USDT_SPEC, _USDT_SPEC_OF_1_7 = 208, 304


def _check_usdt_layout(program: KernelProgram) -> None:
    """Refuse what libbpf would not, though arguments would be read from wrong places."""
    now = version()
    if now > (1, 7):
        return
    wanted = _USDT_SPEC if now < (1, 7) else _USDT_SPEC_OF_1_7
    for each in program.owner.maps:
        if each.name == "__bpf_usdt_specs" and each.value_size != wanted:
            other = "1.7" if now < (1, 7) else "before 1.7"
            raise NotSupportedError(
                f"program {program.name!r}: the object was compiled with usdt.bpf.h of libbpf"
                f" {other}, and libbpf {now[0]}.{now[1]} describes arguments in another layout:"
                " compile it with that version's header"
            )


@explains(Usdt)
def why_no_usdt(hook: Usdt, number: int) -> str | None:
    from pylibbpf.engine.kernel.binaries import find

    return _found_or_why(hook, number, find, _why_no_usdt)


def _why_no_usdt(path: str, hook: Usdt, number: int) -> str | None:
    from pylibbpf.engine.kernel.binaries import why_no_usdt as why_not

    if number in _NO_SYMBOL:
        why = why_not(path, hook.provider, hook.name)
        if why is not None:
            return why
    if number == errno.ESRCH:
        return (
            "the object lacks libbpf's support for USDT: include bpf/usdt.bpf.h, and take the"
            " arguments with BPF_USDT() or bpf_usdt_arg()"
        )
    return _why_no_place(path, number, hook.pid)


# ---- what they have in common


def _found_or_why(hook: Any, number: int, find: Any, why: Any) -> str | None:
    """For hooks of SEC() names, whose binary libbpf has searched for itself."""
    try:
        path = find(hook.binary, hook.pid, "")
    except BpfError as error:
        return error.cause
    found: str | None = why(path, hook, number)
    return found


def _c_strings(ffi: Any, texts: Sequence[str], what: str) -> tuple[Any, list[Any]]:
    """An array of C strings, or None for an empty one, and what must live as long."""
    keep = [c_string(text, what) for text in texts]
    return (ffi.new("char *[]", keep) if keep else None), keep


def _array(ffi: Any, kind: str, numbers: Sequence[int]) -> Any:
    return ffi.new(kind, numbers) if numbers else None
