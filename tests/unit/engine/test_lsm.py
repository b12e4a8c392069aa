"""Whether the security module is active without which LSM programs are never called."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.engine.kernel.host import Host
from pylibbpf.engine.kernel.lsm import MODULES, need_active


def machine(root: Path, modules: str) -> Host:
    place = root / MODULES
    place.parent.mkdir(parents=True)
    place.write_text(modules)
    return Host(str(root))


@pytest.mark.parametrize("modules", ["lockdown,capability,bpf", "bpf", "capability,bpf,yama\n"])
def test_active(tmp_path: Path, modules: str) -> None:
    need_active("guard", machine(tmp_path, modules))


def test_nothing_is_known(tmp_path: Path) -> None:
    need_active("guard", Host(str(tmp_path)))


def test_not_active(tmp_path: Path) -> None:
    host = machine(tmp_path, "lockdown,capability,landlock,yama")
    with pytest.raises(pylibbpf.BpfError, match="bpf is not active, and nobody would") as caught:
        need_active("guard", host)
    error = caught.value
    assert (error.errno, error.operation, error.object) == (errno.EOPNOTSUPP, "attach", "guard")
    assert "boot with lsm=lockdown,landlock,yama,bpf " in str(error)
