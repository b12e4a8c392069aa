"""SEC() names that attach themselves.

Source: the table ``section_defs`` in libbpf's libbpf.c, version 1.7: the names whose definition
has an attach function. 39 names, without the part behind the slash.
"""

from __future__ import annotations

AUTO_ATTACH = frozenset(
    (
        "kprobe",
        "kretprobe",
        "kprobe.multi",
        "kretprobe.multi",
        "kprobe.session",
        "ksyscall",
        "kretsyscall",
        "uprobe",
        "uprobe.s",
        "uretprobe",
        "uretprobe.s",
        "uprobe.multi",
        "uprobe.multi.s",
        "uretprobe.multi",
        "uretprobe.multi.s",
        "uprobe.session",
        "uprobe.session.s",
        "usdt",
        "usdt.s",
        "tracepoint",
        "tp",
        "raw_tracepoint",
        "raw_tp",
        "raw_tracepoint.w",
        "raw_tp.w",
        "tp_btf",
        "fentry",
        "fentry.s",
        "fmod_ret",
        "fmod_ret.s",
        "fexit",
        "fexit.s",
        "fsession",
        "fsession.s",
        "freplace",
        "lsm",
        "lsm.s",
        "iter",
        "iter.s",
    )
)

# What an iterator goes through, by what it needs to be told or can be limited to (users of
# bpf_iter_reg_target in the kernel).
ITERATES_MAP = frozenset(("bpf_map_elem", "bpf_sk_storage_map", "sockmap"))
ITERATES_TASKS = frozenset(("task", "task_file", "task_vma"))
ITERATES_CGROUPS = frozenset(("cgroup",))


def attaches_itself(section: str) -> bool:
    """True where libbpf can attach a program of this SEC() without being told more.

    That needs a name with an attach function and, behind the slash, what to attach to:
    ``SEC("kprobe")`` alone leaves the function to the caller, ``SEC("iter/bpf_map_elem")`` the map
    and ``SEC("iter/cgroup")`` the cgroup.
    """
    name, _, target = section.removeprefix("?").partition("/")
    if name in ("iter", "iter.s") and target in ITERATES_MAP | ITERATES_CGROUPS:
        return False
    return name in AUTO_ATTACH and bool(target)
