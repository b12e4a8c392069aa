"""Maps of sockets, and storage on them."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

import pylibbpf

SO_COOKIE = 57
AF_XDP, SOL_XDP, XDP_RX_RING = 44, 283, 2


@pytest.fixture
def obj(load_test_object):
    return load_test_object("sockmaps")


@pytest.fixture
def pair():
    """Both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        two, _ = server.accept()
    with one, two:
        yield one, two


def cookie(sock):
    return struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]


def test_sockmap(obj, pair):
    m = obj.map("by_index")
    assert isinstance(m, pylibbpf.SockMap)
    one, two = pair
    m[0] = one
    m[3] = two.fileno()
    assert m[0] == cookie(one)
    assert m.to_dict() == {0: cookie(one), 3: cookie(two)}
    assert list(m) == [0, 3]
    assert len(m) == 2
    assert 1 not in m
    del m[3]
    with pytest.raises(KeyError):
        m[3]
    with pytest.raises(KeyError):
        del m[3]
    m[3] = two
    m.clear()
    assert len(m) == 0
    m[0] = one
    one.close()
    assert len(m) == 0  # a socket leaves with its close


def test_sockhash(obj, pair):
    m = obj.map("by_flow")
    assert isinstance(m, pylibbpf.SockHash)
    one, two = pair
    m[(1, 2)] = one
    m.update_many({(3, 4): two})
    assert m[(1, 2)] == cookie(one)
    assert {(key.local, key.remote): value for key, value in m.items()} == {
        (1, 2): cookie(one),
        (3, 4): cookie(two),
    }
    assert m.pop((3, 4)) == cookie(two)
    with pytest.raises(KeyError):
        del m[(3, 4)]
    m.clear()
    assert len(m) == 0


def test_sockets_that_cannot_be_read(obj, pair):
    m = obj.map("narrow")
    m[0] = pair[0]
    with pytest.raises(pylibbpf.BpfError, match="value size must be 8") as caught:
        m[0]
    assert caught.value.errno == errno.ENOSPC
    del m[0]


def test_no_socket(obj, pair):
    m = obj.map("by_index")
    for wrong in (None, "x", 1.5):
        with pytest.raises(TypeError, match="a socket is wanted"):
            m[0] = wrong
    with open(os.devnull) as file, pytest.raises(pylibbpf.BpfError, match="socket") as caught:
        m[0] = file
    assert caught.value.errno == errno.ENOTSOCK
    with socket.socket() as unconnected, pytest.raises(pylibbpf.BpfError) as caught:
        m[0] = unconnected
    assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_elem(0, pair[0], 2)  # BPF_EXIST
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(KeyError):
        m[4] = pair[0]


def test_reuseport(obj):
    m = obj.map("group")
    assert isinstance(m, pylibbpf.ReuseportArray)
    with socket.socket(type=socket.SOCK_DGRAM) as first, socket.socket() as plain:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.bind(("127.0.0.1", 0))
        m[1] = first
        assert m[1] == cookie(first)
        assert list(m) == [1]
        with pytest.raises(pylibbpf.BpfError, match="SO_REUSEPORT") as caught:
            m[0] = plain
        assert caught.value.errno == errno.EINVAL
        del m[1]
        with pytest.raises(KeyError):
            m[1]
        with pytest.raises(KeyError):
            del m[1]


def test_xsk(obj):
    m = obj.map("queues")
    assert isinstance(m, pylibbpf.XskMap)
    packet = bytes(64)
    to_socket = obj.programs["to_socket"]
    assert to_socket.test_run(packet).retval == 2
    with socket.socket(AF_XDP, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_XDP, XDP_RX_RING, 64)  # from some kernel on a socket must have one
        m[1] = sock
        assert to_socket.test_run(packet).retval == 4
        del m[1]
        del m[1]  # the kernel does not say what was there
    assert to_socket.test_run(packet).retval == 2
    with socket.socket() as other, pytest.raises(pylibbpf.BpfError, match="AF_XDP") as caught:
        m[1] = other
    assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(TypeError):
        m[1]


def test_storage_on_sockets(obj, pair):
    m = obj.map("sockets")
    assert isinstance(m, pylibbpf.SocketStorage)
    one, two = pair
    assert one not in m
    with pytest.raises(KeyError):
        m[one]
    m[one] = 5
    m[two.fileno()] = 6
    assert m[one] == m[one.fileno()] == 5
    assert m.get(two) == 6
    m.update_elem(one, 7, 2)  # BPF_EXIST
    with pytest.raises(pylibbpf.BpfError) as caught:
        m.update_elem(one, 8, 1)  # BPF_NOEXIST
    assert caught.value.errno == errno.EEXIST
    assert m[one] == 7
    del m[one]
    assert m.get(one) is None
    with pytest.raises(KeyError):
        del m[one]
    with pytest.raises(TypeError):
        iter(m)
    with pytest.raises(TypeError, match="a socket or its descriptor"):
        m["x"]
    with open(os.devnull) as file, pytest.raises(pylibbpf.BpfError, match="socket") as caught:
        m[file]
    assert caught.value.errno == errno.ENOTSOCK
