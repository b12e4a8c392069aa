"""SEC() names that attach themselves.

Apart from the rest of the table (:mod:`pylibbpf.uapi.sections`), because ``obj.attach()`` asks for
no more, and the rest needs enumerations, which take as long to import as attaching does.

Source: the table ``section_defs`` in libbpf's libbpf.c, versions 1.7 and 1.8: the names whose
definition has an attach function.
"""

from __future__ import annotations

__all__ = ["ATTACH_THEMSELVES", "attaches_itself"]

ATTACH_THEMSELVES = frozenset(
    (
        *("kprobe", "kretprobe", "kprobe.multi", "kretprobe.multi", "kprobe.session"),
        *("ksyscall", "kretsyscall", "uprobe", "uprobe.s", "uretprobe", "uretprobe.s"),
        *("uprobe.multi", "uprobe.multi.s", "uretprobe.multi", "uretprobe.multi.s"),
        *("uprobe.session", "uprobe.session.s", "usdt", "usdt.s"),
        *("tracepoint", "tracepoint.s", "tp", "tp.s", "raw_tracepoint", "raw_tracepoint.s"),
        *("raw_tracepoint.w", "raw_tp", "raw_tp.s", "raw_tp.w", "tp_btf", "tp_btf.s"),
        *("fentry", "fentry.s", "fentry.multi", "fentry.multi.s"),
        *("fexit", "fexit.s", "fexit.multi", "fexit.multi.s"),
        *("fsession", "fsession.s", "fsession.multi", "fsession.multi.s"),
        *("fmod_ret", "fmod_ret.s", "freplace", "lsm", "lsm.s", "iter", "iter.s"),
    )
)
# What an iterator goes through, by what it needs to be told or can be limited to (users of
# bpf_iter_reg_target in the kernel).
ITERATES_MAP = frozenset(("bpf_map_elem", "bpf_sk_storage_map", "sockmap"))
ITERATES_TASKS = frozenset(("task", "task_file", "task_vma"))
ITERATES_CGROUPS = frozenset(("cgroup",))


def attaches_itself(name: str) -> bool:
    """True where a program of this SEC() can be attached without being told more.

    That needs a name with an attach function and, behind the slash, what to attach to:
    ``SEC("kprobe")`` alone leaves the function to the caller, ``SEC("iter/bpf_map_elem")`` the map
    and ``SEC("iter/cgroup")`` the cgroup.
    """
    name, _, target = name.removeprefix("?").partition("/")
    if name not in ATTACH_THEMSELVES or not target:
        return False
    return name not in ("iter", "iter.s") or target not in ITERATES_MAP | ITERATES_CGROUPS
