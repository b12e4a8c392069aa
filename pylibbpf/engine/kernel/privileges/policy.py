"""What the system allows to nobody, or to few: limits, lockdown, seccomp, security modules."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.needs import Case
from pylibbpf.engine.kernel.privileges.finding import Finding, Verdict

__all__ = [
    "NO_KERNEL_MEMORY",
    "READ_BY_TYPE",
    "UNLOCK",
    "filtered_calls",
    "lockdown",
    "lockdown_mode",
    "locked_helper",
    "memlock",
    "perf_memory",
    "perf_paranoid",
    "refused_helper",
    "security_modules",
    "system_calls",
    "verifier",
]

UNLOCK = "boot with lockdown=integrity or without Secure Boot"
NO_KERNEL_MEMORY = (
    "kernel lockdown is in confidentiality mode, which forbids programs to read kernel memory (the"
    " helpers bpf_probe_read_kernel and bpf_probe_read, and their _str)"
)
READ_BY_TYPE = (
    "what the verifier knows the type of is read without helpers (in tp_btf, fentry and iter"
    " programs, from bpf_get_current_task_btf()), which is not forbidden"
)
_NO_USER_MEMORY = (
    "kernel lockdown is in {mode} mode, which forbids programs to write into the memory of"
    " processes (bpf_probe_write_user)"
)
# bpf_base_func_proto() in kernel/bpf/helpers.c and bpf_tracing_func_proto() in
# kernel/trace/bpf_trace.c give the verifier no such helpers then.
_READS = ("probe_read", "probe_read_str", "probe_read_kernel", "probe_read_kernel_str")
_KPROBES = ("kprobe", "kretprobe", "ksyscall", "kretsyscall")


def verifier(case: Case) -> Finding | None:
    if not case.before_verifier:
        return None
    return Finding(
        Verdict.CLEARED, "the verifier (loading is refused before it looks at the program)"
    )


def perf_paranoid(case: Case) -> Finding | None:
    """Debian's and others' kernels know a level 3, for which CAP_PERFMON is not enough.

    The mainline's do not (kernel/events/core.c): there it is no reason for anything.
    """
    paranoid = case.host.number("proc/sys/kernel/perf_event_paranoid")
    if not (case.by_perf or case.opens_perf_buffer) or case.errno != errno.EACCES:
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


def perf_memory(case: Case) -> Finding | None:
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


def memlock(case: Case) -> Finding | None:
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


def lockdown(case: Case) -> Finding | None:
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


def locked_helper(host: Host, log: str) -> str | None:
    """Why the verifier does not give a helper, where lockdown takes it away; from its log."""
    mode = lockdown_mode(host)
    if mode not in ("integrity", "confidentiality"):
        return None
    name = refused_helper(log)
    if name in _READS and mode == "confidentiality":
        return f"{NO_KERNEL_MEMORY}. To mend it: {UNLOCK}. Instead: {READ_BY_TYPE}"
    if name == "probe_write_user":
        return f"{_NO_USER_MEMORY.format(mode=mode)}. To mend it: boot without lockdown"
    return None


def refused_helper(log: str) -> str:
    """The helper that the verifier does not give to a program, without bpf_; "" if that is not it.

    ``log`` is the end of what it wrote.
    """
    for line in log.splitlines():
        if "unknown func bpf_" in line or "cannot use helper bpf_" in line:
            return line.rpartition("bpf_")[2].partition("#")[0]
    return ""


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


def system_calls(case: Case) -> Finding | None:
    """Make each call so wrong that only a filter, which acts first, says anything but EINVAL."""
    if case.words & {"addresses", "namespace"}:
        return None  # these are other calls
    mode = case.host.status("Seccomp")
    calls = _calls(case.host)[: 2 if case.by_perf or case.opens_perf_buffer else 1]
    for call in calls:
        if call.answer in _FILTERED:
            return _filtered(case, call, mode)
    if any(call.answer is None for call in calls):
        return _unanswered(mode)
    if mode == "2":
        names = " and ".join(f"{call.name}(2)" for call in calls)
        return Finding(Verdict.CLEARED, f"seccomp (a filter is active, and lets {names} through)")
    return Finding(Verdict.CLEARED, "seccomp and other filters of system calls")


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    answer: int | None  # the errno of a call that makes no sense
    shows: str  # a file that is there where the kernel has the call

    def is_built_in(self, host: Host) -> bool:
        return host.read(self.shows) is not None


def _calls(host: Host) -> list[_Call]:
    return [
        _Call("bpf", host.bpf_answer(), "proc/sys/kernel/unprivileged_bpf_disabled"),
        _Call("perf_event_open", host.perf_answer(), "proc/sys/kernel/perf_event_paranoid"),
    ]


def filtered_calls(host: Host) -> tuple[str, ...]:
    """The system calls for BPF that a seccomp filter refuses to this process."""
    if host.status("Seccomp") != "2":
        return ()
    return tuple(
        call.name
        for call in _calls(host)
        if call.answer in _FILTERED
        and (call.answer != errno.ENOSYS or call.is_built_in(host))
        and (call.name != "bpf" or call.answer != errno.EPERM or _commands_are_read(host))
    )


_FILTERED = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def _filtered(case: Case, call: _Call, mode: str | None) -> Finding | None:
    if call.name == "bpf" and call.answer == errno.EPERM and not _commands_are_read(case.host):
        return Finding(Verdict.UNKNOWN, "seccomp")
    if mode == "2":
        built_in = call.answer != errno.ENOSYS or call.is_built_in(case.host)
        return Finding(
            Verdict.CAUSE if built_in else Verdict.POSSIBLE,
            f"a seccomp filter refuses the system call {call.name}(2) to this process"
            " (a container, or SystemCallFilter= of systemd?)",
            f"let the filter allow {call.name}: Docker's own does with {_DOCKER[call.name]}"
            f" (another: --security-opt seccomp=PROFILE), systemd's with"
            f" SystemCallFilter={call.name}",
            _NO_PERF_CALLS if call.name == "perf_event_open" and not case.opens_perf_buffer else "",
        )
    if call.answer == errno.ENOSYS:
        return None  # the kernel was built without it, or nobody can tell
    return Finding(
        Verdict.CAUSE,
        f"the system call {call.name}(2) itself is refused, by a security module",
        "look for the denial in the kernel's audit log (dmesg, ausearch -m avc)",
    )


_DOCKER = {"bpf": "--cap-add=BPF", "perf_event_open": "--cap-add=PERFMON"}
_NO_PERF_CALLS = "raw_tp, tp_btf, fentry, kprobe.multi and uprobe.multi need no perf_event_open(2)"


def _commands_are_read(host: Host) -> bool:
    """Whether bpf(2) looks at the command before it looks at capabilities, as since Linux 5.19."""
    kernel = host.kernel()
    if kernel is None or kernel >= (5, 19):
        return True
    if host.number("proc/sys/kernel/unprivileged_bpf_disabled") == 0:
        return True
    return bool({"BPF", "SYS_ADMIN"} & (host.capabilities() or frozenset()))


def _unanswered(mode: str | None) -> Finding:
    if mode == "2":
        return Finding(
            Verdict.POSSIBLE, "a seccomp filter is active", "allow bpf and perf_event_open in it"
        )
    if mode == "0":
        return Finding(Verdict.CLEARED, "seccomp (not active)")
    return Finding(Verdict.UNKNOWN, "seccomp")


def security_modules(case: Case) -> Finding | None:
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
