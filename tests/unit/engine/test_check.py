"""What becomes of a load that failed, by what libbpf and the kernel said meanwhile."""

from __future__ import annotations

import errno

import pytest

import pylibbpf
from pylibbpf.engine.kernel import lacking
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import failure, load_failure
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.privileges import policy

STATS = "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0\n"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch):
    """The error for a verifier's log of a program, on a kernel that has or has not its hook."""

    def fail(log: str, why: str | None) -> pylibbpf.Error:
        monkeypatch.setattr(lacking, "why_no_hook", lambda section: why)
        capture = Capture()
        text = f"-- BEGIN PROG LOAD LOG --\n{log}-- END PROG LOAD LOG --\n"
        capture.messages = [(0, f"libbpf: prog 'traced': {text}")]
        known = {"section": "fsession/f"}
        return load_failure(errno.EINVAL, "object", capture, lambda name: dict(known))

    return fail


def test_a_hook_that_the_verifier_does_not_know(said) -> None:
    error = said(STATS, "fsession needs Linux 7.0; this is 6.12")
    assert type(error) is pylibbpf.BpfError
    assert (error.operation, error.object, error.errno) == ("load", "traced", errno.EINVAL)
    assert str(error).endswith("fsession needs Linux 7.0; this is 6.12")
    assert error.log == STATS


def test_a_program_that_the_verifier_refused(said) -> None:
    log = f"0: (85) call unknown#999\ninvalid func unknown#999\n{STATS}"
    for why in ("fsession needs Linux 7.0", None):
        error = said(log, why)
        assert type(error) is pylibbpf.VerifierError
        assert "invalid func" in str(error)
    assert type(said(STATS, None)) is pylibbpf.VerifierError


# ---- refusals that come as something else


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch):
    """A process without capabilities, where kernel.unprivileged_bpf_disabled is 0."""
    monkeypatch.setattr(Host, "capabilities", lambda self, which="CapEff": frozenset())
    monkeypatch.setattr(
        Host, "number", lambda self, path: 0 if path.endswith("bpf_disabled") else None
    )


def loading(number: int, *messages: str, **known: object) -> pylibbpf.Error:
    capture = Capture()
    capture.messages = [(0, f"libbpf: {text}\n") for text in messages]
    return load_failure(number, "object", capture, lambda name: {"map_types": (), **known})


def test_types_that_may_not_be_loaded(nobody: None) -> None:
    """libbpf takes the refusal of its own probes for a kernel without types."""
    said = "Error loading .BTF into kernel: -95. BTF is mandatory, can't proceed."
    error = loading(errno.EOPNOTSUPP, said)
    assert isinstance(error, pylibbpf.BpfPermissionError)
    assert "the process lacks CAP_BPF" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "Error freezing map(.rodata) as read-only: Operation not permitted",
        "map '.rodata': failed to freeze as read-only: -EPERM",  # libbpf 1.7
    ],
)
def test_a_map_that_may_not_be_frozen(nobody: None, said: str) -> None:
    error = loading(
        errno.EPERM,
        said,
        "map '.rodata': failed to create: Operation not permitted(-1)",
        map_type="array",
    )
    assert isinstance(error, pylibbpf.BpfPermissionError)
    assert (error.operation, error.object) == ("map freeze", ".rodata")
    assert "the process lacks CAP_BPF" in str(error)
    assert "unprivileged_bpf_disabled" not in str(error)


@pytest.mark.parametrize("kind", ["task_storage", 24])
def test_storage_whose_types_may_not_be_loaded(nobody: None, kind: object) -> None:
    said = "map 'tasks': failed to create: Invalid argument(-22)"
    error = loading(errno.EINVAL, said, map_type=kind)
    assert isinstance(error, pylibbpf.BpfPermissionError)
    assert error.errno == errno.EINVAL
    assert "the process lacks CAP_BPF" in str(error)
    assert type(loading(errno.EINVAL, said, map_type="hash")) is pylibbpf.BpfError


@pytest.mark.parametrize("old", [None, "map type arena needs Linux 6.9; this is 6.1"])
def test_functions_that_came_with_a_type_of_map(
    monkeypatch: pytest.MonkeyPatch, old: str | None
) -> None:
    monkeypatch.setattr(lacking, "why_no_map", lambda kinds: old)
    error = loading(
        errno.EINVAL,
        "failed to iterate BTF objects: -1",
        "extern (func ksym) 'bpf_arena_alloc_pages': not found in kernel or module BTFs",
    )
    assert (old or "lacks CAP_SYS_ADMIN") in str(error)
    assert isinstance(error, pylibbpf.BpfPermissionError) is (old is None)


@pytest.mark.parametrize(("mode", "refused"), [("confidentiality", True), ("none", False)])
def test_a_system_call_whose_function_is_not_found_under_lockdown(
    monkeypatch: pytest.MonkeyPatch, mode: str, refused: bool
) -> None:
    monkeypatch.setattr(
        Host, "capabilities", lambda self, which="CapEff": frozenset(("SYS_ADMIN",))
    )
    monkeypatch.setattr(policy, "lockdown_mode", lambda host: mode)
    error = failure(errno.ENOENT, "attach", "openat", section="ksyscall/openat")
    assert isinstance(error, pylibbpf.BpfPermissionError) is refused
    assert ("lockdown is in confidentiality mode, which forbids kprobes" in str(error)) is refused
