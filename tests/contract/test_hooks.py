"""Hooks and facts that are not the same on every kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import pylibbpf


def kernel_config() -> bool:
    release = os.uname().release
    return any(Path(p).exists() for p in ("/proc/config.gz", f"/boot/config-{release}"))


def has_kprobes() -> bool:
    return Path("/sys/bus/event_source/devices/kprobe").exists()


def test_kernel_configuration(open_test_object, run):
    if not kernel_config():
        pytest.skip("needs /proc/config.gz or /boot/config-*")
    obj = open_test_object("kconfig")
    obj.load()
    run(obj, "run")
    major, minor = map(int, re.findall(r"\d+", os.uname().release)[:2])
    assert obj.globals["version"] >> 8 == major << 8 | minor
    assert obj.globals["has_bpf"] is True
    assert obj.globals["missing"].name == "TRI_NO"
    # weak: zero and "" where the kernel has no such setting
    assert obj.globals["hz"] >= 0
    assert isinstance(obj.globals["hostname"], str)
    with pytest.raises(pylibbpf.BpfError, match="CONFIG_BPF_SYSCALL"):
        obj.globals["CONFIG_BPF_SYSCALL"] = False


def test_a_function_that_is_not_there(load_test_object):
    """Attaching does what it can, if so asked, and names what it could not."""
    obj = load_test_object("kprobe")
    with pytest.raises(pylibbpf.Error, match="missing"):
        obj.attach()
    done = obj.attach(strict=False)
    assert "missing" in done.failures
    assert len(done.links) == has_kprobes()
    assert set(done.failures) == ({"missing"} if has_kprobes() else {"real", "missing"})


def test_fentry_loads_or_says_why(open_test_object):
    """Its target is looked up at load, where some kernels' policy refuses it."""
    obj = open_test_object("fentry")
    refusal = None
    try:
        obj.load()
    except pylibbpf.BpfError as error:
        refusal = error
    if refusal is not None:
        assert (refusal.operation, refusal.object) == ("load", "real")
        return
    obj.attach()
    with open("/proc/self/comm"):
        pass
    assert obj.globals["opens"] > 0


def test_a_section_that_nobody_knows(open_test_object):
    """The object opens; it loads without that program, or with its type given."""
    obj = open_test_object("unknown_section")
    with pytest.raises(pylibbpf.Error, match=r"stray|pylibbpf_no_such_section"):
        obj.load()
    other = open_test_object("unknown_section")
    other.programs["stray"].autoload = False
    other.load()
    assert len(other.attach().links) == 1
    third = open_test_object("unknown_section")
    third.programs["stray"].type = pylibbpf.ProgType.RAW_TRACEPOINT
    third.load()
