"""What users with few privileges can do, and how they are told what they cannot.

A child tries what is in ``scenarios.py`` as each of these users: a service with CAP_BPF,
CAP_PERFMON and CAP_NET_ADMIN and no other capability, a user with none, and root of a user
namespace.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pylibbpf
from pylibbpf.engine.kernel.library import version

NOBODY = 65534
HERE = Path(__file__).parent
SERVICE = ("BPF", "PERFMON", "NET_ADMIN")
Outcomes = dict[str, tuple[str, Any]]


def run(command: list[str], objects: Path, *more: str) -> Outcomes:
    scenarios = [sys.executable, str(HERE / "scenarios.py"), str(objects), *more]
    with tempfile.TemporaryDirectory(prefix="pylibbpf-") as folder:  # what the user writes down
        if "as_user.py" in " ".join(command):
            os.chown(folder, NOBODY, NOBODY)
        done = subprocess.run(
            [*command, *scenarios],
            env={**os.environ, "PYLIBBPF_RUNTIME_DIR": folder},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return {name: (kind, what) for name, (kind, what) in json.loads(done.stdout).items()}


def become(capabilities: tuple[str, ...]) -> list[str]:
    """The command before a command that runs it as a user with these capabilities."""
    status = Path("/proc/self/status").read_text()
    bits = next(int(line.split()[1], 16) for line in status.splitlines() if "CapEff" in line)
    needed = {"SETGID": 6, "SETUID": 7, "SETPCAP": 8, "SYS_ADMIN": 21}
    missing = [f"CAP_{name}" for name, bit in needed.items() if not bits >> bit & 1]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}, to become another user")
    return [sys.executable, str(HERE / "as_user.py"), ",".join(capabilities)]


@pytest.fixture(scope="module")
def library() -> None:
    """The libbpf without which nothing gets as far as being refused."""
    problem = pylibbpf.doctor().library.problem
    if problem and os.geteuid():  # root should have it: there the tests fail
        pytest.skip(f"needs libbpf ({problem})")


@pytest.fixture(scope="module")
def a_cgroup(cgroup2: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pylibbpf-", dir=cgroup2))
    folder.chmod(0o755)
    yield folder
    folder.rmdir()


@pytest.fixture(scope="module")
def service(bpf: None, objects: Path, a_cgroup: Path) -> Outcomes:
    """The outcomes of a service with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and no root."""
    return run(become(SERVICE), objects, str(a_cgroup))


@pytest.fixture(scope="module")
def nobody(library: None, objects: Path) -> Outcomes:
    """The outcomes of a user without any capability."""
    if not os.geteuid():
        return run(become(()), objects)
    status = Path("/proc/self/status").read_text()
    if not any(line.startswith("CapEff:\t0000000000000000") for line in status.splitlines()):
        pytest.skip("needs to be root, or a user without capabilities")
    return run([], objects)


@pytest.fixture(scope="module")
def namespaced(library: None, objects: Path) -> Outcomes:
    """The outcomes of root in a user namespace, with all the capabilities that count there."""
    command = ["unshare", "--user", "--map-root-user"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs user namespaces ({tried.stderr.strip()})")
    return run(command, objects)


def refusal(outcomes: Outcomes, name: str) -> str:
    kind, text = outcomes[name]
    assert kind == "BpfPermissionError", (name, kind, text)
    return str(text)


# ---- a service


def test_a_service_has_what_it_was_given(service: Outcomes) -> None:
    assert service["capabilities"] == ("ok", sorted(SERVICE))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("raw_tracepoint", True),
        ("tp_btf", True),
        ("iterator", True),
        ("maps", [[[1, 2], [3, 3]], 5]),
        ("ring_buffer", [0, 1, 2]),
        ("xdp_load", 0),
        ("xdp", True),
        ("tc", True),
        ("cgroup", True),
        ("pin", [[[7, 0, 0, 0], [8, 0, 0, 0, 0, 0, 0, 0]]]),
    ],
)
def test_what_three_capabilities_allow(service: Outcomes, name: str, result: object) -> None:
    assert service[name] == ("ok", result)


@pytest.mark.parametrize(
    ("name", "result", "instead"),
    [
        ("perf_buffer", [0, 1, 2], "a ring buffer"),
        ("perf_event", True, "raw_tp, tp_btf and fentry"),
    ],
)
def test_perf_events_are_allowed_or_the_sysctl_is_named(
    service: Outcomes, name: str, result: object, instead: str
) -> None:
    """Debian's kernels start with a level at which CAP_PERFMON is not enough."""
    paranoid = int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    if paranoid < 3:
        assert service[name] == ("ok", result)
        return
    text = refusal(service, name)
    assert f"kernel.perf_event_paranoid is {paranoid}" in text
    assert "sudo sysctl kernel.perf_event_paranoid=2" in text
    assert f"Instead: {instead}" in text


def test_a_uprobe_needs_cap_sys_admin(service: Outcomes, kernel_has: Callable[[str], bool]) -> None:
    text = refusal(service, "uprobe")
    assert "the process lacks CAP_SYS_ADMIN" in text
    assert 'Instead: SEC("uprobe.multi")' in text
    if version() >= (1, 3) and kernel_has("BPF_TRACE_UPROBE_MULTI"):
        assert service["uprobe_multi"] == ("ok", True)


def test_functions_that_are_only_had_by_id(service: Outcomes) -> None:
    """Modules have BTF of their own, which libbpf 1.1 tries to list, and 1.4 leaves alone."""
    kind, text = service["missing_function"]
    assert "BTF has no function pylibbpf_no_such_function" in text
    assert kind == "BpfError" or "CAP_SYS_ADMIN" in text
    assert "the process lacks CAP_SYS_ADMIN" in refusal(service, "function_of_a_program")


def test_another_network_namespace_needs_cap_sys_admin(service: Outcomes) -> None:
    text = refusal(service, "network_namespace")
    assert "the process lacks CAP_SYS_ADMIN" in text
    assert "another network namespace" in text
    assert "Instead: run inside it" in text


def test_a_service_may_not_read_tracefs(service: Outcomes) -> None:
    if Path("/sys/kernel/tracing/events/sched/sched_switch/id").stat().st_mode & 0o004:
        assert service["tracepoint"] == ("ok", True)
        return
    text = refusal(service, "tracepoint")
    assert "tracefs (/sys/kernel/tracing) may not be read by this user" in text
    assert "sudo mount -o remount,mode=750,gid=$(id -g) /sys/kernel/tracing" in text
    assert "Instead: raw_tp and tp_btf programs attach to the same tracepoints" in text


@pytest.mark.parametrize("name", ["program_by_id", "map_by_id", "list_programs", "list_links"])
def test_ids_need_cap_sys_admin(service: Outcomes, name: str) -> None:
    text = refusal(service, name)
    assert (
        "the process lacks CAP_SYS_ADMIN, without which the kernel gives nothing by its id" in text
    )
    assert "Instead: open what was pinned by its path" in text
    works, reason = service["ids"][1]
    assert works is False
    assert reason.startswith("the process lacks CAP_SYS_ADMIN")


def test_types_of_a_pin_and_statistics_need_cap_sys_admin(service: Outcomes) -> None:
    text = refusal(service, "typed_pin")
    assert "lacks CAP_SYS_ADMIN, without which the kernel gives nobody the types" in text
    assert "Instead: open_map(path, raw=True)" in text
    text = refusal(service, "run_stats")
    assert "lacks CAP_SYS_ADMIN, without which the kernel does not count runs" in text
    assert "Instead: test_run(repeat=n)" in text


def test_addresses_need_cap_syslog(service: Outcomes) -> None:
    works, reason = service["addresses"][1]
    assert works is False
    assert reason.startswith("the process lacks CAP_SYSLOG")


def test_fentry_works_for_a_service_where_it_works_for_root(service: Outcomes) -> None:
    """Else the error says what was ruled out, and what does work here."""
    if pylibbpf.doctor().ability("hook", "fentry").works:
        assert service["fentry"] == ("ok", True)
        return
    text = refusal(service, "fentry")
    assert "no probe shows the cause" in text
    assert "capabilities (the process has CAP_BPF and CAP_PERFMON)" in text
    assert "the verifier (loading is refused before it looks at the program)" in text
    assert "Instead, works here: tp_btf or raw_tp" in text


def test_the_doctor_tells_a_service_the_same(service: Outcomes) -> None:
    _, verdicts = service["verdicts"]
    names = {
        "raw_tp": "raw_tracepoint",
        "tp_btf": "tp_btf",
        "tracepoint": "tracepoint",
        "iter": "iterator",
        "fentry": "fentry",
        "perf_event (software)": "perf_event",
        "xdp": "xdp",
        "tcx": "tcx",
    }
    for hook, scenario in names.items():
        assert verdicts[hook] is (service[scenario][0] == "ok"), hook


# ---- a user without privileges


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("raw_tracepoint", "CAP_BPF and CAP_PERFMON"),
        ("tp_btf", "CAP_BPF and CAP_PERFMON"),
        ("tracepoint", "CAP_BPF and CAP_PERFMON"),
        ("iterator", "CAP_BPF and CAP_PERFMON"),
        ("fentry", "CAP_BPF and CAP_PERFMON"),
        ("perf_event", "CAP_BPF and CAP_PERFMON"),
        ("xdp", "CAP_BPF and CAP_NET_ADMIN"),
        ("tc", "CAP_BPF and CAP_NET_ADMIN"),
        ("tcx", "CAP_BPF and CAP_NET_ADMIN"),
        ("cgroup", "CAP_BPF and CAP_NET_ADMIN"),
        ("maps", "CAP_BPF"),
        ("ring_buffer", "CAP_BPF"),
        ("perf_buffer", "CAP_BPF"),
    ],
)
def test_without_capabilities_the_missing_ones_are_named(
    nobody: Outcomes, name: str, missing: str
) -> None:
    text = refusal(nobody, name)
    assert f"the process lacks {missing}" in text
    assert "To mend it: " in text


def test_without_capabilities_the_doctor_says_no(nobody: Outcomes) -> None:
    _, verdicts = nobody["verdicts"]
    assert set(verdicts.values()) == {False}
    assert "CAP_SYS_ADMIN" in nobody["ids"][1][1]
    assert "CAP_SYSLOG" in nobody["addresses"][1][1]


# ---- root of a user namespace


def test_in_a_user_namespace_that_is_the_cause(namespaced: Outcomes) -> None:
    for name in ("raw_tracepoint", "xdp_load", "tp_btf"):
        text = refusal(namespaced, name)
        assert "the process is in a user namespace" in text, name
        assert "outside the user namespace" in text, name
    _, verdicts = namespaced["verdicts"]
    assert set(verdicts.values()) == {False}
