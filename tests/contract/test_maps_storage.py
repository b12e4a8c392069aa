"""Storage on tasks, inodes and cgroups."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest

import pylibbpf


@pytest.fixture
def obj(load_test_object):
    return load_test_object("storage")


def test_tasks(obj, run):
    m = obj.map("tasks")
    assert isinstance(m, pylibbpf.TaskStorage)
    me = os.getpid()
    assert me not in m
    assert run(obj, "visit") == 1
    assert run(obj, "visit") == 2
    assert (m[me].count, m[me].who) == (2, "visitor")
    m[me] = (10, "tester")
    assert run(obj, "visit") == 11
    fd = os.pidfd_open(me)
    try:
        assert m[pylibbpf.PidFd(fd)].count == 11
        assert pylibbpf.PidFd(fd) in m
    finally:
        os.close(fd)
    del m[me]
    with pytest.raises(KeyError):
        m[me]
    with pytest.raises(KeyError):
        del m[me]
    assert m.get(me, "none") == "none"


def test_a_task_that_ends(obj):
    m = obj.map("tasks")
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(1)
    m[child] = (1, "child")
    assert m[child].count == 1
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(ProcessLookupError):
        m[child]
    with pytest.raises(TypeError, match="a pid"):
        m["init"]
    with pytest.raises(pylibbpf.BpfError) as caught:
        m[pylibbpf.PidFd(obj.map("tasks").fd)]
    assert caught.value.errno == errno.EBADF


def test_inodes(obj, tmp_path):
    m = obj.map("inodes")
    assert isinstance(m, pylibbpf.InodeStorage)
    file = tmp_path / "file"
    file.write_text("x")
    m[file] = 5
    assert m[str(file)] == 5
    with open(file) as opened:
        assert m[opened] == m[opened.fileno()] == 5
    os.link(file, tmp_path / "other")
    assert m[tmp_path / "other"] == 5  # of the inode, not of the name
    assert tmp_path not in m
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_elem(file, 6, 1)  # BPF_NOEXIST
    assert caught.value.errno == errno.EEXIST
    del m[file]
    assert m.get(file) is None
    with pytest.raises(FileNotFoundError):
        m[tmp_path / "nothing"]
    with pytest.raises(OverflowError):
        m[file] = -1


def test_cgroups(open_test_object, make_cgroup, kernel_version):
    obj = open_test_object("cgrp_storage")
    if kernel_version < (6, 2):
        with pytest.raises(
            pylibbpf.BpfError, match=r"type cgrp_storage needs Linux 6\.2"
        ) as caught:
            obj.load()
        assert caught.value.errno == errno.EINVAL
        return
    obj.load()
    m = obj.map("cgroups")
    assert isinstance(m, pylibbpf.CgroupStorage)
    folder = make_cgroup()
    assert folder not in m
    m[folder] = 3
    fd = os.open(folder, os.O_RDONLY)
    assert m[fd] == 3
    os.close(fd)
    assert folder.parent not in m
    del m[folder]
    with pytest.raises(KeyError):
        m[folder]


def test_the_old_storage_of_cgroups(load_test_object, make_cgroup):
    obj = load_test_object("old_cgroup_storage")
    sent, by_cpu = obj.map("sent"), obj.map("sent_by_cpu")
    assert isinstance(sent, pylibbpf.OldCgroupStorage)
    assert len(sent) == 0
    folder = make_cgroup()
    with obj.programs["made"].attach_cgroup(folder):
        child = os.fork()
        if not child:
            import socket

            (folder / "cgroup.procs").write_text(str(os.getpid()))
            for _ in range(3):
                socket.socket().close()
            os._exit(0)
        os.waitpid(child, 0)
        ((key, value),) = sent.items()
        assert key.cgroup_inode_id == folder.stat().st_ino
        assert value == sent[key] == 3
        assert by_cpu[key].sum() == 3
        sent[key] = 40
        assert sent[key] == 40
        with pytest.raises((AttributeError, TypeError)):
            del sent[key]
