"""Why the kernel says EPERM or EACCES: look at what this process may do, and say what is missing.

The kernel gives one number for many refusals. Each probe here looks at one possible reason and
either shows it to be the cause, finds it possible, rules it out, or cannot tell. A cause is named
only where a probe shows it.

No probe raises or changes anything. Loaded only when something was refused.
"""

from __future__ import annotations

import enum
import errno as _errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.needs import NETLINK, Case, program_of, type_name
from pylibbpf.engine.kernel.needs import needs as needed
from pylibbpf.uapi.enums import MapType, ProgType

__all__ = [
    "NO_KERNEL_MEMORY",
    "UNLOCK",
    "Diagnosis",
    "Finding",
    "Host",
    "Verdict",
    "explain_eperm",
    "in_initial_user_namespace",
    "lockdown_mode",
]

_NO_TRACEFS = "raw_tp and tp_btf programs attach to the same tracepoints, without tracefs"
UNLOCK = "boot with lockdown=integrity or without Secure Boot"
# bpf_base_func_proto() in kernel/bpf/helpers.c gives the verifier no such helpers then.
NO_KERNEL_MEMORY = (
    "kernel lockdown is in confidentiality mode, which forbids programs to read kernel memory (the"
    " helpers bpf_probe_read*)"
)
_KPROBES = ("kprobe", "kretprobe", "ksyscall", "kretsyscall")
_SO_LOCK_FILTER = 44  # include/uapi/asm-generic/socket.h
_INIT_USER_NAMESPACE = "user:[4026531837]"  # PROC_USER_INIT_INO of include/linux/proc_ns.h


class Verdict(enum.Enum):
    """What a probe found about one possible reason."""

    CAUSE = "cause"
    POSSIBLE = "possible"
    CLEARED = "ruled out"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one probe found; ``text`` completes "the cause is: ..." or "ruled out: ..."."""

    verdict: Verdict
    text: str
    mend: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the probes found about one refused operation."""

    operation: str
    findings: tuple[Finding, ...] = field(default=())

    def _texts(self, verdict: Verdict) -> tuple[str, ...]:
        return tuple(each.text for each in self.findings if each.verdict is verdict)

    @property
    def cause(self) -> str | None:
        """The cause, where a probe shows it."""
        return "; ".join(self._texts(Verdict.CAUSE)) or None

    @property
    def possible(self) -> tuple[str, ...]:
        """What may be the cause, though no probe can show it."""
        return self._texts(Verdict.POSSIBLE)

    @property
    def ruled_out(self) -> tuple[str, ...]:
        """What is not the cause."""
        return self._texts(Verdict.CLEARED)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What could not be found out."""
        return self._texts(Verdict.UNKNOWN)

    @property
    def mend(self) -> str | None:
        """What helps against the cause, or else against what is possible."""
        for verdict in (Verdict.CAUSE, Verdict.POSSIBLE):
            mends = [each.mend for each in self.findings if each.verdict is verdict and each.mend]
            if mends:
                return "; ".join(dict.fromkeys(mends))
        return None

    @property
    def instead(self) -> str | None:
        """What needs no such privilege, and does the like."""
        return "; ".join(each.instead for each in self.findings if each.instead) or None

    def text(self) -> str:
        """The cause and the mend on one line; without a cause, what was ruled out."""
        parts = [self.reason()]
        if self.mend:
            parts.append(f"To mend it: {self.mend}" if self.cause else f"try: {self.mend}")
        if self.instead:
            parts.append(f"Instead: {self.instead}")
        return ". ".join(parts)

    def reason(self) -> str:
        """The cause alone; without one, what is possible and what was ruled out."""
        if self.cause:
            return self.cause
        parts = ["no probe shows the cause"]
        if self.possible:
            parts.append(f"possible: {'; '.join(self.possible)}")
        if self.ruled_out:
            parts.append(f"ruled out: {'; '.join(self.ruled_out)}")
        if self.unknown:
            parts.append(f"not known: {'; '.join(self.unknown)}")
        return ". ".join(parts)


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
    **_facts: object,
) -> Diagnosis:
    """Find out why an operation was refused with EPERM or EACCES. Never raises.

    ``operation`` is the word of the error ("load", "map create", "attach"); the program's type
    or its SEC() name (for a whole object the types of all its programs), or the map's type, tell
    which capabilities it needs; a map's descriptor shows whether the map is frozen or read-only;
    a cgroup's descriptor, with attach type and flags, which program is in the way there.
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
    )
    findings: list[Finding] = []
    for probe in _PROBES:
        try:
            found = probe(case)
        except Exception as error:  # the refusal is to be told, whatever a probe stumbles over
            found = Finding(Verdict.UNKNOWN, f"{probe.__name__.strip('_')} ({error})")
        if found is not None:
            findings.append(found)
        if found is not None and found.verdict is Verdict.CAUSE:
            break  # whatever is also wrong shows when this one is mended
    return Diagnosis(operation, tuple(findings))


def _join(names: tuple[str, ...] | list[str]) -> str:
    caps = [f"CAP_{name}" for name in names]
    return caps[0] if len(caps) == 1 else f"{', '.join(caps[:-1])} and {caps[-1]}"


# --------------------------------------------------------------------------------------------
# The probes, in the order in which they are asked


def _user_namespace(case: Case) -> Finding | None:
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
        "run it outside the user namespace (as real root, or in a privileged container); a BPF"
        " token (kernel 6.9, libbpf 1.5) is the only way inside",
    )


def in_initial_user_namespace(host: Host) -> bool | None:
    """Whether capabilities of this process count for BPF; None where /proc does not tell."""
    where = host.link("proc/self/ns/user")
    if where is not None:
        return where == _INIT_USER_NAMESPACE
    text = host.read("proc/self/uid_map")
    return None if text is None else text.split() == ["0", "0", "4294967295"]


def _capabilities(case: Case) -> Finding | None:
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
            f"the process has CAP_BPF but not {_join(lacking)} (tracing programs need"
            " CAP_PERFMON, network programs CAP_NET_ADMIN)",
            _grant(case, tuple(lacking)),
        )
    return Finding(Verdict.CLEARED, f"capabilities (the process has {_join(needs)})")


def _missing(case: Case, needs: tuple[str, ...], missing: tuple[str, ...]) -> Finding:
    text = f"the process lacks {_join(missing)}"
    sysctl = case.host.number("proc/sys/kernel/unprivileged_bpf_disabled")
    if "BPF" in missing and sysctl:
        text += f" (kernel.unprivileged_bpf_disabled is {sysctl})"
    if "PERFMON" in missing and not case.loads:
        paranoid = case.host.number("proc/sys/kernel/perf_event_paranoid")
        if paranoid is not None:
            text += f" (kernel.perf_event_paranoid is {paranoid})"
    if len(needs) > len(missing):
        kind = ", ".join(case.programs) or case.map or "this"
        text += f"; needed for {kind}: {_join(needs)}"
    if case.loads and case.program is None:
        text += "; tracing programs also need CAP_PERFMON, network programs CAP_NET_ADMIN"
    probe = case.attaches and "SYS_ADMIN" in case.more
    return Finding(Verdict.CAUSE, text, _grant(case, needs), _NO_UPROBE if probe else "")


_NO_UPROBE = (
    'SEC("uprobe.multi") and attach_uprobe_multi() attach to the same functions with CAP_PERFMON'
    " (Linux 6.6, libbpf 1.3)"
)


def _grant(case: Case, needs: tuple[str, ...]) -> str:
    bounding = case.host.capabilities("CapBnd")
    caps = " ".join(f"CAP_{name}" for name in needs)
    if bounding is not None and not set(needs) <= bounding:
        options = " ".join(f"--cap-add={name}" for name in needs)
        return (
            f"the process can never get {_join([n for n in needs if n not in bounding])} here (not"
            f" in its bounding set): start the container with {options}, or the service with"
            f" CapabilityBoundingSet={caps}"
        )
    add = ",".join(f"+{name.lower()}" for name in needs)
    return (
        f"run as root, or grant {_join(needs)} (systemd: AmbientCapabilities={caps}; shell: sudo"
        f" setpriv --reuid=$(id -u) --regid=$(id -g) --init-groups --inh-caps={add}"
        f" --ambient-caps={add} COMMAND; container: "
        + " ".join(f"--cap-add={name}" for name in needs)
        + ")"
    )


def _tracefs(case: Case) -> Finding | None:
    # libbpf reads /sys/kernel/debug/tracing where that exists, else /sys/kernel/tracing.
    if not case.attaches or case.program not in ("tracepoint", "kprobe"):
        return None
    why = case.host.why_unreadable("sys/kernel/tracing/events")
    if why is None:
        return Finding(Verdict.CLEARED, "tracefs (readable)")
    if why == _errno.EACCES or why == _errno.EPERM:
        return Finding(
            Verdict.CAUSE,
            "tracefs (/sys/kernel/tracing) may not be read by this user",
            "sudo mount -o remount,mode=755 /sys/kernel/tracing (libbpf looks up tracepoints"
            " there), or grant CAP_DAC_READ_SEARCH",
            _NO_TRACEFS if case.program == "tracepoint" else "",
        )
    if case.host.why_unreadable("sys/kernel/debug/tracing/events") is None:
        return Finding(Verdict.CLEARED, "tracefs (readable below debugfs)")
    return Finding(
        Verdict.POSSIBLE,
        "tracefs is not mounted at /sys/kernel/tracing",
        "sudo mount -t tracefs tracefs /sys/kernel/tracing",
        _NO_TRACEFS if case.program == "tracepoint" else "",
    )


def _ids(case: Case) -> Finding | None:
    if needed(case) != ("SYS_ADMIN",) or "SYS_ADMIN" in (case.host.capabilities() or ()):
        return None  # _capabilities says what there is to say
    for words, without, instead in _SYS_ADMIN:
        if words <= case.words:
            return Finding(
                Verdict.CAUSE,
                f"the process lacks CAP_SYS_ADMIN, without which the kernel {without}",
                _grant(case, ("SYS_ADMIN",)),
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


def _addresses(case: Case) -> Finding | None:
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
        _grant(case, ("SYSLOG",)),
        names,
    )


def _verifier(case: Case) -> Finding | None:
    if not case.before_verifier:
        return None
    return Finding(
        Verdict.CLEARED, "the verifier (loading is refused before it looks at the program)"
    )


def _bpffs(case: Case) -> Finding | None:
    if not case.pins:
        return None
    where = case.host.mounted("bpf")
    if where is None and case.host.read("proc/self/mounts") is None:
        return Finding(Verdict.UNKNOWN, "whether a BPF file system is mounted")
    if where is None:
        return Finding(
            Verdict.CAUSE,
            "no BPF file system is mounted, and only there can something be pinned",
            "sudo mount -t bpf bpffs /sys/fs/bpf",
        )
    return Finding(
        Verdict.POSSIBLE,
        f"the path is not on a BPF file system (one is mounted at {where}), or its folder may"
        " not be written",
        f"pin below {where}",
    )


def _map_permission(case: Case) -> Finding | None:
    """Reading and writing entries needs no capability, only a descriptor that allows it."""
    if "map" not in case.words or case.makes_map or case.pins:
        return None
    writes = not case.words & {"lookup", "iteration", "read"} or "delete" in case.words
    if writes and case.host.descriptor(case.fd, "frozen"):
        return Finding(
            Verdict.CAUSE,
            "the map is frozen: its content cannot be changed any more",
            "write before the object is loaded (a .rodata variable is constant afterwards; make"
            " it volatile without const, so that it lies in .data or .bss)",
        )
    flags = case.host.descriptor(case.fd, "flags", base=8)
    if flags is None:
        state = "frozen, or was opened read-only" if writes else "opened write-only"
        return Finding(Verdict.POSSIBLE, f"the map is {state}")
    if flags & os.O_ACCMODE == (os.O_RDONLY if writes else os.O_WRONLY):
        how = "read-only (BPF_F_RDONLY)" if writes else "write-only (BPF_F_WRONLY)"
        return Finding(Verdict.CAUSE, f"the map was made or opened {how}", "leave that flag out")
    return Finding(Verdict.CLEARED, "the map's own permissions")


def _cgroup_policy(case: Case) -> Finding | None:
    # kernel/bpf/cgroup.c, hierarchy_allows_attach() and __cgroup_bpf_attach(): -EPERM
    if case.attaches and case.cgroup is not None:
        from pylibbpf.engine.kernel.cgroups import tenant

        found = tenant(*case.cgroup)
        if found is not None:
            return Finding(
                Verdict.CAUSE,
                f"{found}, which allows no such program beside it or below",
                "detach that one first, attach with its mode, or attach to another cgroup",
            )
    if not case.attaches or not (case.program or "").startswith(("cgroup_", "sock_ops")):
        return None
    return Finding(
        Verdict.POSSIBLE,
        "a program is attached to this cgroup, or to one above it, that does not allow others"
        " (other flags than BPF_F_ALLOW_MULTI or BPF_F_ALLOW_OVERRIDE)",
        "look for it with bpftool cgroup tree",
    )


def _perf_paranoid(case: Case) -> Finding | None:
    """Debian's and others' kernels know a level 3, for which CAP_PERFMON is not enough.

    The mainline's do not (kernel/events/core.c): there it is no reason for anything.
    """
    paranoid = case.host.number("proc/sys/kernel/perf_event_paranoid")
    if not (case.by_perf or case.opens_perf_buffer) or case.errno != _errno.EACCES:
        return None
    if paranoid is None or paranoid < 3 or "SYS_ADMIN" in (case.host.capabilities() or ()):
        return None
    return Finding(
        Verdict.CAUSE,
        f"kernel.perf_event_paranoid is {paranoid}: this kernel (Debian's, say) then gives perf"
        " events to CAP_SYS_ADMIN alone",
        "sudo sysctl kernel.perf_event_paranoid=2",
        "a ring buffer (BPF_MAP_TYPE_RINGBUF) needs no perf events"
        if case.opens_perf_buffer
        else "raw_tp, tp_btf and fentry programs need no perf events",
    )


def _locked_filter(case: Case) -> Finding | None:
    # net/core/filter.c: -EPERM where SO_LOCK_FILTER is set.
    if case.socket is None:
        return None
    import socket

    with socket.socket(fileno=os.dup(case.socket)) as copy:
        if not copy.getsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER):
            return Finding(Verdict.CLEARED, "a lock on the socket's filter")
    return Finding(Verdict.CAUSE, "the socket's filter is locked for good (SO_LOCK_FILTER)")


def _perf_memory(case: Case) -> Finding | None:
    if not case.opens_perf_buffer:
        return None
    limit = case.host.number("proc/sys/kernel/perf_event_mlock_kb")
    if limit is None:
        return Finding(Verdict.UNKNOWN, "the limit on memory for perf buffers")
    if "IPC_LOCK" in (case.host.capabilities() or ()):
        return Finding(Verdict.CLEARED, "the limit on memory for perf buffers (CAP_IPC_LOCK)")
    return Finding(
        Verdict.POSSIBLE,
        f"the buffer is larger than kernel.perf_event_mlock_kb ({limit} KiB for each CPU)",
        "ask for fewer pages, or raise that sysctl",
    )


def _memlock(case: Case) -> Finding | None:
    kernel = case.host.kernel()
    if not (case.loads or case.makes_map):
        return None
    if kernel is None:
        return Finding(Verdict.UNKNOWN, "the limit on locked memory (kernel version unknown)")
    if kernel >= (5, 11):  # since then BPF memory is charged to the memory cgroup
        return Finding(Verdict.CLEARED, "the limit on locked memory (not used since kernel 5.11)")
    limit = _locked_memory(case.host)
    if limit is None:
        return Finding(Verdict.UNKNOWN, "the limit on locked memory (/proc/self/limits)")
    if limit == "unlimited":
        return Finding(Verdict.CLEARED, "the limit on locked memory (unlimited)")
    return Finding(
        Verdict.CAUSE if int(limit) <= 64 << 10 else Verdict.POSSIBLE,
        f"kernels before 5.11 charge BPF memory to the limit on locked memory, here {limit} bytes",
        "ulimit -l unlimited (as root), LimitMEMLOCK=infinity in a systemd unit, or"
        " resource.setrlimit(resource.RLIMIT_MEMLOCK, ...) before",
    )


def _locked_memory(host: Host) -> str | None:
    for line in (host.read("proc/self/limits") or "").splitlines():
        if line.startswith("Max locked memory"):
            soft = line.removeprefix("Max locked memory").split()[:1]
            return soft[0] if soft and (soft[0].isdigit() or soft[0] == "unlimited") else None
    return None


def _lockdown(case: Case) -> Finding | None:
    mode = lockdown_mode(case.host)
    source = ""
    if mode is None:
        mode, source = _lockdown_asked(case.host), " on the kernel's command line"
    if mode is None:
        return Finding(
            Verdict.UNKNOWN,
            "kernel lockdown (securityfs is not mounted: sudo mount -t securityfs securityfs"
            " /sys/kernel/security)",
        )
    if mode != "confidentiality":
        # "integrity" refuses one helper (bpf_probe_write_user), and that with EINVAL.
        return Finding(Verdict.CLEARED, f"kernel lockdown ({mode}{source})")
    # Of what this library attaches, only kprobes are refused (__register_trace_kprobe in
    # kernel/trace/trace_kprobe.c); seen on 6.12. Programs that read kernel memory are refused by
    # the verifier, with EINVAL.
    refused = case.attaches and case.program == "kprobe" and case.hook in ("", *_KPROBES)
    if not refused:
        return Finding(
            Verdict.CLEARED,
            f"kernel lockdown (confidentiality{source}: refuses kprobes and reading kernel memory)",
        )
    return Finding(
        Verdict.CAUSE if case.hook else Verdict.POSSIBLE,  # a uprobe is of the same program type
        f"kernel lockdown is in confidentiality mode{source}, which forbids kprobes",
        UNLOCK,
        "kprobe.multi, fentry, tp_btf and raw_tp are not forbidden",
    )


def lockdown_mode(host: Host) -> str | None:
    """The mode of kernel lockdown; None where securityfs does not tell."""
    return _bracketed(host.read("sys/kernel/security/lockdown"))


def _bracketed(text: str | None) -> str | None:
    start = (text or "").find("[")
    end = (text or "").find("]", start)
    return text[start + 1 : end] if text and 0 <= start < end else None


def _lockdown_asked(host: Host) -> str | None:
    for word in (host.read("proc/cmdline") or "").split():
        if word.startswith("lockdown="):
            return word.partition("=")[2]
    return None


def _syscall_filter(case: Case) -> Finding | None:
    """Call bpf(2) with a command that does not exist: only a filter answers EPERM to that."""
    mode = case.host.status("Seccomp")
    answer = case.host.bpf_answer()
    if answer == _errno.EINVAL:
        return Finding(Verdict.CLEARED, "seccomp and other filters of bpf(2)")
    if answer in (_errno.EPERM, _errno.EACCES, _errno.ENOSYS):
        if mode == "2":
            return Finding(
                Verdict.CAUSE,
                "a seccomp filter refuses the system call bpf(2) to this process (a container?)",
                "run the container with a seccomp profile that allows bpf and perf_event_open"
                " (docker: --security-opt seccomp=unconfined)",
            )
        return Finding(
            Verdict.CAUSE,
            "the system call bpf(2) itself is refused, by a security module",
            "look for the denial in the kernel's audit log (dmesg, ausearch -m avc)",
        )
    if mode == "2":
        return Finding(
            Verdict.POSSIBLE, "a seccomp filter is active", "allow bpf and perf_event_open in it"
        )
    if mode == "0":
        return Finding(Verdict.CLEARED, "seccomp (not active)")
    return Finding(Verdict.UNKNOWN, "seccomp")


def _security_modules(case: Case) -> Finding | None:
    text = case.host.read("sys/kernel/security/lsm")
    label = (case.host.read("proc/self/attr/current") or "").strip("\0\n ")
    if text is None and not label:
        return Finding(Verdict.UNKNOWN, "security modules")
    modules = frozenset((text or "").strip().split(","))
    confining = modules & {"selinux", "apparmor", "smack", "tomoyo", "bpf"}
    if (not confining and text is not None) or label.startswith("unconfined"):
        loaded = sorted(modules - {"", "capability"})
        return Finding(Verdict.CLEARED, f"security modules ({', '.join(loaded) or 'none'})")
    about = f" as {label}" if label else ""
    return Finding(
        Verdict.POSSIBLE,
        f"a policy of {', '.join(sorted(confining)) or 'a security module'}{about}",
        "look for the denial in the kernel's audit log (dmesg, ausearch -m avc)",
    )


_PROBES: tuple[Callable[[Case], Finding | None], ...] = (
    _user_namespace,
    _addresses,
    _ids,
    _capabilities,
    _tracefs,
    _bpffs,
    _map_permission,
    _cgroup_policy,
    _perf_paranoid,
    _locked_filter,
    _perf_memory,
    _memlock,
    _verifier,
    _lockdown,
    _syscall_filter,
    _security_modules,
)
