"""From the kernel's answers to verdicts: a kernel and a host that are made up."""

from __future__ import annotations

import errno
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pylibbpf.ability import Ability, Probe, errno_name
from pylibbpf.engine.kernel.config import read_config
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.probe import abilities
from pylibbpf.engine.kernel.probe.calls import Answer, Kernel
from pylibbpf.engine.kernel.probe.hooks import HOOKS, HookProbe, row_of
from pylibbpf.uapi.enums import AttachType, MapType, ProgType
from pylibbpf.uapi.sections import SECTIONS, section

ALL = (1 << 41) - 1


class FakeKernel:
    """Answers by table: what is not in it works, and its targets are not found."""

    unknown = ""

    def __init__(self) -> None:
        self.loads: dict[object, int] = {}
        self.creates: dict[int, int] = {}
        self.links: dict[int, int] = {}
        self.perf = errno.ENOENT
        self.software = 0
        self.id_errno = 0
        self.code = 0
        self.open = 0

    @contextmanager
    def _made(self, number: int) -> Iterator[Answer]:
        self.open += 1
        try:
            yield Answer(number, -1 if number else 99)
        finally:
            self.open -= 1

    def program(self, kind: int, **how: int):
        if how.get("code"):
            return self._made(self.code)
        by_attach_type = self.loads.get((kind, how.get("attach_type", 0)), 0)
        return self._made(self.loads.get(kind, by_attach_type))

    def map(self, kind: int, *sizes: int, **how: int):
        return self._made(self.creates.get(kind, 0))

    def btf(self, data: bytes):
        return self._made(0)

    def link(self, program: int, target: int, attach_type: int, rest: bytes = b"") -> int:
        missing = {
            AttachType.TRACE_KPROBE_MULTI: errno.ESRCH,
            AttachType.TRACE_KPROBE_SESSION: errno.ESRCH,
            AttachType.TRACE_UPROBE_MULTI: errno.ENOENT,
            AttachType.TRACE_UPROBE_SESSION: errno.ENOENT,
            AttachType.TCX_INGRESS: errno.ENODEV,
            AttachType.NETKIT_PRIMARY: errno.ENODEV,
            AttachType.NETFILTER: errno.EAFNOSUPPORT,
        }
        return self.links.get(attach_type, missing.get(attach_type, errno.EBADF))

    def attach(self, program: int, target: int, attach_type: int) -> int:
        return self.links.get(attach_type, errno.EBADF)

    def raw_tracepoint(self, program: int, name: str) -> int:
        return errno.ENOENT

    def ids(self) -> int:
        return self.id_errno

    def perf_event(self, kind: int, config: int = 0, name: str | None = None) -> int:
        return self.perf if name is not None else self.software


class Machine:
    """A host of files, and its kernel."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kernel = FakeKernel()
        self.answer = errno.EINVAL
        self.write("proc/sys/kernel/osrelease", "6.12.9-amd64\n")
        self.write("proc/sys/kernel/kptr_restrict", "1\n")
        self.write("proc/sys/kernel/perf_event_paranoid", "2\n")
        self.write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n")
        self.write("proc/self/uid_map", "0 0 4294967295\n")
        self.write("proc/self/mounts", "bpffs /sys/fs/bpf bpf rw 0 0\n")
        self.write("proc/kallsyms", "0000000000000000 A first\nffffffff81000000 T _text\n")
        self.capabilities(ALL)
        for pmu in ("kprobe", "uprobe"):
            self.write(f"sys/bus/event_source/devices/{pmu}/type", "8\n")
        for folder in ("sys/kernel/tracing/events", "sys/fs/bpf", "sys/module/cls_bpf"):
            (root / folder).mkdir(parents=True)
        self.config("CONFIG_NETKIT=y", "CONFIG_KPROBE_EVENTS=y", "CONFIG_NET_CLS_BPF=m")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def config(self, *lines: str) -> None:
        file = self.root / "proc/config.gz"
        file.write_bytes(gzip.compress("\n".join(("# a comment", *lines)).encode()))

    def capabilities(self, bits: int) -> None:
        self.write("proc/self/status", f"CapEff:\t{bits:x}\nCapBnd:\t{ALL:x}\nSeccomp:\t0\n")

    def host(self) -> Host:
        return Host(str(self.root), lambda: self.answer, lambda: self.answer)

    def verdicts(self) -> dict[str, Ability]:
        found = abilities(self.host(), self.kernel)
        assert self.kernel.open == 0, "a descriptor was left open"
        return {f"{each.kind} {each.name}": each for each in found}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_where_everything_works(machine: Machine) -> None:
    found = machine.verdicts()
    # Without BTF nobody knows: no /sys/kernel/btf/vmlinux on this machine.
    open_ = {name for name, each in found.items() if each.works is None}
    assert open_ == {
        *("program tracing", "program struct_ops", "program lsm", "map struct_ops"),
        *(f"hook {name}" for name in ("tp_btf", "fentry", "fexit", "fsession", "fmod_ret", "lsm")),
        *("hook iter", "hook lsm_cgroup", "hook struct_ops"),
    }
    assert "/sys/kernel/btf/vmlinux" in found["hook fentry"].reason
    assert all(each.works for name, each in found.items() if name not in open_)


def test_too_old_is_a_reason_that_a_probe_shows(machine: Machine) -> None:
    machine.write("proc/sys/kernel/osrelease", "5.10.0-28\n")
    machine.kernel.loads[ProgType.NETFILTER] = errno.EINVAL
    machine.kernel.links[AttachType.TCX_INGRESS] = errno.EINVAL
    machine.kernel.creates[MapType.ARENA] = errno.EINVAL
    found = machine.verdicts()
    assert found["program netfilter"].reason == "it came with Linux 6.4; this is 5.10"
    assert found["hook netfilter"].reason == "it came with Linux 6.4; this is 5.10"
    assert found["map arena"].reason == "it came with Linux 6.9; this is 5.10"
    assert found["hook tcx"].reason == "it came with Linux 6.6; this is 5.10"
    assert found["hook tcx"].instead == "tc"
    assert [each.answer for each in found["hook tcx"].probes] == ["ok", "EINVAL"]


def test_security_hooks_without_the_security_module(machine: Machine) -> None:
    machine.write("sys/kernel/security/lsm", "capability,landlock")
    found = machine.verdicts()
    for name in ("lsm", "lsm_cgroup"):
        assert found[f"hook {name}"].works is False
        assert "bpf is not active" in found[f"hook {name}"].reason
        assert "lsm=landlock,bpf" in found[f"hook {name}"].mend


def test_not_built_in_is_told_by_the_configuration(machine: Machine) -> None:
    machine.kernel.links[AttachType.TRACE_KPROBE_MULTI] = errno.EOPNOTSUPP
    found = machine.verdicts()["hook kprobe.multi"]
    assert found.reason == "this kernel was built without CONFIG_FPROBE (/proc/config.gz)"
    assert found.instead == "kprobe or raw_tp"
    (machine.root / "proc/config.gz").unlink()
    found = machine.verdicts()["hook kprobe.multi"]
    assert found.reason == (
        "no probe shows the cause; ruled out: the kernel's version (it came with Linux 5.18)"
    )
    machine.config("CONFIG_FPROBE=y")
    assert "CONFIG_FPROBE is set" in machine.verdicts()["hook kprobe.multi"].reason


def test_a_kernel_without_kprobes(machine: Machine) -> None:
    (machine.root / "sys/bus/event_source/devices/kprobe/type").unlink()
    machine.config("CONFIG_UPROBES=y")
    found = machine.verdicts()["hook kprobe"]
    assert found.works is False
    assert "devices/kprobe is missing" in found.reason
    assert "built without CONFIG_KPROBE_EVENTS" in found.reason
    assert found.instead == "raw_tp"
    assert found.probes[-1] == Probe(
        "read(/sys/bus/event_source/devices/kprobe/type)", errno.ENOENT
    )


def test_without_sys_nobody_knows_of_kprobes(machine: Machine) -> None:
    (machine.root / "sys/bus").rename(machine.root / "sys/gone")
    assert machine.verdicts()["hook kprobe"].works is None


def test_missing_capabilities(machine: Machine) -> None:
    machine.capabilities(0)
    for kind in ProgType:
        machine.kernel.loads[kind] = errno.EPERM
    machine.kernel.id_errno = errno.EPERM
    machine.write("proc/kallsyms", "0000000000000000 T _text\n" * 3)
    found = machine.verdicts()
    assert found["program xdp"].reason.startswith("the process lacks CAP_BPF and CAP_NET_ADMIN")
    assert "--cap-add=BPF --cap-add=NET_ADMIN" in found["program xdp"].mend
    assert found["hook xdp"].instead == ""  # nor would tc work
    ids = found["right programs, maps and links by id"]
    assert "CAP_SYS_ADMIN" in ids.reason
    assert "pinned" in ids.instead
    addresses = found["right addresses of kernel symbols"]
    assert addresses.reason.startswith("the process lacks CAP_SYSLOG")
    assert "kptr_restrict is 1" in addresses.reason


def test_addresses_that_nobody_may_see(machine: Machine) -> None:
    machine.write("proc/kallsyms", "0000000000000000 T _text\n")
    machine.write("proc/sys/kernel/kptr_restrict", "2\n")
    found = machine.verdicts()["right addresses of kernel symbols"]
    assert found.reason.startswith("kernel.kptr_restrict is 2")
    assert found.mend == "sudo sysctl kernel.kptr_restrict=1"
    (machine.root / "proc/kallsyms").unlink()
    assert machine.verdicts()["right addresses of kernel symbols"].works is None


def test_a_refusal_that_no_probe_explains(machine: Machine) -> None:
    machine.kernel.loads[ProgType.LIRC_MODE2] = errno.EPERM
    found = machine.verdicts()["program lirc_mode2"]
    assert found.reason.startswith("no probe shows the cause. ruled out: seccomp")
    assert "a user namespace" in found.reason
    assert "the verifier (loading is refused before it looks at the program)" in found.reason


def test_lockdown(machine: Machine) -> None:
    machine.write("sys/kernel/security/lockdown", "none integrity [confidentiality]\n")
    machine.kernel.code = errno.EINVAL
    found = machine.verdicts()
    assert found["hook kprobe"].reason.endswith("which forbids kprobes")
    assert found["hook kprobe"].instead == "raw_tp"
    assert found["hook kprobe.multi"].works is True
    assert "forbids programs to read kernel memory" in found["right reading kernel memory"].reason
    (machine.root / "sys/kernel/tracing/events").rmdir()
    machine.write("proc/self/mounts", "tracefs /sys/kernel/tracing tracefs rw 0 0\n")
    assert "booted with lockdown" in machine.verdicts()["hook tracepoint"].reason
    machine.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    found = machine.verdicts()
    assert found["hook tracepoint"].reason == "tracefs is mounted, but there are no events in it"
    assert found["right reading kernel memory"].reason.startswith("no probe shows the cause")


def test_tracefs_and_pins(machine: Machine) -> None:
    (machine.root / "sys/kernel/tracing/events").rmdir()
    machine.write("proc/self/mounts", "proc /proc proc rw 0 0\n")
    found = machine.verdicts()
    assert found["hook tracepoint"].mend == "sudo mount -t tracefs tracefs /sys/kernel/tracing"
    assert found["hook tracepoint"].instead == "raw_tp"
    assert found["right pinning"].mend == "sudo mount -t bpf bpffs /sys/fs/bpf"
    (machine.root / "sys/kernel/debug/tracing/events").mkdir(parents=True)
    assert machine.verdicts()["hook tracepoint"].works is True
    (machine.root / "proc/self/mounts").unlink()
    assert machine.verdicts()["right pinning"].works is None


def test_tc_is_a_module_at_times(machine: Machine) -> None:
    assert machine.verdicts()["hook tc"].works is True
    (machine.root / "sys/module/cls_bpf").rmdir()
    found = machine.verdicts()["hook tc"]
    assert (found.works, "not loaded" in found.reason) == (None, True)
    machine.config("CONFIG_NETKIT=y")
    found = machine.verdicts()["hook tc"]
    assert (found.works, "without CONFIG_NET_CLS_BPF" in found.reason) == (False, True)
    assert found.instead == "tcx"
    (machine.root / "proc/config.gz").unlink()
    assert machine.verdicts()["hook tc"].works is None


def test_hardware_counters(machine: Machine) -> None:
    machine.kernel.software = errno.ENOENT
    assert "no hardware counters" in machine.verdicts()["hook perf_event (hardware)"].reason


def test_a_machine_whose_system_calls_nobody_knows(machine: Machine) -> None:
    kernel = Kernel()
    kernel.unknown, kernel._bpf, kernel._perf = "not known here", None, None
    found = abilities(machine.host(), kernel)
    assert not any(each.works for each in found if each.kind in ("program", "map"))
    assert {each.works for each in found if each.kind == "map"} == {None}


def test_an_empty_machine(tmp_path: Path) -> None:
    found = abilities(Host(str(tmp_path), lambda: None), FakeKernel())
    assert all(each.reason for each in found if not each.works)


def test_btf_that_is_none(machine: Machine) -> None:
    machine.write("sys/kernel/btf/vmlinux", "this is no BTF")
    assert "cannot be read" in machine.verdicts()["hook fentry"].reason


def test_what_would_do_instead_is_a_hook_of_the_table() -> None:
    names = {each.name for each in HOOKS}
    for each in HOOKS:
        assert set(each.instead) <= names - {each.name}, each.name


@pytest.mark.parametrize("row", HOOKS, ids=lambda row: row.name)
def test_hooks_agree_with_the_table_of_sections(row: HookProbe) -> None:
    """Of versions that table knows none before 5.10."""
    known = section(row.section)
    assert known is not None
    assert known.type == row.load.type
    major, minor = map(int, row.since.split("."))
    assert known.kernel == max((major, minor), (5, 10))
    assert row_of(row.section) is row or row.name == "perf_event (hardware)"


def test_every_section_has_its_hook() -> None:
    """But those that attach by other means than this library's, and those of libbpf 1.8."""
    absent = {name for name in SECTIONS if row_of(name) is None}
    assert {name for name in absent if SECTIONS[name].libbpf < (1, 8)} == {
        *("action", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local"),
        *("sk_skb", "cgroup/skb", "cgroup/sock"),
    }


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "EPERM"), (95, "EOPNOTSUPP"), (524, "ENOTSUPP"), (9999, "9999")],
)
def test_names_of_errnos(number: int, name: str) -> None:
    assert errno_name(number) == name


def test_configurations(machine: Machine) -> None:
    machine.config("CONFIG_A=y", 'CONFIG_B="text"', "# CONFIG_C is not set", "garbage")
    found = read_config(machine.host())
    assert (found.source, found.options) == (
        "/proc/config.gz",
        {"CONFIG_A": "y", "CONFIG_B": "text"},
    )
    assert found.lacks("CONFIG_C")
    assert not found.lacks("CONFIG_A")
    machine.write("proc/config.gz", "not gzip")
    machine.write("boot/config-6.12.9-amd64", "CONFIG_D=m\n")
    assert read_config(machine.host()).options == {"CONFIG_D": "m"}
    (machine.root / "boot/config-6.12.9-amd64").unlink()
    found = read_config(machine.host())
    assert found.source is None
    assert not found.lacks("CONFIG_A")
