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


def attaches_itself(section: str) -> bool:
    """True where libbpf can attach a program of this SEC() without being told more.

    That needs a name with an attach function and, behind the slash, what to attach to:
    ``SEC("kprobe")`` alone leaves the function to the caller.
    """
    name, _, target = section.removeprefix("?").partition("/")
    return name in AUTO_ATTACH and bool(target)
