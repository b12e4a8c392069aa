"""SEC() names that this libbpf does not know, and what a SEC() name stands for as a hook.

libbpf leaves such a program without a type, and then refuses the whole object. Type, attach type
and flags come from our table instead, and attaching from our own calls where libbpf has them.
"""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.library import path, version
from pylibbpf.errors import BpfError, NotSupportedError
from pylibbpf.hook.probes import Kprobe, KprobeMulti, Ksyscall, Uprobe, UprobeMulti, Usdt
from pylibbpf.hook.tracing import Lsm, RawTracepoint, Trace, Tracepoint
from pylibbpf.uapi.sections import SECTIONS, Section, section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pylibbpf.engine.kernel.programs import KernelProgram
    from pylibbpf.hook import Hook

__all__ = ["adopt", "hook_of", "obstacle", "prepare", "too_old"]


def adopt(program: KernelProgram) -> None:
    """Give a program that libbpf left without a type what its SEC() name stands for."""
    found = section(program.section)
    if found is None:
        return
    program.type = found.type
    program.expected_attach_type = found.attach_type
    program.flags = program.flags | found.flags
    program.adopted = found


def obstacle(program: KernelProgram) -> str | None:
    """Why a program cannot be attached by its SEC() here; None where nothing is known against it.

    Attaching to many functions takes a list of them, and ``bpf_link_create()`` hands that on only
    for the attach types that it knows. All others of our table need nothing of the kind.
    """
    found = program.adopted
    if found is None or not found.attaches:
        return None
    return _needs(found) if found.name.partition(".")[2].startswith(("multi", "session")) else None


def _needs(found: Section, what: str | None = None) -> str:
    (need, needed), (major, minor) = found.libbpf, version()
    subject = what or f'SEC("{found.name}")'
    return f"{subject} needs libbpf {need}.{needed}; {path()} is {major}.{minor}"


def too_old(found: Section, what: str) -> NotSupportedError:
    """The error for something that came with a section's support in libbpf."""
    return NotSupportedError(_needs(found, what))


def prepare(programs: Iterable[KernelProgram]) -> None:
    """Before load: look up what libbpf would have, and refuse what could not be attached after.

    Raises:
        NotSupportedError: this libbpf cannot attach a program by its SEC().
        BpfError: nobody knows a program's SEC(), or what it is for is not there.
    """
    for program in programs:
        if not program.autoload:
            continue
        if not program.type:
            raise BpfError(errno.EINVAL, "load", program.name, _unknown(program.section))
        why = obstacle(program)
        if why is not None and program.autoattach:
            raise NotSupportedError(
                f"program {program.name!r}: {why}. To load the object without the program, set its"
                " autoload to False; to load and not attach it, its autoattach"
            )
        found = program.adopted
        if found is not None and found.attach_btf and not program.targeted:
            target = program.section.partition("/")[2]
            if not target:
                raise BpfError(
                    errno.EINVAL,
                    "load",
                    program.name,
                    f'SEC("{program.section}") names no function: call set_attach_target()',
                )
            program.set_attach_target(target, None)


def _unknown(name: str) -> str:
    import difflib

    kind = name.removeprefix("?").partition("/")[0]
    near = difflib.get_close_matches(kind, [*SECTIONS], 3)
    hint = f" (did you mean {', '.join(near)}?)" if near else ""
    return (
        f'SEC("{name}") says no type of program that libbpf or pylibbpf knows{hint}: set the'
        " program's type, or its autoload to False"
    )


# ---- SEC() names as hooks


def hook_of(name: str) -> Hook | None:
    """The hook that a SEC() name stands for, where it is one of probes and trace points."""
    found = section(name)
    _, _, target = name.removeprefix("?").partition("/")
    if found is None or not target:
        return None
    make = _HOOKS.get(found.name.removesuffix(".s").removesuffix(".w"))
    return make(found.name, target) if make is not None else None


def _kprobe(kind: str, target: str) -> Hook:
    function, _, offset = target.partition("+")
    return Kprobe(function, offset=_number(offset), retprobe=kind == "kretprobe")


def _kprobe_multi(kind: str, target: str) -> Hook:
    return KprobeMulti(
        target, retprobe=kind.startswith("kretprobe"), session=kind == "kprobe.session"
    )


def _uprobe(kind: str, target: str) -> Hook | None:
    binary, colon, place = target.rpartition(":")
    if not colon:
        return None
    function, _, offset = place.partition("+")
    retprobe = kind.startswith("uretprobe")
    if function[:1].isdigit():
        return Uprobe(binary, None, offset=_number(function), retprobe=retprobe)
    return Uprobe(binary, function, offset=_number(offset), retprobe=retprobe)


def _uprobe_multi(kind: str, target: str) -> Hook | None:
    binary, colon, pattern = target.rpartition(":")
    if not colon:
        return None
    session = kind.startswith("uprobe.session")
    return UprobeMulti(binary, pattern, retprobe=kind.startswith("uretprobe"), session=session)


def _usdt(_kind: str, target: str) -> Hook | None:
    path, provider, name = ("", "", *target.rsplit(":", 2))[-3:]
    return Usdt(path, provider, name) if path else None


def _tracepoint(_kind: str, target: str) -> Hook | None:
    category, slash, name = target.partition("/")
    return Tracepoint(category, name) if slash else None


def _number(text: str) -> int:
    try:
        return int(text, 0) if text else 0
    except ValueError:
        return 0


_HOOKS: dict[str, Callable[[str, str], Hook | None]] = {
    "kprobe": _kprobe,
    "kretprobe": _kprobe,
    "kprobe.multi": _kprobe_multi,
    "kretprobe.multi": _kprobe_multi,
    "kprobe.session": _kprobe_multi,
    "ksyscall": lambda _kind, target: Ksyscall(target),
    "kretsyscall": lambda _kind, target: Ksyscall(target, retprobe=True),
    "uprobe": _uprobe,
    "uretprobe": _uprobe,
    "uprobe.multi": _uprobe_multi,
    "uretprobe.multi": _uprobe_multi,
    "uprobe.session": _uprobe_multi,
    "usdt": _usdt,
    "tracepoint": _tracepoint,
    "tp": _tracepoint,
    "raw_tracepoint": lambda _kind, target: RawTracepoint(target),
    "raw_tp": lambda _kind, target: RawTracepoint(target),
    "tp_btf": lambda _kind, _target: Trace(),
    "fentry": lambda _kind, _target: Trace(),
    "fexit": lambda _kind, _target: Trace(),
    "fmod_ret": lambda _kind, _target: Trace(),
    "fsession": lambda _kind, _target: Trace(),
    "lsm": lambda _kind, _target: Lsm(),
}
