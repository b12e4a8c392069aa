"""Trace points, traced functions, security hooks: attached, seen striking, gone; and why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.engine.kernel.library import version

NO_SUCH = "pylibbpf_no_such_function"


def touch() -> None:
    """Call openat(2) and fstat(2) once."""
    fd = os.open("/proc/self/comm", os.O_RDONLY)
    os.fstat(fd)
    os.close(fd)


@pytest.fixture
def only(open_test_object):
    """Load one program of the object with all traces; gives it and the globals."""

    def load(name: str, prepare=lambda program: None):
        obj = open_test_object("traces")
        obj.globals["target_pid"] = os.getpid()
        program = obj.programs[name]
        program.autoload = True
        prepare(program)
        obj.load()
        return program, obj.globals

    return load


def test_tracepoint(only):
    program, seen = only("tracepoint")
    with program.attach_tracepoint("syscalls", "sys_enter_getpgid", cookie=15):
        os.getpgid(os.getpid())
        assert (seen["hits"], seen["argument"], seen["cookie"]) == (1, os.getpid(), 15)
    os.getpgid(0)
    assert seen["hits"] == 1


def test_tracepoints_that_are_not_there(only):
    program, _ = only("tracepoint")
    for category, name, text in (
        ("syscalls", "sys_enter_getpgidd", "no tracepoint syscalls:.*; near: sys_enter_getpgid"),
        ("syscals", "sys_enter_x", r"no tracepoints syscals:\*; near: syscalls"),
        ("syscals", "sys_enter_getpgid", "is syscalls:sys_enter_getpgid meant"),
    ):
        with pytest.raises(pylibbpf.BpfError, match=text):
            program.attach_tracepoint(category, name)
    raw, _ = only("raw_tp")
    with pytest.raises(pylibbpf.BpfError, match="no tracepoint sched_swich; near: sched_switch"):
        raw.attach_raw_tracepoint("sched_swich")
    with pytest.raises(pylibbpf.BpfError, match="raw tracepoints have no category: sched_switch"):
        raw.attach_raw_tracepoint("sched/sched_switch")


def test_raw_tracepoint(only, kernel_has):
    program, seen = only("raw_tp")
    with program.attach_raw_tracepoint("sys_enter"):
        os.getpgid(0)
        assert seen["hits"] >= 1
    hits = seen["hits"]
    os.getpgid(0)
    assert seen["hits"] == hits
    if version() < (1, 4):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"libbpf 1\.4"):
            program.attach_raw_tracepoint("sys_enter", cookie=1)
    elif kernel_has("BPF_TRACE_KPROBE_SESSION"):  # both came with 6.10
        program, seen = only("raw_tp_cookie")
        with program.attach_raw_tracepoint("sys_enter", cookie=16):
            os.getpgid(0)
            assert seen["cookie"] == 16


def test_tp_btf(only):
    program, seen = only("tp_btf")
    with program.attach_trace():
        os.getpgid(0)
        assert seen["hits"] >= 1
    with program.attach():
        pass
    hits = seen["hits"]
    os.getpgid(0)
    assert seen["hits"] == hits


def test_tp_btf_of_another_tracepoint(only):
    program, seen = only("tp_btf", lambda each: each.set_attach_target("sys_exit"))
    with program.attach_trace():
        os.getpgid(0)
        assert seen["hits"] >= 1
    with pytest.raises(pylibbpf.BpfError, match="until load only"):
        program.set_attach_target("sys_enter")


def test_targets_that_are_not_there(open_test_object):
    obj = open_test_object("traces")
    with pytest.raises(pylibbpf.BpfError, match="no tracepoint sys_entr; near: sys_enter"):
        obj.programs["tp_btf"].set_attach_target("sys_entr")
    with pytest.raises(pylibbpf.BpfError, match="BTF has no function do_sys_openat3; near: do_sys"):
        obj.programs["fentry"].set_attach_target("do_sys_openat3")
    with pytest.raises(
        pylibbpf.BpfError, match="no such hook as inode_getatr; near: inode_getattr"
    ):
        obj.programs["lsm"].set_attach_target("inode_getatr")
    with pytest.raises(ValueError, match="a function, or a program"):
        obj.programs["fentry"].set_attach_target(None)


def test_a_function_that_fentry_names_and_nobody_has(open_test_object):
    obj = open_test_object("fentry")
    obj.programs["real"].autoload = False
    obj.programs["missing"].autoload = True
    with pytest.raises(pylibbpf.BpfError, match=f"BTF has no function {NO_SUCH}") as caught:
        obj.load()
    assert caught.value.object == "missing"


@pytest.mark.parametrize("name", ["fentry", "fexit", "fmod_ret", "lsm"])
def test_trampolines(only, kernel_has, name):
    """Of functions and security hooks: struck, with a cookie, and not after."""
    if not kernel_has("trampolines"):
        with pytest.raises(pylibbpf.BpfError) as caught:
            only(name)
        assert (caught.value.operation, caught.value.object) == ("load", name)
        return
    program, seen = only(name)
    if name == "lsm":
        assert "bpf" in Path("/sys/kernel/security/lsm").read_text()
        link = program.attach_lsm()
    else:
        link = program.attach_trace(cookie=31)
    with link:
        touch()
        assert seen["hits"] >= 1
        assert seen["cookie"] == (0 if name == "lsm" else 31)
        with pytest.raises(pylibbpf.BpfError, match="attached already"):
            program.attach_lsm() if name == "lsm" else program.attach_trace()
    hits = seen["hits"]
    touch()
    assert seen["hits"] == hits


def test_fsession(only, kernel_has):
    """Under a libbpf that does not know the name, too: it passes the attach type on."""
    if not (kernel_has("trampolines") and kernel_has("BPF_TRACE_FSESSION")):
        with pytest.raises(pylibbpf.BpfError) as caught:
            only("fsession")
        assert (caught.value.operation, caught.value.object) == ("load", "fsession")
        return
    program, seen = only("fsession")
    assert program.expected_attach_type == pylibbpf.AttachType.TRACE_FSESSION
    with program.attach():
        touch()
        assert seen["hits"] >= 2  # on entry and on return
    if version() < (1, 7):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"cookie.*libbpf 1\.7"):
            program.attach_trace(cookie=1)


@pytest.mark.usefixtures("ids")
def test_freplace(open_test_object, kernel_has):
    victim = open_test_object("traces")
    victim.programs["target"].autoload = True
    victim.load()
    target = victim.programs["target"]

    def run() -> int:
        return target.test_run(bytes(64)).retval

    assert run() == 1
    obj = open_test_object("traces")
    program = obj.programs["freplace"]
    program.autoload = True
    with pytest.raises(pylibbpf.BpfError, match="no global function nothing"):
        program.set_attach_target("nothing", target)
    program.set_attach_target("replaceable", target)
    if not kernel_has("trampolines"):
        with pytest.raises(pylibbpf.BpfError) as caught:
            obj.load()
        assert (caught.value.operation, caught.value.object) == ("load", "freplace")
        return
    obj.load()
    with program.attach_freplace():
        assert run() == 2
        assert obj.globals["hits"] == 1
    assert run() == 1
    with program.attach_freplace(target, "replaceable"):
        assert run() == 2
    with pytest.raises(pylibbpf.BpfError, match="no global function nothing"):
        program.attach_freplace(target, "nothing")
    assert run() == 1


def test_programs_of_another_type(load_test_object):
    program = load_test_object("attach").programs["raw"]
    for method, arguments in (
        ("attach_trace", ()),
        ("attach_lsm", ()),
        ("attach_freplace", ()),
        ("attach_tracepoint", ("sched", "sched_switch")),
    ):
        with pytest.raises(TypeError, match=rf"{method}\(\) attaches programs of type"):
            getattr(program, method)(*arguments)
