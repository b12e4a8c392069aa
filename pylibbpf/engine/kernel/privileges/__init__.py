"""Why the kernel says EPERM or EACCES: look at what this process may do, and say what is missing.

The kernel gives one number for many refusals. Each probe here looks at one possible reason and
either shows it to be the cause, finds it possible, rules it out, or cannot tell. A cause is named
only where a probe shows it.

No probe raises or changes anything. Loaded only when something was refused.
"""

from __future__ import annotations

import errno as _errno
from collections.abc import Callable, Iterable

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.needs import Case, program_of, type_name
from pylibbpf.engine.kernel.privileges import places, policy, rights
from pylibbpf.engine.kernel.privileges.finding import Diagnosis, Finding, Verdict
from pylibbpf.engine.kernel.privileges.places import OPEN_TRACEFS
from pylibbpf.engine.kernel.privileges.policy import (
    NO_KERNEL_MEMORY,
    READ_BY_TYPE,
    UNLOCK,
    filtered_calls,
    lockdown_mode,
    locked_helper,
)
from pylibbpf.engine.kernel.privileges.rights import in_initial_user_namespace, kept_helper
from pylibbpf.uapi.enums import MapType, ProgType

__all__ = [
    "NO_KERNEL_MEMORY",
    "OPEN_TRACEFS",
    "READ_BY_TYPE",
    "UNLOCK",
    "Diagnosis",
    "Finding",
    "Host",
    "Verdict",
    "explain_eperm",
    "filtered_calls",
    "in_initial_user_namespace",
    "kept_helper",
    "lockdown_mode",
    "locked_helper",
]


_REFUSED = (_errno.EPERM, _errno.EACCES)


def explain_eperm(
    operation: str,
    *,
    program_type: str | int | None = None,
    program_types: Iterable[str | int] = (),
    section: str | None = None,
    map_type: str | int | None = None,
    fd: int | None = None,
    system_wide: bool = False,
    capabilities: tuple[str, ...] = (),
    before_verifier: bool = False,
    errno: int = _errno.EPERM,
    host: Host | None = None,
    cgroup_hook: tuple[int, int, int] | None = None,
    socket: int | None = None,
    by_tracefs: bool = False,
    **_facts: object,
) -> Diagnosis:
    """Find out why an operation was refused, by EPERM or EACCES or in disguise. Never raises.

    ``operation`` is the word of the error ("load", "map create", "attach"); the program's type
    or its SEC() name (for a whole object the types of all its programs), or the map's type, tell
    which capabilities it needs; a map's descriptor shows whether the map is frozen or read-only;
    a cgroup's descriptor, with attach type and flags, which program is in the way there.
    ENOSYS has a cause only where a filter gives it, other numbers where a right is missing.
    ``before_verifier``: a load that was refused before the verifier looked at the program.
    Other facts, which :func:`.hints.errno_hint` takes, do no harm here.
    """
    programs = [type_name(program_type, ProgType) or program_of(section)]
    programs += [type_name(each, ProgType) for each in program_types]
    known = tuple(dict.fromkeys(each for each in programs if each))
    words = frozenset(operation.lower().replace("_", " ").split())
    case = Case(
        words,
        errno,
        known,
        type_name(map_type, MapType),
        fd,
        host or Host(),
        cgroup=cgroup_hook,
        system_wide=system_wide,
        more=capabilities,
        before_verifier=before_verifier,
        hook=(section or "").removeprefix("?").partition("/")[0],
        socket=socket,
        by_tracefs=by_tracefs,
    )
    findings: list[Finding] = []
    for probe in _PROBES if errno in _REFUSED else _DISGUISED:
        try:
            found = probe(case)
        except Exception as error:  # the refusal is to be told, whatever a probe stumbles over
            found = Finding(Verdict.UNKNOWN, f"{probe.__name__} ({error})")
        if found is not None:
            findings.append(found)
        shown = found is not None and found.verdict is Verdict.CAUSE
        if probe is policy.system_calls:
            if errno == _errno.ENOSYS and not shown:
                break  # the kernel does not have it: nothing of what follows is the reason
        elif shown:
            break  # whatever is also wrong shows when this one is mended
    return Diagnosis(operation, tuple(findings))


# In the order in which they are asked. A filter acts before the kernel looks at anything else, and
# hides what else is wrong: that is told beside it.
_PROBES: tuple[Callable[[Case], Finding | None], ...] = (
    policy.system_calls,
    rights.user_namespace,
    rights.addresses,
    rights.ids,
    rights.capabilities,
    places.tracefs,
    places.bpffs,
    places.map_permission,
    places.cgroup_policy,
    policy.perf_paranoid,
    places.locked_filter,
    policy.perf_memory,
    policy.memlock,
    policy.verifier,
    policy.lockdown,
    policy.security_modules,
)
# What a refusal that came as another errno may be for.
_DISGUISED = (policy.system_calls, rights.user_namespace, rights.capabilities, policy.lockdown)
