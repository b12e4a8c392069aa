"""Some of the capabilities for BPF, not all: what works, and what is said to be missing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from situations import PLACES, SERVICE, attempt, reachable, user

import pylibbpf
from pylibbpf.engine.kernel.host import Host

Try = Callable[..., Any]


@pytest.fixture
def as_user(bpf: None) -> Try:
    """What comes of something as a user with these capabilities."""
    if os.geteuid():
        pytest.skip("needs root, to become other users")
    return lambda body, *capabilities: attempt(body, reachable(*PLACES), user(*capabilities))


@pytest.fixture
def loading(objects: Path) -> Callable[[str, str], Callable[[], str]]:
    """Load one program of tests/objects."""

    def make(name: str, program: str) -> Callable[[], str]:
        def body() -> str:
            with pylibbpf.open_object(objects / f"{name}.bpf.o", engine="kernel") as obj:
                for each in obj.programs.values():
                    each.autoload = each.name == program
                obj.load()
                return "loaded"

        return body

    return make


def lacks(found: object) -> str:
    """What the error says to be missing."""
    assert isinstance(found, pylibbpf.BpfPermissionError), found
    assert found.cause is not None
    return found.cause.partition(". To mend it: ")[0]


@pytest.mark.parametrize(
    ("program", "have", "missing"),
    [
        ("raw_tracepoint", ("BPF",), "CAP_PERFMON"),
        ("raw_tracepoint", ("PERFMON",), "CAP_BPF"),
        ("raw_tracepoint", ("NET_ADMIN",), "CAP_BPF and CAP_PERFMON"),
        ("raw_tracepoint", ("BPF", "PERFMON"), None),
        ("tracing", ("BPF", "NET_ADMIN"), "CAP_PERFMON"),
        ("tracing", ("BPF", "PERFMON"), None),
        ("xdp", ("BPF",), "CAP_NET_ADMIN"),
        ("xdp", ("BPF", "PERFMON"), "CAP_NET_ADMIN"),
        ("xdp", ("NET_ADMIN",), "CAP_BPF"),
        ("xdp", ("BPF", "NET_ADMIN"), None),
        ("cgroup_sock", ("BPF",), "CAP_NET_ADMIN"),
        ("cgroup_skb", ("BPF",), None),
        ("socket_filter", ("BPF",), None),
        ("sk_reuseport", ("BPF",), None),
    ],
)
def test_programs(
    program: str, have: tuple[str, ...], missing: str | None, as_user: Try, loading: Try
) -> None:
    found = as_user(loading("every_program", program), *have)
    if missing is None:
        assert found == "loaded"
    else:
        said = lacks(found)
        assert said.partition(";")[0] == f"the process lacks {missing}"
        assert "unprivileged_bpf_disabled" not in said


@pytest.mark.parametrize(
    ("kind", "have", "missing"),
    [
        ("hash", ("BPF",), None),
        ("lru_hash", ("BPF",), None),
        ("lru_hash", ("PERFMON", "NET_ADMIN"), "CAP_BPF"),
        ("sockmap", ("BPF",), "CAP_NET_ADMIN"),
        ("sockmap", ("BPF", "NET_ADMIN"), None),
    ],
)
def test_maps(kind: str, have: tuple[str, ...], missing: str | None, as_user: Try) -> None:
    def body() -> str:
        pylibbpf.create_map(kind, "u32", "u32", 4).close()
        return "made"

    found = as_user(body, *have)
    if missing is None:
        assert found == "made"
    else:
        assert lacks(found).partition(";")[0] == f"the process lacks {missing}"


def test_to_attach_a_cgroup_skb_program_is_more_than_to_load_it(
    objects: Path, as_user: Try, make_cgroup: Callable[[], Path]
) -> None:
    folder = make_cgroup()
    folder.chmod(0o755)

    def body() -> str:
        with pylibbpf.open_object(objects / "cgroups.bpf.o") as obj:
            for each in obj.programs.values():
                each.autoload = each.name == "egress"
            obj.load()
            obj.programs["egress"].attach_cgroup(folder).close()
            return "attached"

    assert as_user(body, "BPF", "NET_ADMIN") == "attached"
    found = as_user(body, "BPF")
    assert found.operation == "attach"
    assert lacks(found) == "the process lacks CAP_NET_ADMIN"


def test_a_helper_that_needs_cap_perfmon(objects: Path, as_user: Try, loading: Try) -> None:
    """The kernel says of it what it says of one that is for other program types."""
    body = loading("memory", "prints")
    assert as_user(body, *SERVICE) == "loaded"
    found = as_user(body, "BPF", "NET_ADMIN")
    assert isinstance(found, pylibbpf.VerifierError)
    text = str(found)
    assert "cause: the helper bpf_trace_printk is given to programs with CAP_PERFMON alone" in text
    assert "which the process lacks" in text
    assert "PERFMON" in text.partition("To mend it: ")[2]


def test_a_tracefs_that_may_be_listed_and_not_read(tmp_path: Path, as_user: Try) -> None:
    """Since Linux 5.15 that is what mode=755 makes of it."""
    event = tmp_path / "sys/kernel/tracing/events/sched/sched_switch"
    event.mkdir(parents=True)
    tmp_path.chmod(0o755)
    (event / "id").write_text("1")
    host = Host(str(tmp_path))
    steps = reachable(tmp_path, *PLACES), user(*SERVICE)
    assert attempt(host.why_no_tracefs, *steps) is None
    (event / "id").chmod(0o440)
    assert attempt(host.why_no_tracefs, *steps) == errno.EACCES
    (event / "id").unlink()
    assert attempt(host.why_no_tracefs, *steps) is None
    (tmp_path / "sys/kernel/tracing").chmod(0o700)
    assert attempt(host.why_no_tracefs, *steps) == errno.EACCES
    assert host.why_no_tracefs("sys/kernel/debug/tracing") == errno.ENOENT


def test_a_pin_in_a_folder_of_another_user(objects: Path, as_user: Try, pins: str) -> None:
    """The file system is the right one, and the folder is not the user's."""

    def body() -> str:
        with pylibbpf.create_map("hash", "u32", "u32", 4) as made:
            made.pin(f"{pins}/mine")
            return "pinned"

    Path(pins).chmod(0o755)
    found = as_user(body, "BPF")
    assert isinstance(found, pylibbpf.BpfPermissionError), found
    assert found.errno == errno.EACCES
    assert f"this user may not write {pins}: its owner and mode decide" in str(found)
