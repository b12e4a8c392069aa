"""Maps of devices and CPUs, which XDP programs redirect to."""

from __future__ import annotations

import errno
import socket

import pytest

import pylibbpf

PASS, REDIRECT = 2, 4
PACKET = bytes(64)
LOOPBACK = socket.if_nametoindex("lo")


@pytest.fixture
def obj(load_test_object):
    return load_test_object("redirect")


@pytest.mark.parametrize(
    ("name", "cls", "key", "program"),
    [("ports", "DevMap", 1, "to_port"), ("by_number", "DevMapHash", 1000, "to_number")],
)
def test_devices(obj, name, cls, key, program):
    m = obj.map(name)
    assert type(m).__name__ == cls
    run = obj.programs[program].test_run
    assert run(PACKET).retval == PASS
    m[key] = "lo"
    assert run(PACKET).retval == REDIRECT
    assert m[key] == (LOOPBACK, 0)
    assert m[key].ifindex == LOOPBACK
    assert m[key].name == "lo"
    assert list(m) == [key]
    assert m.to_dict() == {key: (LOOPBACK, 0)}
    m[2] = m[key]
    m[3] = LOOPBACK
    assert len(m) == 3
    del m[key]
    assert run(PACKET).retval == PASS
    with pytest.raises(KeyError):
        m[key]
    with pytest.raises(KeyError):
        del m[key]
    m.clear()
    assert len(m) == 0


def test_a_program_at_a_device(obj, program_ids):
    m = obj.map("ports")
    m[0] = ("lo", obj.programs["at_port"])
    found = m[0]
    assert found.ifindex == LOOPBACK
    assert found.program_id in program_ids()
    with pytest.raises(TypeError, match="give the program itself"):
        m[1] = found
    with pytest.raises(pylibbpf.BpfError) as caught:
        m[1] = ("lo", obj.programs["at_cpu"])
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(TypeError, match="no room for a program"):
        obj.map("plain_ports")[0] = ("lo", obj.programs["at_port"])
    obj.map("plain_ports")[0] = "lo"
    assert obj.map("plain_ports")[0] == (LOOPBACK, 0)


def test_no_device(obj):
    m = obj.map("ports")
    with pytest.raises(OSError):
        m[0] = "no-such-device"
    with pytest.raises(pylibbpf.BpfError, match="no network interface") as caught:
        m[0] = 2**31 - 1
    assert caught.value.errno == errno.EINVAL
    for wrong in (None, 1.0, True, b"lo"):
        with pytest.raises(TypeError, match="a name or an index"):
            m[0] = wrong
    with pytest.raises(KeyError):
        m[4] = "lo"


def test_cpus(obj, program_ids):
    m = obj.map("cpus")
    assert isinstance(m, pylibbpf.CpuMap)
    run = obj.programs["to_cpu"].test_run
    assert run(PACKET).retval == PASS
    m[0] = 192
    assert run(PACKET).retval == REDIRECT
    assert m[0] == (192, 0)
    assert m[0].size == 192
    m[0] = (256, obj.programs["at_cpu"])
    assert m[0].size == 256
    assert m[0].program_id in program_ids()
    del m[0]
    assert run(PACKET).retval == PASS
    assert len(m) == 0


def test_no_queue(obj):
    m = obj.map("cpus")
    with pytest.raises(ValueError, match="at least one packet"):
        m[0] = 0
    with pytest.raises(TypeError, match="size is an int"):
        m[0] = "192"
    with pytest.raises(pylibbpf.BpfError, match="16384") as caught:
        m[0] = 20_000
    assert caught.value.errno == errno.EOVERFLOW
    with pytest.raises(pylibbpf.BpfError, match="CPU") as caught:
        m[63] = 192
    assert caught.value.errno in (errno.ENODEV, errno.EEXIST)
