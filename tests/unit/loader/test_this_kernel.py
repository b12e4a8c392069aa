"""The running kernel's types: those of modules are read only when they are asked for."""

from __future__ import annotations

import pytest

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Int
from pylibbpf.errors import BtfError
from pylibbpf.loader import this_kernel as module
from pylibbpf.loader.this_kernel import this_kernel


def test_modules_are_read_when_they_are_asked_for(monkeypatch, tmp_path):
    own = Btf.from_types([Int("int", 4, 32)])
    monkeypatch.setattr(module, "FOLDER", str(tmp_path))
    monkeypatch.setattr(module, "kernel_btf", lambda: own)
    for name in ("vmlinux", "second", "first"):
        (tmp_path / name).write_bytes(b"no types at all")
    kernel = this_kernel()
    assert kernel.btf is own
    assert list(kernel.modules) == ["first", "second"]
    assert len(kernel.modules) == 2
    with pytest.raises(BtfError):
        kernel.modules["first"]
    with pytest.raises(KeyError):
        kernel.modules["third"]
    (tmp_path / "second").unlink()
    with pytest.raises(KeyError):
        kernel.modules["second"]
    (tmp_path / "second").mkdir()
    with pytest.raises(BtfError, match=r"this kernel's types cannot be read from .*/second: Is a"):
        kernel.modules["second"]


def test_a_module_that_is_unloaded_meanwhile_is_passed_over(monkeypatch, tmp_path):
    own = Btf.from_types([Int("int", 4, 32)])
    monkeypatch.setattr(module, "FOLDER", str(tmp_path))
    monkeypatch.setattr(module, "kernel_btf", lambda: own)
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(b"no types at all")
    kernel = this_kernel()
    assert len(kernel.modules) == 2
    (tmp_path / "first").unlink()
    (tmp_path / "second").unlink()
    assert list(kernel.modules.items()) == []
