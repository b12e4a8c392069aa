"""The facts of a report, read from trees of files that are made up."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.ability import Ability, Library
from pylibbpf.checkup.facts import examine
from pylibbpf.engine.kernel.host import Host


class Engine:
    name = "kernel"

    def library(self) -> Library:
        return Library(True, "/usr/lib/libbpf.so.1", (1, 4), "")

    def abilities(self) -> tuple[Ability, ...]:
        return (Ability("hook", "kprobe", True),)


@pytest.fixture
def look(tmp_path: Path):
    def write(files: dict[str, str]) -> pylibbpf.Report:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return examine(Engine(), Host(str(tmp_path)))  # type: ignore[arg-type]

    return write


def test_the_kernel(look) -> None:
    found = look(
        {
            "proc/sys/kernel/osrelease": "5.10.0-28-amd64\n",
            "proc/version": "Linux version 5.10\n",
            "boot/config-5.10.0-28-amd64": "CONFIG_BPF_JIT=y\nCONFIG_BPF_JIT_ALWAYS_ON=y\n",
            "sys/kernel/btf/vmlinux": "x" * 10,
            "sys/kernel/btf/veth": "x",
            "proc/sys/net/core/bpf_jit_harden": "2\n",
        }
    )
    assert found.kernel.version == (5, 10)
    assert found.kernel.build == "Linux version 5.10"
    assert found.config.source == "/boot/config-5.10.0-28-amd64"
    assert found.config.options["CONFIG_BPF_JIT"] == "y"
    assert found.config.options["CONFIG_KPROBES"] is None
    assert (found.btf.vmlinux, found.btf.modules) == (10, ("veth",))
    assert (found.jit.enable, found.jit.harden, found.jit.always_on) == (None, 2, True)
    assert found.process.memlock.matters is True


def test_the_process(look) -> None:
    found = look(
        {
            "proc/sys/kernel/osrelease": "6.12.0\n",
            "proc/self/status": (
                "CapPrm:\t000000c000000000\nCapEff:\t0000008000000000\nCapBnd:\t000001ffffffffff\n"
                "NoNewPrivs:\t1\nSeccomp:\t2\n"
            ),
            "proc/self/uid_map": "0 1000 1\n",
            "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
            "sys/kernel/security/lsm": "capability,bpf",
        }
    )
    assert found.process.effective == {"BPF"}
    assert found.process.permitted == {"BPF", "PERFMON"}
    assert found.process.bounding is not None
    assert len(found.process.bounding) == 41
    assert found.process.initial_user_namespace is False
    assert (found.process.seccomp, found.process.no_new_privileges) == ("filter", True)
    assert (found.security.lockdown, found.security.modules) == ("integrity", ("capability", "bpf"))
    assert found.process.memlock.matters is False


def test_mounts(look, tmp_path: Path) -> None:
    (tmp_path / "sys/fs/bpf").mkdir(parents=True)
    (tmp_path / "sys/fs/bpf").chmod(0o1700)
    found = look({"proc/self/mounts": "bpffs /sys/fs/bpf bpf rw 0 0\nproc /proc proc rw 0 0\n"})
    mounts = {each.kind: each for each in found.mounts}
    assert (mounts["bpf"].mounted, mounts["bpf"].mode, mounts["bpf"].mend) == (True, 0o1700, "")
    tracefs = mounts["tracefs"]
    assert (tracefs.mounted, tracefs.readable, tracefs.mode) == (False, False, None)
    assert tracefs.mend == "sudo mount -t tracefs tracefs /sys/kernel/tracing"
    assert mounts["cgroup2"].mend == "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"


def test_a_tracefs_that_others_may_not_read(look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "why_unreadable", lambda self, path: 13)
    found = look({"proc/self/mounts": "tracefs /sys/kernel/tracing tracefs rw 0 0\n"})
    assert found.mounts[0].mend == "sudo mount -o remount,mode=750,gid=$(id -g) /sys/kernel/tracing"
    assert found.mounts[0].readable is False


def test_a_report_is_frozen_and_can_be_sent(look) -> None:
    found = look({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.engine = "other"
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.ability("hook", "kprobe").works is True
