"""Where C return codes end: everything above sees values or exceptions.

libbpf 1.x returns negative errno values, or NULL with errno set. A call that this libbpf lacks
left its mark in the shim, and becomes ``NotSupportedError`` here, too.
"""

from __future__ import annotations

import errno as errnos

from pylibbpf.engine.kernel.library import load, path, version
from pylibbpf.errors import (
    BpfError,
    BpfPermissionError,
    BtfError,
    ElfError,
    Error,
    NotSupportedError,
    VerifierError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pylibbpf.engine.kernel.capture import Capture

_LIBELF, _FORMAT, _ENDIAN = 4000, 4001, 4003
_LOG_BEGIN = "-- BEGIN PROG LOAD LOG --\n"
# A seccomp filter may say ENOSYS, as if the kernel had no such call.
_REFUSALS = (errnos.EPERM, errnos.EACCES, errnos.ENOSYS)
_LOG_END = "-- END PROG LOAD LOG --"
# print_verification_stats() of the kernel's verifier.c, with nothing before it.
_NOTHING_CHECKED = "processed 0 insns"


def check(
    rc: int, operation: str, object: str | None = None, capture: Capture | None = None, **facts: Any
) -> int:
    """``rc`` if it is no failure; raise what it means otherwise."""
    if rc < 0:
        raise failure(-rc, operation, object, capture, **facts)
    return rc


def failure(
    number: int,
    operation: str,
    object: str | None = None,
    capture: Capture | None = None,
    why: Callable[[int], str | None] | None = None,
    **facts: Any,
) -> Error:
    """The exception for a failed call: ``number`` is the positive errno.

    ``facts`` are what the operation's hints are made of (``max_entries=4``). ``why`` may know
    better than they: it is given the errno, and gives the cause in words, or None.
    """
    absent = _absent()
    if absent is not None:
        return absent
    log = capture.text if capture is not None else ""
    if _for_want_of_modules(number, log):
        unseen = _why_modules(why(errnos.ESRCH) if why is not None else None)
        return BpfPermissionError(errnos.EPERM, operation, object, unseen, log=log)
    if number in _REFUSALS or _disguised(number, operation, facts):
        from pylibbpf.engine.kernel.privileges import explain_eperm

        diagnosis = explain_eperm(operation, errno=number, **facts)
        text = diagnosis.text()
        plain = number in (errnos.EPERM, errnos.EACCES)
        if diagnosis.cause is None and plain:
            from pylibbpf.engine.kernel.probe import alternatives

            other = alternatives(facts.get("section"))
            text += f". Instead, works here: {other}" if other else ""
        if diagnosis.cause is not None or plain:
            return BpfPermissionError(number, operation, object, text, log=log)
    known = why(number) if why is not None else None
    if known is not None:
        return BpfError(number, operation, object, known, log=log)
    from pylibbpf.engine.kernel.hints import errno_hint

    cause = errno_hint(operation, number, **facts)
    warning = capture.last_warning() if capture is not None else None
    if warning:
        cause = f"{cause} (libbpf: {warning})" if cause else warning
    return BpfError(number, operation, object, cause, log=log)


def _disguised(number: int, operation: str, facts: dict[str, Any]) -> bool:
    """Whether a want of privilege may have been told as another errno."""
    if number == errnos.EINVAL and operation == "create map":
        # The kernel looks for types first, which libbpf left out where it may not load them
        # (bpf_local_storage_map_alloc_check() in kernel/bpf/bpf_local_storage.c).
        from pylibbpf.engine.kernel.hints.maps import STORAGE_OF
        from pylibbpf.engine.kernel.needs import type_name
        from pylibbpf.uapi.enums import MapType

        return type_name(facts.get("map_type"), MapType) in STORAGE_OF
    if number == errnos.ENOENT and operation == "attach":
        # libbpf tries a kprobe to learn how the functions of system calls are named, and takes a
        # refusal for an answer (probe_kern_syscall_wrapper() in libbpf.c).
        section = str(facts.get("section", "")).removeprefix("?")
        return section.startswith(("ksyscall", "kretsyscall"))
    return False


def open_failure(number: int, name: str, capture: Capture, *, has_btf: bool) -> Error:
    """Why libbpf did not open an object that is an ELF file for BPF."""
    absent = _absent()
    if absent is not None:
        return absent
    warning = capture.last_warning()
    reason = f": {warning}" if warning else ""
    text = capture.text
    if "BTF" in text and not has_btf:
        return BtfError(
            f"{name}: the object has no usable type information (.BTF), which libbpf 1.0 and later "
            f"needs for its maps; compile it with -g{reason}"
        )
    damaged = ("BTF is required", "Error loading ELF section .BTF", "Invalid BTF")
    if any(each in text for each in damaged):
        return BtfError(f"{name}: the object's type information (.BTF) is damaged{reason}")
    if "in section 'maps" in text:
        return NotSupportedError(
            f"{name}: it defines maps the old way (section maps), which libbpf 1.0 and later do "
            f"not support; pylibbpf inspect reads it{reason}"
        )
    if any(each in text for each in ("failed to find BTF for extern", "unrecognized extern sec")):
        return ElfError(
            f"{name}: it declares extern what another object defines, and is to be linked with that"
            f" one first (pylibbpf.link_objects, pylibbpf gen object){reason}"
        )
    if "is not struct_ops BPF program" in text:
        program = text.partition(": prog ")[2].partition(" is not")[0]
        major, minor = version()
        return NotSupportedError(
            f"{name}: program {program!r} is a member of a struct_ops map, and its SEC() is none"
            f" that libbpf {major}.{minor} takes for that: struct_ops.s (sleepable) needs libbpf"
            " 1.2, else it is struct_ops"
        )
    if number in (_LIBELF, _FORMAT, _ENDIAN):
        return ElfError(f"{name}: not a BPF object that libbpf can read{reason}")
    return failure(number, "open", name, capture)


def load_failure(
    number: int, name: str, capture: Capture, facts: Callable[[str | None], dict[str, Any]]
) -> Error:
    """Why libbpf did not load an object, by what it and the kernel said meanwhile.

    ``facts`` gives what is known of a program or map by its name, or of all for no name.
    """
    absent = _absent()
    if absent is not None:
        return absent
    program, log = _verifier_log(capture)
    if program is not None and log.strip():
        if log.lstrip().startswith(_NOTHING_CHECKED):
            lacking = _unknown_hook(facts(program))
            if lacking is not None:
                return BpfError(number, "load", program, lacking, log=log)
        return VerifierError(number, "load", program, _locked(log), log=log)
    if program is None and _for_want_of_modules(number, capture.text):
        from pylibbpf.engine.kernel.lacking import why_no_map

        # What is not in the kernel's BTF came with the map's type.
        old = why_no_map(facts(None)["map_types"])
        if old is not None:
            return BpfError(number, "load", name, old, log=capture.text)
        return failure(number, "load", name, capture)
    subject = program or _failed_map(capture)
    if subject is None and _NO_TYPES in capture.text:
        from pylibbpf.engine.kernel.privileges import explain_eperm

        # libbpf found no support for types, for it may not load any: EPERM has become EOPNOTSUPP.
        diagnosis = explain_eperm("load btf")
        if diagnosis.cause is not None:
            return BpfPermissionError(number, "load", name, diagnosis.text(), log=capture.text)
    if subject is None and number not in _REFUSALS:
        # Nothing is known of what failed but what libbpf said, and what would have failed next:
        # arenas come with functions of the kernel's, of which libbpf misses one before it makes
        # any map.
        from pylibbpf.engine.kernel.lacking import why_no_map, why_no_struct_ops

        said = capture.last_warning()
        cause = why_no_struct_ops(capture.text)
        if cause is None:
            cause = why_no_map(facts(None)["map_types"])
            cause = f"{cause} (libbpf: {said})" if cause and said else cause or said
        return BpfError(number, "load", name, cause, log=capture.text)
    pinning = [text for _, text in capture.messages if "pin" in text and "map '" in text]
    if pinning and program is None:
        said = pinning[-1].strip().removeprefix("libbpf: ")
        path = facts(subject).get("pin_path")
        if path is not None:
            from pylibbpf.engine.kernel.pins import refusal, why

            said = why("pin", number, path) or said
            return refusal(number)(number, "pin map", subject, said, log=capture.text)
        return BpfError(number, "pin map", subject, said, log=capture.text)
    # Without a subject libbpf gave up before both, when not even a trivial program would load.
    operation = "create map" if subject and not program else "load"
    if operation == "create map" and any(said in capture.text for said in _NOT_FROZEN):
        operation = "map freeze"
    known = facts(subject)
    if program is not None:
        # libbpf asks again for a log: without one, the verifier never saw the program.
        known["before_verifier"] = True
    return failure(
        number,
        operation,
        subject or name,
        capture,
        lambda number: _why_not_loaded(known, number) if program else None,
        **known,
    )


# libbpf.c: bpf_object__sanitize_and_load_btf(), bpf_object__populate_internal_map()
_NO_TYPES = "Error loading .BTF into kernel"
_NOT_FROZEN = ("Error freezing map(", "failed to freeze as read-only")  # 1.4; 1.7
# libbpf.c, load_module_btfs(): what is not in the kernel's BTF is looked for in that of modules.
_MODULES_UNSEEN = "failed to iterate BTF objects"


def _for_want_of_modules(number: int, log: str) -> bool:
    if _MODULES_UNSEEN not in log:
        return False
    # For kernel functions libbpf makes EINVAL of it.
    return number in (errnos.EPERM, errnos.EACCES) or "not found in kernel or module BTFs" in log


def _why_modules(missing: str | None) -> str:
    what = missing or (
        "something that the object asks for (a type, field or function) is not in the kernel's BTF"
    )
    return (
        f"{what}; and to look for it in modules, BTF must be listed by id, for which the process"
        " lacks CAP_SYS_ADMIN"
    )


def _unknown_hook(known: dict[str, Any]) -> str | None:
    """What the verifier refuses without a word: to check a program for a hook that it has not."""
    from pylibbpf.engine.kernel.lacking import why_no_hook

    return why_no_hook(known["section"]) if "section" in known else None


def _locked(log: str) -> str | None:
    """What the verifier cannot know: that the helper it does not give is taken away."""
    end = log[-1000:]
    if "unknown func bpf_" not in end and "cannot use helper bpf_" not in end:
        return None
    from pylibbpf.engine.kernel.privileges import Host, kept_helper, locked_helper

    return locked_helper(Host(), end) or kept_helper(Host(), end)


def _why_not_loaded(known: dict[str, Any], number: int) -> str | None:
    """What libbpf did not find in the kernel's BTF for a program, which it says only so."""
    if number != errnos.ESRCH or "attach_type" not in known:
        return None
    from pylibbpf.engine.kernel.targets import why_not_in_btf

    _, _, target = known["section"].partition("/")
    return why_not_in_btf(target, known["attach_type"]) if target else None


def _absent() -> NotSupportedError | None:
    ffi, lib = load()
    index = lib.plb_absent_take()
    if index < 0:
        return None
    name = ffi.string(lib.plb_function_name(index)).decode()
    since = ffi.string(lib.plb_function_since(index)).decode()
    major, minor = version()
    return NotSupportedError(f"{name}() needs libbpf {since}; {path()} is {major}.{minor}")


def _verifier_log(capture: Capture) -> tuple[str | None, str]:
    """Name of the program that failed, and the kernel's complete log of it."""
    program, log = None, ""
    for _, text in capture.messages:
        begin = text.find(_LOG_BEGIN)
        if begin >= 0:
            end = text.rfind(_LOG_END)
            log = text[begin + len(_LOG_BEGIN) : end if end >= 0 else len(text)]
            program = _quoted(text, "prog '")
        elif "BPF program load failed" in text or "failed to load:" in text:
            program = _quoted(text, "prog '") or program
    return program, log


def _failed_map(capture: Capture) -> str | None:
    for _, text in reversed(capture.messages):
        if "failed to create" in text and "map '" in text:
            return _quoted(text, "map '")
    return None


def _quoted(text: str, before: str) -> str | None:
    start = text.find(before)
    if start < 0:
        return None
    start += len(before)
    end = text.find("'", start)
    return text[start:end] if end >= 0 else None
