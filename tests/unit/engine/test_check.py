"""What becomes of a load that failed, by what libbpf and the kernel said meanwhile."""

from __future__ import annotations

import errno

import pytest

import pylibbpf
from pylibbpf.engine.kernel import lacking
from pylibbpf.engine.kernel.capture import Capture
from pylibbpf.engine.kernel.check import load_failure

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
