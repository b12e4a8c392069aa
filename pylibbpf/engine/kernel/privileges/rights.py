"""What this process may do: the user namespace and capabilities."""

from __future__ import annotations

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.needs import NETLINK, Case, kept_by_sysctl
from pylibbpf.engine.kernel.needs import needs as needed
from pylibbpf.engine.kernel.privileges.finding import Finding, Verdict, join
from pylibbpf.engine.kernel.privileges.policy import refused_helper

__all__ = [
    "addresses",
    "capabilities",
    "ids",
    "in_initial_user_namespace",
    "kept_helper",
    "user_namespace",
]

_INIT_USER_NAMESPACE = "user:[4026531837]"  # PROC_USER_INIT_INO of include/linux/proc_ns.h


def user_namespace(case: Case) -> Finding | None:
    initial = in_initial_user_namespace(case.host)
    if initial:
        return Finding(Verdict.CLEARED, "a user namespace")
    if initial is None:
        return Finding(Verdict.UNKNOWN, "whether this is a user namespace (/proc is missing)")
    if not needed(case):
        return Finding(
            Verdict.POSSIBLE,
            "the process is in a user namespace, where capabilities do not count for BPF",
        )
    return Finding(
        Verdict.CAUSE,
        "the process is in a user namespace, where capabilities do not count for BPF"
        " (a rootless container?)",
        "run it outside the user namespace (as real root, or in a privileged container); the"
        " only way inside is a BPF token (Linux 6.9, libbpf 1.4), which libbpf takes by itself"
        " from a bpffs that real root has delegated to the namespace and mounted at /sys/fs/bpf",
    )


def in_initial_user_namespace(host: Host) -> bool | None:
    """Whether capabilities of this process count for BPF; None where /proc does not tell."""
    where = host.link("proc/self/ns/user")
    if where is not None:
        return where == _INIT_USER_NAMESPACE
    text = host.read("proc/self/uid_map")
    return None if text is None else text.split() == ["0", "0", "4294967295"]


def capabilities(case: Case) -> Finding | None:
    have = case.host.capabilities()
    needs = needed(case)
    if have is None:
        return Finding(Verdict.UNKNOWN, "the capabilities (/proc/self/status cannot be read)")
    if not needs:
        return None
    missing = tuple(name for name in needs if name not in have)
    if "SYS_ADMIN" in have:
        # It stands for the others in bpf(2); rtnetlink asks for CAP_NET_ADMIN itself.
        by_netlink = case.attaches and case.program in NETLINK
        missing = tuple(name for name in missing if name == "NET_ADMIN" and by_netlink)
    if missing:
        return _missing(case, needs, missing)
    if "SYS_ADMIN" in have:
        return Finding(Verdict.CLEARED, "capabilities (the process has CAP_SYS_ADMIN)")
    if case.loads and case.program is None and not {"PERFMON", "NET_ADMIN"} <= have:
        lacking = [name for name in ("PERFMON", "NET_ADMIN") if name not in have]
        return Finding(
            Verdict.POSSIBLE,
            f"the process has CAP_BPF but not {join(lacking)} (tracing programs need"
            " CAP_PERFMON, network programs CAP_NET_ADMIN)",
            _grant(case.host, tuple(lacking)),
        )
    return Finding(Verdict.CLEARED, f"capabilities (the process has {join(needs)})")


def _missing(case: Case, needs: tuple[str, ...], missing: tuple[str, ...]) -> Finding:
    text = f"the process lacks {join(missing)}"
    sysctl = kept_by_sysctl(case)
    mend = _grant(case.host, needs)
    if "BPF" in missing and sysctl:
        text += (
            f", and kernel.unprivileged_bpf_disabled is {sysctl}: at 0 this is open to every user"
        )
        # 1 stays until the next boot (bpf_unpriv_handler() in kernel/bpf/syscall.c).
        if sysctl == 2:
            mend += "; or open it to all: sudo sysctl kernel.unprivileged_bpf_disabled=0"
    if "PERFMON" in missing and not case.loads:
        paranoid = case.host.number("proc/sys/kernel/perf_event_paranoid")
        if paranoid is not None:
            text += f" (kernel.perf_event_paranoid is {paranoid})"
    if len(needs) > len(missing):
        kind = ", ".join(case.programs) or case.map or "this"
        text += f"; needed for {kind}: {join(needs)}"
    if case.loads and case.program is None:
        text += "; tracing programs also need CAP_PERFMON, network programs CAP_NET_ADMIN"
    probe = case.attaches and "SYS_ADMIN" in case.more
    return Finding(Verdict.CAUSE, text, mend, _NO_UPROBE if probe else "")


_NO_UPROBE = (
    'SEC("uprobe.multi") and attach_uprobe_multi() attach to the same functions with CAP_PERFMON'
    " (Linux 6.6, libbpf 1.3)"
)


# What bpf_base_func_proto() in kernel/bpf/helpers.c (6.1 to 7.2) gives with CAP_PERFMON alone.
_PERFMON_HELPERS = frozenset(
    (
        *("trace_printk", "trace_vprintk", "snprintf", "snprintf_btf", "task_pt_regs"),
        *("get_current_task", "get_current_task_btf", "probe_read_user", "probe_read_user_str"),
        *("probe_read_kernel", "probe_read_kernel_str"),
    )
)


def kept_helper(host: Host, log: str) -> str | None:
    """Why the verifier does not give a helper, where a capability is missing; from its log."""
    name, have = refused_helper(log), host.capabilities()
    if have is None or have & {"PERFMON", "SYS_ADMIN"} or name not in _PERFMON_HELPERS:
        return None
    return (
        f"the helper bpf_{name} is given to programs with CAP_PERFMON alone, which the process"
        f" lacks. To mend it: {_grant(host, (*sorted(have & {'NET_ADMIN'}), 'BPF', 'PERFMON'))}"
    )


def _grant(host: Host, needs: tuple[str, ...]) -> str:
    bounding = host.capabilities("CapBnd")
    caps = " ".join(f"CAP_{name}" for name in needs)
    if bounding is not None and not set(needs) <= bounding:
        options = " ".join(f"--cap-add={name}" for name in needs)
        return (
            f"the process can never get {join([n for n in needs if n not in bounding])} here (not"
            f" in its bounding set): start the container with {options}, or the service with"
            f" CapabilityBoundingSet={caps}"
        )
    add = ",".join(f"+{name.lower()}" for name in needs)
    return (
        f"run as root, or grant {join(needs)} (systemd: AmbientCapabilities={caps}; shell: sudo"
        f" setpriv --reuid=$(id -u) --regid=$(id -g) --init-groups --inh-caps={add}"
        f" --ambient-caps={add} COMMAND; container: "
        + " ".join(f"--cap-add={name}" for name in needs)
        + ")"
    )


def ids(case: Case) -> Finding | None:
    if needed(case) != ("SYS_ADMIN",) or "SYS_ADMIN" in (case.host.capabilities() or ()):
        return None  # capabilities() says what there is to say
    for words, without, instead in _SYS_ADMIN:
        if words <= case.words:
            return Finding(
                Verdict.CAUSE,
                f"the process lacks CAP_SYS_ADMIN, without which the kernel {without}",
                _grant(case.host, ("SYS_ADMIN",)),
                instead,
            )
    return None


# For operations with these words: what the kernel does not do without CAP_SYS_ADMIN (kernel/bpf/
# syscall.c: bpf_prog_get_fd_by_id() and its like, bpf_enable_stats()), and what helps all the same.
_SYS_ADMIN: tuple[tuple[frozenset[str], str, str], ...] = (
    (
        frozenset(("btf", "id")),
        "gives nobody the types of a map or program that another process made",
        "open_map(path, raw=True) needs no types: keys and values are bytes",
    ),
    (
        frozenset(("stats",)),
        "does not count runs and their time",
        "test_run(repeat=n) tells how long a run takes, without it",
    ),
    (
        frozenset(("network", "namespace")),
        "lets nobody into another network namespace",
        "run inside it (sudo ip netns exec NAME COMMAND; systemd: NetworkNamespacePath=)",
    ),
    (
        frozenset(),
        "gives nothing by its id",
        "open what was pinned by its path: that needs the right to read and write the pin's file",
    ),
)


def addresses(case: Case) -> Finding | None:
    # kernel/ksyms_common.c, kallsyms_show_value()
    if "addresses" not in case.words:
        return None
    restrict = case.host.number("proc/sys/kernel/kptr_restrict")
    paranoid = case.host.number("proc/sys/kernel/perf_event_paranoid")
    names = "use symbols by name: what attaches by name needs no addresses"
    if restrict is not None and restrict >= 2:
        return Finding(
            Verdict.CAUSE,
            f"kernel.kptr_restrict is {restrict}: the kernel shows its addresses to nobody",
            "sudo sysctl kernel.kptr_restrict=1",
            names,
        )
    have = case.host.capabilities()
    if have is None or "SYSLOG" in have:
        return None
    return Finding(
        Verdict.CAUSE,
        "the process lacks CAP_SYSLOG, without which the kernel shows zeros for its addresses"
        f" (kernel.kptr_restrict is {restrict}, kernel.perf_event_paranoid is {paranoid})",
        _grant(case.host, ("SYSLOG",)),
        names,
    )
