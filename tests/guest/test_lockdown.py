"""Kernel lockdown, on a machine that is thrown away: nothing but a reboot takes it back.

Run in such a guest, and by itself, with PYLIBBPF_TEST_LOCKDOWN=1 in the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pylibbpf

LOCKDOWN = Path("/sys/kernel/security/lockdown")


@pytest.fixture(scope="module")
def locked(bpf: None) -> None:
    """The kernel in confidentiality mode."""
    if os.environ.get("PYLIBBPF_TEST_LOCKDOWN") != "1":
        pytest.skip("needs a machine that may be locked down for good (PYLIBBPF_TEST_LOCKDOWN=1)")
    LOCKDOWN.write_text("confidentiality")
    assert "[confidentiality]" in LOCKDOWN.read_text()


def load(objects: Path, name: str) -> pylibbpf.Object:
    obj = pylibbpf.open_object(objects / f"{name}.bpf.o")
    obj.load()
    return obj


def test_the_doctor_says_so(locked: None) -> None:
    report = pylibbpf.doctor()
    assert report.security.lockdown == "confidentiality"
    kprobe = report.ability("hook", "kprobe")
    assert kprobe.works is False
    assert "lockdown is in confidentiality mode" in kprobe.reason
    assert kprobe.instead == "fentry or tp_btf"
    memory = report.ability("right", "reading kernel memory")
    assert memory.works is False
    assert "lockdown is in confidentiality mode" in memory.reason


def test_a_kprobe_is_refused_and_the_error_says_why(locked: None, objects: Path) -> None:
    with load(objects, "kprobe") as obj:
        refusal = obj.attach(strict=False).failures["real"]
    assert isinstance(refusal, pylibbpf.BpfPermissionError)
    assert "kernel lockdown is in confidentiality mode, which forbids kprobes" in str(refusal)
    assert "Instead: kprobe.multi, fentry, tp_btf and raw_tp are not forbidden" in str(refusal)


def test_what_is_named_instead_works(locked: None, objects: Path) -> None:
    for name in ("fentry", "attach"):
        with load(objects, name) as obj:
            assert not obj.attach(strict=False).failures


def test_a_program_that_reads_kernel_memory(locked: None, objects: Path) -> None:
    with pytest.raises(
        pylibbpf.VerifierError, match="which forbids programs to read kernel memory"
    ):
        load(objects, "core").close()
