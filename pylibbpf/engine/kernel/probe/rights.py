"""Rights beside loading and attaching: objects by id, kernel addresses, pins."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

from pylibbpf.ability import Ability, Probe
from pylibbpf.engine.kernel.privileges import (
    NO_KERNEL_MEMORY,
    READ_BY_TYPE,
    UNLOCK,
    lockdown_mode,
)
from pylibbpf.engine.kernel.probe.reasons import Asker
from pylibbpf.uapi.enums import ProgType

__all__ = ["RIGHTS", "right"]


@dataclass(frozen=True, slots=True)
class _Right:
    name: str
    ask: Callable[[Asker, Ability], Ability]


def right(asker: Asker, each: _Right) -> Ability:
    """Whether this process has this right."""
    return each.ask(asker, Ability("right", each.name, None))


def _ids(asker: Asker, about: Ability) -> Ability:
    number = asker.kernel.ids()
    if number == errno.ENOENT:
        number = 0  # an answer: no program is loaded at this moment
    probe = Probe("BPF_PROG_GET_NEXT_ID", number)
    if not number:
        return asker.yes(about, probe)
    return asker.no(about, probe, "list ids")


def _addresses(asker: Asker, about: Ability) -> Ability:
    shown = asker.host.addresses_shown()
    if shown is None:
        return asker.unknown(
            about, "/proc/kallsyms cannot be read", Probe("read(/proc/kallsyms)", errno.ENOENT)
        )
    if shown:
        return asker.yes(about, Probe("read(/proc/kallsyms)"))
    # The kernel shows zeros where it means EPERM (kallsyms_show_value in kernel/ksyms_common.c).
    return asker.no(about, Probe("read(/proc/kallsyms), all zero", errno.EPERM), "read addresses")


# r1 = r10 - 8; r2 = 8; r3 = 0; call bpf_probe_read_kernel (113); r0 = 0; exit
_READ_KERNEL = b"".join(
    struct.pack("<BBhi", code, registers, 0, imm)
    for code, registers, imm in (
        (0xBF, 0xA1, 0),
        (0x07, 0x01, -8),
        (0xB7, 0x02, 8),
        (0xB7, 0x03, 0),
        (0x85, 0x00, 113),
        (0xB7, 0x00, 0),
        (0x95, 0x00, 0),
    )
)


def _kernel_memory(asker: Asker, about: Ability) -> Ability:
    about = replace(about, since="5.5")
    kind = ProgType.RAW_TRACEPOINT
    with asker.kernel.program(kind, code=_READ_KERNEL) as answer:
        probe = Probe("BPF_PROG_LOAD(raw_tracepoint), bpf_probe_read_kernel()", answer.errno)
    if not answer.errno:
        return asker.yes(about, probe)
    if answer.errno == errno.EINVAL and lockdown_mode(asker.host) == "confidentiality":
        about = replace(about, instead=READ_BY_TYPE)
        return asker.no(about, probe, "load", reason=NO_KERNEL_MEMORY, mend=UNLOCK)
    return asker.no(about, probe, "load", program_type=kind)


def _pins(asker: Asker, about: Ability) -> Ability:
    place = asker.host.mounted("bpf")
    probe = Probe("read(/proc/self/mounts)", 0 if place else errno.ENOENT)
    if place is None:
        if asker.host.read("proc/self/mounts") is None:
            return asker.unknown(about, "whether a BPF file system is mounted", probe)
        return asker.no(
            about,
            probe,
            "pin",
            reason="no BPF file system is mounted, and only there can something be pinned",
            mend="sudo mount -t bpf bpffs /sys/fs/bpf",
        )
    if asker.host.writable(place.lstrip("/")):
        return asker.yes(about, Probe(f"access({place}, W_OK)"))
    return asker.no(
        about,
        Probe(f"access({place}, W_OK)", errno.EACCES),
        "pin",
        reason=f"{place} may not be written by this user",
        mend=f"sudo mkdir {place}/NAME && sudo chown USER {place}/NAME, and pin there",
    )


RIGHTS = (
    _Right("programs, maps and links by id", _ids),
    _Right("addresses of kernel symbols", _addresses),
    _Right("reading kernel memory", _kernel_memory),
    _Right("pinning", _pins),
)
