"""Finding network namespaces and interfaces."""

from __future__ import annotations

import os

import pytest

import pylibbpf
from pylibbpf.engine.kernel.netns import Netns


@pytest.fixture(autouse=True)
def extension() -> None:
    pytest.importorskip(
        "pylibbpf.engine.kernel._libbpf", reason="the extension was not built (no C compiler)"
    )


def test_our_own():
    own = Netns()
    assert own.fd == -1
    assert own.inode == os.stat("/proc/self/ns/net").st_ino
    assert own.interface("lo").index == own.interface(own.interface("lo").index).index
    assert "lo" in {each.name for each in own.interfaces()}
    # by another name: it need not be entered
    assert Netns("/proc/self/ns/net").fd == -1


@pytest.mark.parametrize("which", ["lo0", "", "much-too-long-for-an-interface", 0, -1, 2**40])
def test_no_such_interface(which):
    with pytest.raises(pylibbpf.BpfError, match=r"has no interface .*lo") as caught:
        Netns().interface(which)
    assert caught.value.errno == 19


def test_what_is_no_interface():
    with pytest.raises(TypeError):
        Netns().interface(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NUL"):
        Netns().interface("l\0o")


def test_what_is_no_namespace(tmp_path):
    with pytest.raises(pylibbpf.BpfError, match="no network namespace has"):
        Netns("pylibbpf-no-such-namespace")
    (tmp_path / "file").touch()
    before = os.listdir("/proc/self/fd")
    for other in (tmp_path / "file", "/proc/self/ns/mnt"):
        with pytest.raises(pylibbpf.BpfError, match="that is no network namespace"):
            Netns(other)
    with pytest.raises(pylibbpf.BpfError, match=r"descriptor 12345.*EBADF.*not open"):
        Netns(12345)
    with pytest.raises(TypeError):
        Netns(1.5)  # type: ignore[arg-type]
    assert os.listdir("/proc/self/fd") == before
