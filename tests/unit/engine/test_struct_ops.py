"""What keeps a kernel from being given the same struct_ops map twice."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pylibbpf.engine.kernel import struct_ops
from pylibbpf.errors import BpfError
from pylibbpf.uapi.enums import LinkType, MapType
from pylibbpf.uapi.flags import BPF_F_LINK


def test_a_maps_own_place_is_refused():
    with pytest.raises(BpfError, match="map 7 is the one that is in use by this link") as caught:
        struct_ops.refuse(7, 7, None, "tcp", "update link")
    assert (caught.value.errno, caught.value.object) == (17, "tcp")


def test_a_map_of_another_link_is_refused():
    with pytest.raises(BpfError, match="map 8 is in use already, by link 3") as caught:
        struct_ops.refuse(8, 7, 3, "tcp", "update link")
    assert caught.value.errno == 16


def test_another_map_is_not():
    struct_ops.refuse(8, 7, None, "tcp", "update link")


class Lock:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


class FakeLink:
    name = "tcp"
    owner = Lock()
    map = None

    def need_link(self, operation: str) -> int:
        return 3


class FakeMap:
    name = "ops"
    fd = 4

    def __init__(self, id: int) -> None:
        self.id = id

    def info(self):
        return SimpleNamespace(id=self.id, type=MapType.STRUCT_OPS, flags=BPF_F_LINK)

    def lookup(self, key: bytes) -> bytes:
        return bytes(4) + (3).to_bytes(4, "little")  # ready


class NoLibrary:
    """Every call of libbpf is one too many."""

    def __getattr__(self, name: str):
        pytest.fail(f"the kernel was asked: {name}")


@pytest.fixture
def kernel(monkeypatch):
    """A link whose map is 7, a map 8 in use by link 5, and a library that may not be used."""
    info = SimpleNamespace(id=1, type=LinkType.STRUCT_OPS, map_id=7)
    monkeypatch.setattr(struct_ops.describe, "link_info", lambda fd, name: info)
    monkeypatch.setattr(struct_ops, "registered", {7: 1, 8: 5}.get)
    monkeypatch.setattr(struct_ops, "load", lambda: (None, NoLibrary()))
    return info


def test_update_refuses_before_the_kernel_is_asked(kernel):
    with pytest.raises(BpfError, match="kernels do not survive"):
        struct_ops.update(FakeLink(), FakeMap(7), None)
    with pytest.raises(BpfError, match="kernels do not survive"):
        struct_ops.update(FakeLink(), FakeMap(7), FakeMap(7))
    with pytest.raises(BpfError, match="in use already, by link 5"):
        struct_ops.update(FakeLink(), FakeMap(8), None)


def test_update_refuses_an_old_map_that_is_not_there(kernel):
    with pytest.raises(BpfError, match="map 7 is in use, not the old one"):
        struct_ops.update(FakeLink(), FakeMap(9), FakeMap(6))


def test_update_of_a_detached_link(kernel):
    kernel.map_id = 0
    with pytest.raises(BpfError, match="it is detached"):
        struct_ops.update(FakeLink(), FakeMap(9), None)


def test_the_kernel_is_told_which_map_is_replaced(kernel, monkeypatch):
    """So that it looks once more, under its own lock, whatever happened since."""
    asked = []

    class Library:
        @staticmethod
        def bpf_link_update(link: int, new: int, fields) -> int:
            asked.append((link, new, fields.flags, fields.old_prog_fd))
            return 0

    given = SimpleNamespace()

    def opts(struct: str, **fields):
        assert struct == "bpf_link_update_opts"
        given.__dict__.update(fields)
        return given, []

    monkeypatch.setattr(struct_ops, "load", lambda: (None, Library))
    monkeypatch.setattr(struct_ops, "opts", opts)
    old = FakeMap(7)
    old.fd = 44
    link = FakeLink()
    new = FakeMap(9)
    struct_ops.update(link, new, old)
    assert asked == [(3, 4, 4, 44)]  # BPF_F_REPLACE
    assert link.map is new
