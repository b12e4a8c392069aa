"""Kernel lockdown, which nothing but a reboot takes back: these tests come last in a guest.

First integrity mode, then confidentiality: each row works, or its error names the mode and says
what is not forbidden instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from guest.rows.ground import Ground
from guest.rows.row import Row
from guest.rows.trial import EVERY, Trial, trial_of

import pylibbpf

pytestmark = pytest.mark.bpf_guest

Note = Callable[[str, object], None]

MODE = Path("/sys/kernel/security/lockdown")
CONFIDENTIAL = "kernel lockdown is in confidentiality mode"
FORBIDDEN = ("kprobe", "kretprobe", "ksyscall", "kretsyscall")
# What lockdown could have to do with: the rest is tried where it is strictest.
NEAR = ("probes", "tracing", "security")


def lock(mode: str) -> None:
    found = MODE.read_text()
    if f"[{mode}]" not in found:
        assert not found.startswith("none integrity ["), "locked down further already"
        MODE.write_text(mode)


@pytest.fixture(scope="module")
def integrity(guest: None, bpf: None) -> None:
    """The kernel in integrity mode."""
    lock("integrity")


@pytest.fixture(scope="module")
def confidentiality(guest: None, bpf: None) -> None:
    """The kernel in confidentiality mode."""
    lock("confidentiality")


@pytest.fixture(scope="module")
def trial(ground: Ground) -> Iterator[Trial]:
    """Tries rows as root, in a child all the same: what crashes there loses no other row."""
    with trial_of(ground) as made:
        yield made


@contextmanager
def loaded(objects: Path, name: str, program: str, **settings: int) -> Iterator[pylibbpf.Object]:
    with pylibbpf.open_object(objects / f"{name}.bpf.o") as obj:
        for each in obj.programs.values():
            each.autoload = each.name == program
        for setting, value in settings.items():
            obj.globals[setting] = value
        obj.load()
        yield obj


def hits(objects: Path, program: str) -> int:
    """How often a program of memory.bpf.c did what it is for."""
    with loaded(objects, "memory", program, target_pid=os.getpid()) as obj:
        obj.programs[program].attach()
        os.getpgid(0)
        assert obj.globals["pid"] == os.getpid()
        return int(obj.globals["hits"])


def refused(objects: Path, program: str) -> str:
    with pytest.raises(pylibbpf.VerifierError) as caught, loaded(objects, "memory", program):
        pass
    return str(caught.value)


# ---- integrity


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name) for row in EVERY if row.group in NEAR]
)
def test_integrity_forbids_no_row(
    row: Row, trial: Trial, integrity: None, record_property: Note
) -> None:
    trial(row, record_property, "lockdown, integrity", ())


def test_integrity_forbids_to_write_into_processes(objects: Path, integrity: None) -> None:
    text = refused(objects, "writes")
    assert "kernel lockdown is in integrity mode, which forbids programs to write" in text
    assert hits(objects, "reads")
    assert pylibbpf.doctor().ability("right", "reading kernel memory").works


# ---- confidentiality


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EVERY])
def test_confidentiality(
    row: Row, trial: Trial, confidentiality: None, record_property: Note
) -> None:
    needs = (CONFIDENTIAL,) if row.name in FORBIDDEN else ()
    trial(row, record_property, "lockdown", needs)


def test_the_doctor_says_so(confidentiality: None) -> None:
    report = pylibbpf.doctor()
    assert report.security.lockdown == "confidentiality"
    kprobe = report.ability("hook", "kprobe")
    assert kprobe.works is False
    assert CONFIDENTIAL in kprobe.reason
    assert kprobe.instead == "fentry or tp_btf"
    memory = report.ability("right", "reading kernel memory")
    assert memory.works is False
    assert CONFIDENTIAL in memory.reason
    assert "read without helpers" in memory.instead


def test_a_kprobe_is_refused_and_the_error_says_what_is_not(
    objects: Path, confidentiality: None
) -> None:
    with loaded(objects, "kprobe", "real") as obj:
        refusal = obj.attach(strict=False).failures["real"]
    assert isinstance(refusal, pylibbpf.BpfPermissionError)
    assert f"{CONFIDENTIAL}, which forbids kprobes" in str(refusal)
    assert "Instead: kprobe.multi, fentry, tp_btf and raw_tp are not forbidden" in str(refusal)


def test_a_program_that_reads_kernel_memory(objects: Path, confidentiality: None) -> None:
    text = refused(objects, "reads")
    assert f"{CONFIDENTIAL}, which forbids programs to read kernel memory" in text
    assert "Instead: what the verifier knows the type of is read without helpers" in text
    assert hits(objects, "typed")


def test_a_program_that_writes_into_processes(objects: Path, confidentiality: None) -> None:
    assert f"{CONFIDENTIAL}, which forbids programs to write" in refused(objects, "writes")
