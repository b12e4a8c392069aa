"""The security module by which the kernel calls programs for its security hooks.

Without it they load and attach as well, and nobody ever calls them (security/bpf/hooks.c registers
the hooks with it).
"""

from __future__ import annotations

import errno

from pylibbpf.engine.kernel.host import Host
from pylibbpf.errors import BpfError

__all__ = ["MODULES", "need_active", "why_idle"]

MODULES = "sys/kernel/security/lsm"


def why_idle(host: Host) -> tuple[str, str] | None:
    """Why nobody would call a program, and what mends that; None where nothing is against it.

    Nor where securityfs does not tell.
    """
    text = host.read(MODULES)
    active = (text or "").strip("\0\n ").split(",")
    if text is None or "bpf" in active:
        return None
    # "capability" is always there, and is not for the command line to name.
    rest = ",".join([each for each in active if each not in ("", "capability")] + ["bpf"])
    return (
        "the security module bpf is not active, and nobody would ever call the program",
        f"boot with lsm={rest} on the kernel's command line (it needs CONFIG_BPF_LSM)",
    )


def need_active(program: str, host: Host | None = None) -> None:
    """Refuse to attach a program that would only seem to be in force.

    Raises:
        BpfError: the module is not active.
    """
    found = why_idle(host or Host())
    if found is not None:
        why, mend = found
        text = f"{why}. To mend it: {mend}. Instead: fmod_ret, on the functions security_*"
        raise BpfError(errno.EOPNOTSUPP, "attach", program, text)
