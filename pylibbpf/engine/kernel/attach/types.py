"""Whether a program fits where it is to be attached, judged before the kernel is asked."""

from __future__ import annotations

import errno

from pylibbpf.errors import BpfError
from pylibbpf.uapi.enums import AttachType, ProgType, named
from pylibbpf.uapi.targets import ANY_OF_ITS_KIND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pylibbpf.engine.kernel.programs import KernelProgram

__all__ = ["attach_type"]


def attach_type(
    program: KernelProgram,
    kinds: Mapping[int, tuple[AttachType, ...]],
    wanted: int | None,
) -> int:
    """The attach type of a program there: the one wanted, that of its SEC(), or the only one."""
    kind, declared = program.type, program.expected_attach_type
    possible = kinds[kind]
    if kind == ProgType.LSM and declared != AttachType.LSM_CGROUP:
        raise _refused(program, "is for the whole system: for a cgroup it is lsm_cgroup")
    if wanted is None:
        # 0 is BPF_CGROUP_INET_INGRESS, and what libbpf gives for a SEC() that leaves it open.
        if declared in possible and (declared or program.section.endswith("/ingress")):
            return declared
        if len(possible) == 1:
            return possible[0]
        names = ", ".join(each.name for each in possible)
        raise _refused(program, f"does not say to which hook: give attach_type, one of {names}")
    anyone = kind in ANY_OF_ITS_KIND or declared not in possible
    if wanted not in possible or not (anyone or wanted == declared):
        fits = possible if anyone else (named(AttachType, declared),)
        names = " or ".join(_name(each) for each in fits)
        asked = _name(named(AttachType, wanted))
        raise _refused(program, f"is for {names}, and cannot be attached as {asked}")
    return wanted


def _refused(program: KernelProgram, why: str) -> BpfError:
    return BpfError(errno.EINVAL, "attach", program.name, f'SEC("{program.section}") {why}')


def _name(value: int) -> str:
    return getattr(value, "name", str(value))
