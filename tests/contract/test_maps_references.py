"""Arrays of programs, perf events and cgroups; stack traces."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

import pytest

import pylibbpf


@pytest.fixture
def obj(load_test_object):
    return load_test_object("references")


# ---- programs


def test_tail_calls(obj, run):
    jumps = obj.map("jumps")
    assert isinstance(jumps, pylibbpf.ProgramArray)
    assert run(obj, "jump", 2) == 2**32 - 1
    jumps[2] = obj.programs["seven"]
    assert run(obj, "jump", 2) == 7
    jumps[2] = obj.programs["eight"].fd
    assert run(obj, "jump", 2) == 8
    jumps.update_many({0: obj.programs["seven"], 3: obj.programs["seven"]})
    assert sorted(jumps) == [0, 2, 3]
    assert jumps[0] == jumps[3] != jumps[2]
    assert len(jumps) == 3
    del jumps[2]
    assert run(obj, "jump", 2) == 2**32 - 1
    with pytest.raises(KeyError):
        jumps[2]
    with pytest.raises(KeyError):
        del jumps[2]
    jumps.clear()
    assert list(jumps) == []


def test_ids_of_programs(obj, program_ids):
    obj.map("jumps")[1] = obj.programs["seven"]
    assert obj.map("jumps")[1] in program_ids()
    assert obj.map("jumps").to_dict() == {1: obj.map("jumps")[1]}


def test_a_program_of_another_type(obj):
    with pytest.raises(pylibbpf.BpfError, match="already share this map") as caught:
        obj.map("jumps")[1] = obj.programs["other"]
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("wrong", [None, "seven", object(), True, 1.0])
def test_no_program(obj, wrong):
    with pytest.raises(TypeError, match="a program is wanted"):
        obj.map("jumps")[1] = wrong
    with pytest.raises(KeyError):
        obj.map("jumps")[1]


def test_no_index(obj):
    seven = obj.programs["seven"]
    for index in (-1, 4):
        with pytest.raises(KeyError):
            obj.map("jumps")[index] = seven
        with pytest.raises(KeyError):
            del obj.map("jumps")[index]
        assert index not in obj.map("jumps")
    with pytest.raises(TypeError):
        obj.map("jumps")["x"] = seven


# ---- perf events


@pytest.fixture
def software_event():
    """A perf event that counts context switches of this process."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    number = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
    # PERF_TYPE_SOFTWARE, size of VER0, PERF_COUNT_SW_CONTEXT_SWITCHES
    attr = ctypes.create_string_buffer(struct.pack("=IIQ", 1, 64, 3), 64)
    fd = syscall(number, attr, -1, 0, -1, 0)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    yield fd
    os.close(fd)


def test_perf_events(obj, run, software_event):
    counters = obj.map("counters")
    assert isinstance(counters, pylibbpf.PerfEventArray)
    cpu0 = {"cpu": 0}
    words = struct.pack("=5Q", 0, 0, 0, 0, 0)
    measure = obj.programs["measure"]
    assert measure.test_run(ctx=words).retval == 2**32 - errno.ENOENT
    counters[0] = software_event
    # BPF_F_TEST_RUN_ON_CPU: the event counts there
    assert measure.test_run(ctx=words, flags=1, **cpu0).retval == 0
    del counters[0]
    with pytest.raises(KeyError):
        del counters[0]
    assert measure.test_run(ctx=words, flags=1, **cpu0).retval == 2**32 - errno.ENOENT


def test_perf_events_are_write_only(obj):
    counters = obj.map("counters")
    with pytest.raises(TypeError):
        counters[0]
    with pytest.raises(TypeError):
        iter(counters)
    with pytest.raises(TypeError, match="a perf event is wanted"):
        counters[0] = "x"
    with pytest.raises(ValueError, match="no descriptor"):
        counters[0] = -1
    with pytest.raises(pylibbpf.BpfError) as caught:
        counters[0] = obj.map("jumps").fd
    assert caught.value.errno in (errno.EINVAL, errno.EBADF)


# ---- cgroups


def test_cgroups(obj, run, make_cgroup):
    groups = obj.map("groups")
    assert isinstance(groups, pylibbpf.CgroupArray)
    assert run(obj, "below", 0) == 2**32 - errno.EAGAIN
    folder = make_cgroup()
    groups[0] = folder
    assert run(obj, "below", 0) == 0
    fd = os.open(folder, os.O_RDONLY)
    groups[1] = fd
    os.close(fd)
    assert run(obj, "below", 1) == 0
    child = os.fork()
    if not child:
        # In the child all handles are closed: it only moves, and waits.
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        os._exit(0)
    os.waitpid(child, 0)
    del groups[0]
    assert run(obj, "below", 0) == 2**32 - errno.EAGAIN
    with pytest.raises(KeyError):
        del groups[0]


def test_the_root_holds_all(obj, run, cgroup2):
    obj.map("groups")[0] = cgroup2
    assert run(obj, "below", 0) == 1


def test_no_cgroup(obj, tmp_path):
    with pytest.raises(FileNotFoundError):
        obj.map("groups")[0] = tmp_path / "nothing"
    with pytest.raises(pylibbpf.BpfError, match="cgroup") as caught:
        obj.map("groups")[0] = tmp_path
    assert caught.value.errno == errno.EBADF
    with pytest.raises(TypeError, match="cgroup's path"):
        obj.map("groups")[0] = None


# ---- stacks


def test_kernel_stacks(obj, run):
    stacks = obj.map("stacks")
    assert isinstance(stacks, pylibbpf.StackTraceMap)
    number = run(obj, "stack")
    assert number < 64
    frames = stacks[number]
    assert frames
    assert all(frame > 2**63 for frame in frames)
    assert number in stacks
    assert list(stacks) == [number]
    assert stacks.to_dict() == {number: frames}
    with pytest.raises(KeyError):
        stacks[(number + 1) % 64]
    with pytest.raises(TypeError, match="only programs add"):
        stacks[number] = (1, 2)
    with pytest.raises(TypeError, match="only programs add"):
        stacks.setdefault(number, (1, 2))
    with pytest.raises(TypeError, match="id is an int"):
        stacks["x"]
    assert stacks.pop(number) == frames
    with pytest.raises(KeyError):
        del stacks[number]
    run(obj, "stack")
    stacks.clear()
    assert len(stacks) == 0


def test_stacks_by_file(obj, run):
    number = run(obj, "user_stack")
    assert number < 64
    frames = obj.map("files")[number]
    assert frames
    for frame in frames:
        assert isinstance(frame, pylibbpf.BuildIdFrame)
        if frame.build_id is None:
            assert frame.address
        else:
            assert len(frame.build_id) == 20
            assert frame.address is None
    known = {frame.build_id for frame in frames if frame.build_id is not None}
    files = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    ours = [Path(each).read_bytes() for each in files if each.startswith("/") and ".so" in each]
    ours.append(Path(sys.executable).read_bytes())
    for build_id in known:
        assert any(build_id.rstrip(b"\0") in data for data in ours)
