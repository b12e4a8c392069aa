"""Why EPERM: every branch of the probes, over made-up /proc and /sys trees."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from pylibbpf.engine.kernel.host import CAPABILITIES, Host
from pylibbpf.engine.kernel.privileges import Diagnosis, explain_eperm, locked_helper
from pylibbpf.uapi.enums import MapType, ProgType

ALL = (1 << len(CAPABILITIES)) - 1
INIT_NAMESPACE = "user:[4026531837]"


def bits(*names: str) -> int:
    return sum(1 << CAPABILITIES.index(name) for name in names)


class Machine:
    """A tree of files that stands for a host; root with everything, unless told otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answer: int | None = errno.EINVAL
        self.perf_answer: int | None = errno.EINVAL
        self.write("proc/sys/kernel/osrelease", "6.12.9-amd64\n")
        self.write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n")
        self.write("proc/sys/kernel/perf_event_paranoid", "2\n")
        self.write("proc/self/uid_map", "         0          0 4294967295\n")
        self.write("proc/cmdline", "quiet splash\n")
        self.write("proc/self/mounts", "proc /proc proc rw 0 0\n")
        self.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.write("sys/kernel/security/lsm", "capability,landlock")
        (root / "sys/kernel/tracing/events").mkdir(parents=True)
        self.namespace(INIT_NAMESPACE)
        self.status()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def namespace(self, target: str | None) -> None:
        link = self.root / "proc/self/ns/user"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if target:
            link.symlink_to(target)

    def status(self, effective: int = ALL, bounding: int = ALL, seccomp: str = "0") -> None:
        self.write(
            "proc/self/status",
            f"Name:\tpython3\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\n"
            f"Seccomp:\t{seccomp}\n",
        )

    def host(self) -> Host:
        return Host(str(self.root), lambda: self.answer, lambda: self.perf_answer)

    def why(self, operation: str, **case: object) -> Diagnosis:
        return explain_eperm(operation, host=self.host(), **case)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# ---- capabilities


@pytest.mark.parametrize(
    ("program", "missing"),
    [
        ("socket_filter", "CAP_BPF"),
        ("tracepoint", "CAP_BPF and CAP_PERFMON"),
        (ProgType.KPROBE, "CAP_BPF and CAP_PERFMON"),
        (int(ProgType.XDP), "CAP_BPF and CAP_NET_ADMIN"),
        ("BPF_PROG_TYPE_EXT", "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"),
        (None, "CAP_BPF"),
    ],
)
def test_loading_names_the_missing_capabilities(
    machine: Machine, program: object, missing: str
) -> None:
    machine.status(effective=0)
    found = machine.why("load", program_type=program)
    assert found.cause is not None
    assert found.cause.startswith(f"the process lacks {missing}")
    # Only what is open to all where the sysctl allows it is kept from them by the sysctl.
    by_sysctl = program == "socket_filter"
    assert ("unprivileged_bpf_disabled is 2" in found.cause) is by_sysctl
    assert found.mend is not None
    assert ("sudo sysctl kernel.unprivileged_bpf_disabled=0" in found.mend) is by_sysctl
    assert "run as root" in found.mend
    assert f"grant {missing}" in found.mend
    assert found.text() == f"{found.cause}. To mend it: {found.mend}"


@pytest.mark.parametrize(
    ("have", "missing"),
    [
        (("BPF",), "the process lacks CAP_PERFMON; needed for tracepoint: CAP_BPF and CAP_PERFMON"),
        (("PERFMON",), "the process lacks CAP_BPF; needed for tracepoint"),
        (("BPF", "PERFMON"), None),
        (("SYS_ADMIN",), None),
    ],
)
def test_what_the_process_has_counts(
    machine: Machine, have: tuple[str, ...], missing: str | None
) -> None:
    machine.status(effective=bits(*have))
    found = machine.why("load", program_type="tracepoint")
    assert (found.cause or "").startswith(missing or "")
    assert (found.cause is None) == (missing is None)
    if missing is None:
        assert any(text.startswith("capabilities") for text in found.ruled_out)


def test_a_section_name_tells_the_program_type(machine: Machine) -> None:
    machine.status(effective=bits("BPF"))
    for section, missing in (
        ("?tp/syscalls/sys_enter_openat", "CAP_PERFMON"),
        ("tp_btf/sched_switch", "CAP_PERFMON"),
        ("fentry.s/do_open", "CAP_PERFMON"),
        ("xdp.frags", "CAP_NET_ADMIN"),
        ("tcx/ingress", "CAP_NET_ADMIN"),
        ("flow_dissector", "CAP_NET_ADMIN"),
        ("cgroup/connect4", "CAP_NET_ADMIN"),
    ):
        cause = machine.why("load", section=section).cause
        assert cause is not None, section
        assert cause.startswith(f"the process lacks {missing}"), section
    assert machine.why("load", section="socket").cause is None


def test_a_whole_object_needs_what_its_programs_need(machine: Machine) -> None:
    machine.status(effective=0)
    found = machine.why("load", program_types=["xdp", ProgType.TRACEPOINT, "sched_cls"])
    assert found.cause is not None
    assert found.cause.startswith("the process lacks CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
    machine.status(effective=bits("BPF", "PERFMON"))
    found = machine.why("load", program_types=["xdp", ProgType.TRACEPOINT])
    assert found.cause == (
        "the process lacks CAP_NET_ADMIN; needed for xdp, tracepoint: CAP_BPF, CAP_NET_ADMIN and"
        " CAP_PERFMON"
    )
    machine.write("proc/sys/kernel/unprivileged_bpf_disabled", "0\n")
    machine.status(effective=0)
    assert machine.why("load", program_types=["socket_filter", "cgroup_skb"]).cause is None
    assert machine.why("load", program_types=["socket_filter", "xdp"]).cause is not None


def test_a_program_of_unknown_type_may_need_more(machine: Machine) -> None:
    machine.status(effective=bits("BPF"))
    found = machine.why("load")
    assert found.cause is None
    assert "not CAP_PERFMON and CAP_NET_ADMIN" in found.possible[0]
    assert found.mend is not None
    assert found.mend in found.text()


def test_unprivileged_programs_and_maps_where_the_sysctl_allows_them(machine: Machine) -> None:
    machine.write("proc/sys/kernel/unprivileged_bpf_disabled", "0\n")
    machine.status(effective=0)
    assert machine.why("load", program_type="socket_filter").cause is None
    assert machine.why("create map", map_type="hash").cause is None
    assert "CAP_BPF" in (machine.why("load", program_type="xdp").cause or "")
    assert "CAP_BPF" in (machine.why("create map", map_type="lru_hash").cause or "")


def test_a_sysctl_that_stays_until_the_next_boot(machine: Machine) -> None:
    machine.write("proc/sys/kernel/unprivileged_bpf_disabled", "1\n")
    machine.status(effective=0)
    for case in ({"operation": "load", "section": "socket"}, {"operation": "create map"}):
        found = machine.why(**case, map_type="hash")
        assert "kernel.unprivileged_bpf_disabled is 1" in (found.cause or "")
        assert "unprivileged_bpf_disabled=0" not in (found.mend or "")


def test_where_the_sysctl_allows_it_some_maps_need_no_cap_bpf(machine: Machine) -> None:
    machine.write("proc/sys/kernel/unprivileged_bpf_disabled", "0\n")
    machine.status(effective=0)
    cause = machine.why("create map", map_type="sockmap").cause
    assert cause == "the process lacks CAP_NET_ADMIN"
    assert machine.why("load btf").cause == "the process lacks CAP_BPF"


def test_maps(machine: Machine) -> None:
    machine.status(effective=bits("BPF"))
    assert machine.why("map create", map_type=MapType.HASH).cause is None
    cause = machine.why("create map", map_type=MapType.SOCKMAP).cause
    assert cause is not None
    assert cause.startswith("the process lacks CAP_NET_ADMIN")


@pytest.mark.parametrize(
    ("program", "paranoid", "missing"),
    [
        ("tracepoint", "2", "CAP_PERFMON"),
        ("tracepoint", "-1", None),
        ("perf_event", "1", None),
        ("kprobe", "-1", "CAP_PERFMON"),
        ("xdp", "2", "CAP_NET_ADMIN"),
        ("cgroup_skb", "2", "CAP_NET_ADMIN"),
        ("raw_tracepoint", "2", None),
    ],
)
def test_attaching(machine: Machine, program: str, paranoid: str, missing: str | None) -> None:
    machine.write("proc/sys/kernel/perf_event_paranoid", paranoid)
    machine.status(effective=bits("BPF"))
    cause = machine.why("attach", program_type=program, errno=errno.EACCES).cause
    if missing is None:
        assert cause is None
    else:
        assert cause is not None
        assert cause.startswith(f"the process lacks {missing}")
        assert ("paranoid" in cause) == (missing == "CAP_PERFMON")


def test_attaching_to_an_interface_needs_net_admin_itself(machine: Machine) -> None:
    machine.status(effective=ALL & ~bits("NET_ADMIN"))
    cause = machine.why("attach", program_type="xdp").cause
    assert cause is not None
    assert cause.startswith("the process lacks CAP_NET_ADMIN")
    assert machine.why("load", program_type="xdp").cause is None


def test_asking_what_is_attached_to_a_cgroup_needs_net_admin(machine: Machine) -> None:
    machine.status(effective=bits("BPF", "PERFMON"))
    cause = machine.why("query cgroup").cause
    assert cause is not None
    assert cause.startswith("the process lacks CAP_NET_ADMIN")


def test_looking_up_by_id_needs_sys_admin(machine: Machine) -> None:
    machine.status(effective=bits("BPF", "PERFMON", "NET_ADMIN"))
    cause = machine.why("open map by id").cause
    assert cause is not None
    assert cause.startswith("the process lacks CAP_SYS_ADMIN")


def test_what_is_not_in_the_bounding_set_cannot_be_granted(machine: Machine) -> None:
    machine.status(effective=0, bounding=bits("NET_ADMIN"))
    mend = machine.why("load", program_type="xdp").mend
    assert mend is not None
    assert "can never get CAP_BPF here" in mend
    assert "--cap-add=BPF --cap-add=NET_ADMIN" in mend


# ---- everything else


def test_in_a_user_namespace_capabilities_do_not_count(machine: Machine) -> None:
    machine.namespace("user:[4026532837]")
    found = machine.why("load", program_type="tracepoint")
    assert found.cause is not None
    assert "user namespace" in found.cause
    assert "outside the user namespace" in found.text()
    assert machine.why("map update").possible[0].startswith("the process is in a user namespace")


def test_the_uid_map_tells_where_the_namespace_does_not(machine: Machine) -> None:
    machine.namespace(None)
    assert "a user namespace" in machine.why("load", program_type="xdp").ruled_out
    machine.write("proc/self/uid_map", "0 1000 1\n")
    assert "user namespace" in (machine.why("load", program_type="xdp").cause or "")
    machine.remove("proc/self/uid_map")
    assert any("user namespace" in each for each in machine.why("load").unknown)


def test_tracefs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tracefs (readable)" in machine.why("attach", section="tp/a/b").ruled_out
    (machine.root / "sys/kernel/tracing/events").rmdir()
    found = machine.why("attach", section="tp/a/b")
    assert "tracefs is not mounted at /sys/kernel/tracing" in found.possible
    assert "mount -t tracefs" in found.text()
    monkeypatch.setattr(Host, "why_unreadable", lambda self, path: errno.EACCES)
    found = machine.why("attach", section="tp/a/b", errno=errno.EACCES)
    assert found.cause is not None
    assert "may not be read" in found.cause
    assert "remount,mode=750,gid=" in (found.mend or "")


def test_pinning(machine: Machine) -> None:
    found = machine.why("pin")
    assert found.cause is not None
    assert "no BPF file system" in found.cause
    assert "mount -t bpf" in (found.mend or "")
    machine.write("proc/self/mounts", "bpffs /sys/fs/bpf bpf rw 0 0\n")
    found = machine.why("pin")
    assert found.cause is None
    assert "mounted at /sys/fs/bpf" in found.possible[0]
    machine.remove("proc/self/mounts")
    assert any("BPF file system" in each for each in machine.why("pin").unknown)


@pytest.mark.parametrize(
    ("operation", "frozen", "mode", "cause"),
    [
        ("map update", 1, 2, "the map is frozen"),
        ("map freeze", 1, 2, "the map is frozen"),
        ("map lookup and delete", 1, 2, "the map is frozen"),
        ("map lookup", 1, 2, None),
        ("map update", 0, 0, "the map was made or opened read-only"),
        ("map lookup", 0, 0, None),
        ("map lookup", 0, 1, "the map was made or opened write-only"),
        ("map update", 0, 1, None),
        ("map update", 0, 2, None),
    ],
)
def test_the_permissions_of_a_map(
    machine: Machine, operation: str, frozen: int, mode: int, cause: str | None
) -> None:
    machine.write(
        "proc/self/fdinfo/7",
        f"pos:\t0\nflags:\t0200000{mode}\nmap_type:\t1\nmap_flags:\t0x8\nfrozen:\t{frozen}\n",
    )
    found = machine.why(operation, fd=7)
    assert (found.cause or "").startswith(cause or "")
    assert (found.cause is None) == (cause is None)
    if cause is None:
        assert "the map's own permissions" in found.ruled_out


def test_a_cgroup_may_be_taken(machine: Machine) -> None:
    found = machine.why("attach", section="cgroup_skb/egress")
    assert any("does not allow others" in each for each in found.possible)
    assert "bpftool cgroup tree" in (found.mend or "")
    assert not machine.why("load", section="cgroup_skb/egress").possible
    assert not machine.why("attach", section="xdp").possible


def test_perf_buffers(machine: Machine) -> None:
    machine.write("proc/sys/kernel/perf_event_mlock_kb", "516\n")
    machine.status(effective=bits("BPF"))
    cause = machine.why("perf buffer", errno=errno.EACCES).cause
    assert cause is not None
    assert cause.startswith("the process lacks CAP_PERFMON (kernel.perf_event_paranoid is 2)")
    machine.status(effective=bits("BPF", "PERFMON"))
    found = machine.why("perf buffer")
    assert found.cause is None
    assert "perf_event_mlock_kb (516 KiB for each CPU)" in found.possible[0]
    machine.status(effective=bits("BPF", "PERFMON", "IPC_LOCK"))
    assert any("CAP_IPC_LOCK" in each for each in machine.why("perf buffer").ruled_out)
    machine.write("proc/sys/kernel/perf_event_paranoid", "1")
    machine.status(effective=bits("BPF"))
    assert machine.why("perf buffer").cause is None
    machine.remove("proc/sys/kernel/perf_event_mlock_kb")
    assert any("perf buffers" in each for each in machine.why("perf buffer").unknown)


def test_a_level_of_paranoia_that_capabilities_do_not_lift(machine: Machine) -> None:
    """Debian's kernels have it: CAP_PERFMON is then not enough."""
    machine.write("proc/sys/kernel/perf_event_paranoid", "3\n")
    machine.status(effective=bits("BPF", "PERFMON"))
    for operation, program, instead in (
        ("perf buffer", None, "a ring buffer"),
        ("attach", "perf_event", "raw_tp, tp_btf and fentry"),
        ("attach", "tracepoint", "raw_tp, tp_btf and fentry"),
    ):
        found = machine.why(operation, program_type=program, errno=errno.EACCES)
        assert found.cause is not None
        assert found.cause.startswith("kernel.perf_event_paranoid is 3")
        assert found.mend == "sudo sysctl kernel.perf_event_paranoid=2"
        assert instead in (found.instead or "")
    machine.status(effective=bits("BPF", "PERFMON", "SYS_ADMIN"))
    assert machine.why("perf buffer", errno=errno.EACCES).cause is None
    machine.status(effective=bits("BPF", "PERFMON"))
    machine.write("proc/sys/kernel/perf_event_paranoid", "2\n")
    assert machine.why("perf buffer", errno=errno.EACCES).cause is None


@pytest.mark.parametrize(
    ("operation", "without", "instead"),
    [
        ("open program by id", "gives nothing by its id", "pinned by its path"),
        ("list links", "gives nothing by its id", "pinned by its path"),
        ("open BTF by id", "gives nobody the types", "open_map(path, raw=True)"),
        ("enable run stats", "does not count runs", "test_run(repeat=n)"),
        ("enter network namespace", "lets nobody into", "ip netns exec"),
    ],
)
def test_what_only_cap_sys_admin_may(
    machine: Machine, operation: str, without: str, instead: str
) -> None:
    machine.status(effective=bits("BPF", "PERFMON", "NET_ADMIN"))
    found = machine.why(operation)
    assert found.cause is not None
    assert found.cause.startswith("the process lacks CAP_SYS_ADMIN, without which the kernel")
    assert without in found.cause
    assert instead in (found.instead or "")
    assert found.text().endswith(found.instead or "")
    machine.status()
    assert machine.why(operation).cause is None


def test_without_its_descriptor_a_map_may_be_frozen(machine: Machine) -> None:
    assert "the map is frozen, or was opened read-only" in machine.why("map update").possible
    assert "the map is opened write-only" in machine.why("map lookup").possible
    assert any("frozen" in each for each in machine.why("map update", fd=99).possible)


@pytest.mark.parametrize(
    ("release", "limit", "verdict"),
    [
        ("6.12.9", "65536", "ruled_out"),
        ("5.10.0-28-amd64", "65536", "cause"),
        ("5.10.0", "8388608", "possible"),
        ("5.10.0", "unlimited", "ruled_out"),
        ("5.10.0", None, "unknown"),
        ("odd", "65536", "unknown"),
    ],
)
def test_locked_memory(machine: Machine, release: str, limit: str | None, verdict: str) -> None:
    machine.write("proc/sys/kernel/osrelease", release + "\n")
    if limit:
        machine.write(
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units\n"
            f"Max locked memory         {limit}                65536                bytes\n",
        )
    found = machine.why("create map", map_type="hash")
    told = getattr(found, verdict)
    texts = (told,) if isinstance(told, str) else told
    assert any("locked memory" in text for text in texts), found
    assert ("ulimit -l" in found.text()) == (verdict in ("cause", "possible"))
    assert not any("locked memory" in text for text in machine.why("attach").ruled_out)


@pytest.mark.parametrize(
    ("lockdown", "cmdline", "operation", "section", "verdict"),
    [
        ("[none] integrity confidentiality", "", "attach", "kprobe/f", "ruled_out"),
        ("none [integrity] confidentiality", "", "attach", "kprobe/f", "ruled_out"),
        ("none integrity [confidentiality]", "", "attach", "kprobe/f", "cause"),
        ("none integrity [confidentiality]", "", "attach", "?ksyscall/f", "cause"),
        ("none integrity [confidentiality]", "", "load", "kprobe/f", "ruled_out"),
        ("none integrity [confidentiality]", "", "attach", "kprobe.multi/f", "ruled_out"),
        ("none integrity [confidentiality]", "", "attach", "uprobe//bin/sh:f", "ruled_out"),
        ("none integrity [confidentiality]", "", "attach", "tp/sched/sched_switch", "ruled_out"),
        (None, "ro lockdown=confidentiality quiet", "attach", "kprobe/f", "cause"),
        (None, "ro quiet", "attach", "kprobe/f", "unknown"),
    ],
)
def test_lockdown(
    machine: Machine,
    lockdown: str | None,
    cmdline: str,
    operation: str,
    section: str,
    verdict: str,
) -> None:
    machine.write("proc/cmdline", cmdline)
    machine.remove("sys/kernel/security/lockdown")
    if lockdown:
        machine.write("sys/kernel/security/lockdown", lockdown)
    found = machine.why(operation, section=section)
    told = getattr(found, verdict)
    texts = (told,) if isinstance(told, str) else told
    assert any("lockdown" in text for text in texts), found
    if verdict == "cause":
        assert "kprobe.multi, fentry, tp_btf and raw_tp" in (found.instead or "")


@pytest.mark.parametrize(
    ("seccomp", "answer", "verdict", "text"),
    [
        ("2", errno.EPERM, "cause", "a seccomp filter refuses"),
        ("2", errno.ENOSYS, "cause", "a seccomp filter refuses the system call bpf(2)"),
        ("2", errno.EINVAL, "ruled_out", "a filter is active, and lets bpf(2) through"),
        ("0", errno.EINVAL, "ruled_out", "seccomp and other filters"),
        ("2", None, "possible", "a seccomp filter is active"),
        ("0", errno.EPERM, "cause", "by a security module"),
        ("0", None, "ruled_out", "seccomp (not active)"),
        ("?", None, "unknown", "seccomp"),
    ],
)
def test_filters_of_the_system_call(
    machine: Machine, seccomp: str, answer: int | None, verdict: str, text: str
) -> None:
    machine.status(seccomp=seccomp)
    machine.answer = answer
    told = getattr(machine.why("load", program_type="xdp"), verdict)
    texts = (told,) if isinstance(told, str) else told
    assert any(text in each for each in texts)


def test_beside_a_filter_it_is_told_what_else_is_wrong(machine: Machine) -> None:
    machine.status(seccomp="2", effective=bits("NET_ADMIN"))
    machine.answer = errno.EPERM
    found = machine.why("load", program_type="tracepoint")
    filter_, _, missing = (found.cause or "").partition("; ")
    assert filter_.startswith("a seccomp filter refuses the system call bpf(2)")
    assert missing == "the process lacks CAP_BPF and CAP_PERFMON"
    assert "--cap-add=BPF" in (found.mend or "")
    assert "SystemCallFilter=bpf" in (found.mend or "")


@pytest.mark.parametrize(
    ("operation", "section", "cause"),
    [
        ("attach", "tp/sched/sched_switch", True),
        ("attach", "kprobe/f", True),
        ("attach", "uprobe/libc.so.6:f", True),
        ("attach", "perf_event", True),
        ("perf buffer", None, True),
        ("attach", "kprobe.multi/f", False),
        ("attach", "uprobe.multi/libc.so.6:f", False),
        ("attach", "raw_tp/f", False),
        ("load", "tp/sched/sched_switch", False),
    ],
)
@pytest.mark.parametrize("answer", [errno.EPERM, errno.ENOSYS])
def test_a_filter_of_perf_event_open(
    machine: Machine, operation: str, section: str | None, cause: bool, answer: int
) -> None:
    machine.status(seccomp="2")
    machine.perf_answer = answer
    found = machine.why(operation, section=section, errno=answer)
    assert ("perf_event_open(2)" in (found.cause or "")) is cause
    if cause and section:
        assert "need no perf_event_open(2)" in (found.instead or "")


def test_a_call_that_the_kernel_has_not_is_filtered_by_nobody(machine: Machine) -> None:
    machine.answer = errno.ENOSYS
    machine.status(effective=0)
    assert machine.why("load", program_type="xdp", errno=errno.ENOSYS).cause is None
    machine.status(effective=0, seccomp="2")
    machine.remove("proc/sys/kernel/unprivileged_bpf_disabled")
    found = machine.why("load", program_type="xdp", errno=errno.ENOSYS)
    assert found.cause is None
    assert "a seccomp filter" in found.possible[0]


def test_old_kernels_refuse_every_command_to_the_unprivileged(machine: Machine) -> None:
    """Before 5.19 their EPERM says nothing about filters."""
    machine.write("proc/sys/kernel/osrelease", "5.10.9\n")
    machine.status(effective=0, seccomp="2")
    machine.answer = errno.EPERM
    found = machine.why("load", program_type="xdp")
    assert found.cause == "the process lacks CAP_BPF and CAP_NET_ADMIN"
    machine.status(effective=bits("BPF", "NET_ADMIN"), seccomp="2")
    assert "a seccomp filter" in (machine.why("load", program_type="xdp").cause or "")


@pytest.mark.parametrize(
    ("modules", "label", "verdict"),
    [
        ("capability,landlock", None, "ruled_out"),
        ("capability,selinux", "system_u:system_r:container_t:s0", "possible"),
        ("capability,apparmor", "docker-default (enforce)", "possible"),
        ("capability,apparmor", "unconfined\n", "ruled_out"),
        ("capability,bpf", None, "possible"),
        (None, None, "unknown"),
    ],
)
def test_security_modules(
    machine: Machine, modules: str | None, label: str | None, verdict: str
) -> None:
    machine.remove("sys/kernel/security/lsm")
    if modules:
        machine.write("sys/kernel/security/lsm", modules)
    if label:
        machine.write("proc/self/attr/current", label)
    told = getattr(machine.why("load", program_type="xdp"), verdict)
    assert any("security module" in each or "policy" in each for each in told)


def test_without_a_cause_the_text_says_what_was_ruled_out(machine: Machine) -> None:
    found = machine.why("load", program_type="tracing")
    assert found.cause is None
    text = found.text()
    assert text.startswith("no probe shows the cause. ruled out: seccomp and other filters of")
    assert "; a user namespace; capabilities (the process has CAP_SYS_ADMIN); " in text
    assert "lockdown (none)" in text
    assert "\n" not in text


def test_facts_for_other_explanations_do_no_harm(machine: Machine) -> None:
    found = machine.why("map update", map_type="hash", max_entries=4, key_size=8, name="counts")
    assert "frozen" in found.text()


# ---- probes never raise


def test_an_empty_machine(tmp_path: Path) -> None:
    host = Host(str(tmp_path), lambda: None)
    for operation in ("load", "attach", "create map", "map update", "pin", "anything"):
        found = explain_eperm(operation, host=host)
        assert found.cause is None
        assert found.text()


def test_files_full_of_rubbish(machine: Machine) -> None:
    for path in machine.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"\xff\x00]garbage[ :::\nCapEff:\tzz\nMax locked memory\n\n")
    for operation in ("load", "attach", "create map", "map update", "pin", "anything"):
        assert machine.why(operation, program_type=12345, map_type="?", fd=3).text()


def test_a_probe_that_fails_is_unknown_and_hides_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Host, which: str = "CapEff") -> frozenset[str]:
        raise RuntimeError("broken probe")

    monkeypatch.setattr(Host, "capabilities", broken)
    found = machine.why("load", program_type="xdp")
    assert "capabilities (broken probe)" in found.unknown
    assert found.ruled_out


def test_a_call_that_fails_answers_nothing(tmp_path: Path) -> None:
    def broken() -> int | None:
        raise OSError("no libc")

    assert Host(str(tmp_path), broken).bpf_answer() is None


def test_the_real_call_changes_nothing_and_answers() -> None:
    assert Host().bpf_answer() in (errno.EINVAL, errno.EPERM, errno.ENOSYS, None)
    assert Host().perf_answer() in (errno.EINVAL, errno.EPERM, errno.ENOSYS, None)


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda host: host.kernel(), (6, 12)),
        (lambda host: host.number("proc/cmdline"), None),
        (lambda host: host.read("no/such/file"), None),
        (lambda host: host.link("proc/cmdline"), None),
        (lambda host: host.mounted("bpf"), None),
        (lambda host: host.descriptor(None, "frozen"), None),
        (lambda host: host.why_unreadable("proc/cmdline"), errno.ENOTDIR),
        (lambda host: host.status("NoSuchField"), None),
    ],
)
def test_the_host_answers_plainly(
    machine: Machine, read: Callable[[Host], object], expected: object
) -> None:
    assert read(machine.host()) == expected


# ---- helpers that lockdown takes away


@pytest.mark.parametrize(
    ("mode", "line", "cause"),
    [
        ("confidentiality", "unknown func bpf_probe_read_kernel#113", "to read kernel memory"),
        ("confidentiality", "unknown func bpf_probe_read#4", "to read kernel memory"),
        (
            "confidentiality",
            "program of this type cannot use helper bpf_probe_read_kernel_str#115",
            "Instead: what the verifier knows the type of",
        ),
        ("confidentiality", "unknown func bpf_probe_write_user#36", "in confidentiality mode"),
        ("integrity", "unknown func bpf_probe_write_user#36", "in integrity mode, which forbids"),
        ("integrity", "unknown func bpf_probe_read_kernel#113", None),
        ("none", "unknown func bpf_probe_write_user#36", None),
        ("confidentiality", "unknown func bpf_probe_read_user#112", None),
        ("confidentiality", "R1 type=ctx expected=fp (call bpf_probe_read#4)", None),
    ],
)
def test_helpers_that_lockdown_takes_away(
    machine: Machine, mode: str, line: str, cause: str | None
) -> None:
    modes = ("none", "integrity", "confidentiality")
    text = " ".join(f"[{each}]" if each == mode else each for each in modes)
    machine.write("sys/kernel/security/lockdown", text)
    found = locked_helper(machine.host(), f"0: R1=ctx() R10=fp0\n14: (85) call x\n{line}\n")
    assert (found is None) if cause is None else (cause in (found or ""))


def test_a_kprobe_by_perf_needs_no_tracefs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written to tracefs only where it is to be, or the kernel is older than 4.17."""
    machine.write("proc/sys/kernel/perf_event_paranoid", "3\n")
    machine.status(effective=bits("BPF", "PERFMON", "NET_ADMIN"))
    monkeypatch.setattr(Host, "why_unreadable", lambda self, path: errno.EACCES)
    for section, by_tracefs, cause in (
        ("kprobe/f", False, "kernel.perf_event_paranoid is 3"),
        ("kprobe/f", True, "tracefs (/sys/kernel/tracing) may not be read"),
        ("tp/sched/sched_switch", False, "tracefs (/sys/kernel/tracing) may not be read"),
        ("perf_event", False, "kernel.perf_event_paranoid is 3"),
    ):
        found = machine.why("attach", section=section, by_tracefs=by_tracefs, errno=errno.EACCES)
        assert (found.cause or "").startswith(cause), section
