"""struct_ops: TCP congestion controls of our own, in use, swapped and taken away."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf import info as infos
from pylibbpf.uapi.flags import BPF_F_LINK

pytestmark = pytest.mark.usefixtures("by_id")

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@pytest.fixture
def by_link(sound_kernel):
    """Links of struct_ops maps: Linux 6.4."""
    major, minor = os.uname().release.split(".")[:2]
    if (int(major), int("".join(c for c in minor if c.isdigit()))) < (6, 4):
        pytest.skip("needs Linux 6.4 (BPF_F_LINK)")


@pytest.fixture
def ops(engine, sound_kernel, objects):
    """Open the object under a name of its own, since names are the whole machine's."""
    opened = []
    name = f"plb{os.getpid() % 10**7:07}{random.randrange(10**4):04}"

    def open_one(*, link: bool) -> pylibbpf.Object:
        data = (objects / "struct_ops.bpf.o").read_bytes()
        assert data.count(b"plb_test_name00") == 2
        data = data.replace(b"plb_test_name00", f"{name}a".encode())
        data = data.replace(b"plb_test_other0", f"{name}b".encode())
        obj = pylibbpf.open_object(data, engine=engine)
        opened.append(obj)
        for each in ("first", "second", "third"):
            if link:
                obj.maps[each].flags |= BPF_F_LINK
        obj.load()
        return obj

    open_one.name = f"{name}a"
    yield open_one
    for obj in opened:
        obj.close()


def available(name: str) -> bool:
    return name in AVAILABLE.read_text().split()


def eventually(condition) -> bool:
    for _ in range(250):
        if condition():
            return True
        threading.Event().wait(0.02)
    return False


def transfer(name: str) -> None:
    """Send some data over loopback, by a socket that uses the congestion control."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        client.connect(server.getsockname())
        peer, _ = server.accept()
        with peer:
            receiver = threading.Thread(target=lambda: drain(peer))
            receiver.start()
            client.sendall(bytes(1 << 18))
            client.shutdown(socket.SHUT_WR)
            receiver.join()


def drain(peer: socket.socket) -> None:
    while peer.recv(1 << 16):
        pass


# ---- without a link


def test_registered_without_a_link(ops):
    obj = ops(link=False)
    first = obj.maps["first"]
    assert isinstance(first, pylibbpf.StructOpsMap)
    assert first.state == "init"
    link = first.attach()
    assert first.state == "in use"
    assert available(ops.name)
    transfer(ops.name)
    assert obj.globals["first_acks"] > 0
    with pytest.raises(pylibbpf.NotSupportedError, match="no descriptor of its own"):
        link.info()
    with pytest.raises(pylibbpf.NotSupportedError):
        link.update(obj.maps["second"])
    with pytest.raises(pylibbpf.BpfError, match="in use already"):
        first.attach()
    link.close()
    assert not available(ops.name)
    assert first.state == "to be freed"
    with pytest.raises(pylibbpf.BpfError, match=r"'to be freed'.*once"):
        first.attach()


def test_two_of_one_name(ops):
    obj = ops(link=False)
    obj.maps["first"].attach()
    with pytest.raises(pylibbpf.BpfError) as caught:
        obj.maps["second"].attach()
    assert caught.value.errno == 17
    obj.maps["third"].attach()


REGISTER = """
    import os, signal, sys, pylibbpf
    data = sys.stdin.buffer.read()
    obj = pylibbpf.open_object(data, engine=sys.argv[1])
    obj.load()
    obj.maps["first"].attach()
    print(obj.maps["first"].id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_can_be_unregistered(
    engine, ops, objects, monkeypatch, tmp_path
):
    monkeypatch.setenv("PYLIBBPF_RUNTIME_DIR", str(tmp_path / "ledger"))
    name = ops.name
    data = (objects / "struct_ops.bpf.o").read_bytes().replace(b"plb_test_name00", name.encode())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REGISTER), engine],
        input=data,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert available(name)
    with pylibbpf.open_map(int(done.stdout)) as left:
        assert left.state == "in use"
        left.unregister()
        assert not available(name)
        with pytest.raises(pylibbpf.BpfError):
            left.unregister()
    assert [each.state for each in pylibbpf.stale(engine=engine)] == ["gone"]


def test_what_a_killed_process_leaves_is_on_the_ledger(engine, ops, objects, monkeypatch, tmp_path):
    monkeypatch.setenv("PYLIBBPF_RUNTIME_DIR", str(tmp_path / "ledger"))
    name = ops.name
    data = (objects / "struct_ops.bpf.o").read_bytes().replace(b"plb_test_name00", name.encode())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REGISTER), engine],
        input=data,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = pylibbpf.stale(engine=engine)
    assert left.state == "attached"
    assert left.place == f"struct_ops map 'first' (id {int(done.stdout)})"
    left.detach()
    assert not available(name)
    assert pylibbpf.stale(engine=engine) == []


def test_a_registration_that_ends_well_is_off_the_ledger(ops, monkeypatch, tmp_path):
    monkeypatch.setenv("PYLIBBPF_RUNTIME_DIR", str(tmp_path / "ledger"))
    obj = ops(link=False)
    link = obj.maps["first"].attach()
    assert len(list((tmp_path / "ledger").iterdir())) == 1
    link.close()
    assert list((tmp_path / "ledger").iterdir()) == []
    with pytest.raises(pylibbpf.BpfError):
        obj.maps["first"].attach()  # registered once, and no more
    assert list((tmp_path / "ledger").iterdir()) == []


# ---- before load


@pytest.fixture
def unloaded(engine, sound_kernel, objects):
    with pylibbpf.open_object(objects / "struct_ops.bpf.o", engine=engine) as obj:
        yield obj


def libbpf() -> tuple[int, int]:
    from pylibbpf.engine.kernel.library import version

    return version()


def test_initial_values(unloaded):
    first = unloaded.maps["first"].initial
    assert set(first) >= {"ssthresh", "cong_avoid", "init", "name"}
    if libbpf() < (1, 4):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"libbpf 1\.4"):
            first["name"]
        with pytest.raises(pylibbpf.NotSupportedError, match=r"libbpf 1\.4"):
            first["name"] = "x"
        return
    assert first["name"] == "plb_test_name00"
    assert first["cong_avoid"] == "first_avoid"
    assert first["init"] is None
    name = f"plb{os.getpid() % 10**7:07}{random.randrange(10**4):04}i"
    first["name"] = name
    first["cong_avoid"] = unloaded.programs["second_avoid"]
    with pytest.raises(TypeError, match="cong_avoid is a function"):
        first["cong_avoid"] = 3
    with pytest.raises(KeyError, match="second_avoid"):
        first["cong_avoid"] = "second_avoi"
    with pytest.raises(KeyError):
        first["no_member"] = 1
    with pytest.raises(ValueError, match="do not fit into 16"):
        first["name"] = "far too long for its sixteen bytes"
    unloaded.load()
    with pytest.raises(pylibbpf.BpfError, match="until load only"):
        first["name"] = "x"
    unloaded.maps["first"].attach()
    transfer(name)
    assert unloaded.globals["second_acks"] > 0
    assert unloaded.globals["first_acks"] == 0


# ---- with a link


@pytest.mark.usefixtures("by_link")
def test_a_link_and_its_update(ops):
    obj = ops(link=True)
    first, second = obj.maps["first"], obj.maps["second"]
    with first.attach() as link:
        assert first.state == "ready"
        found = link.info()
        assert isinstance(found, infos.StructOpsLinkInfo)
        assert (found.map_id, found.prog_id) == (first.id, 0)
        transfer(ops.name)
        assert obj.globals["first_acks"] > 0
        assert obj.globals["second_acks"] == 0
        link.update(second)
        assert link.info().map_id == second.id
        before = obj.globals["first_acks"]
        transfer(ops.name)
        assert obj.globals["second_acks"] > 0
        assert obj.globals["first_acks"] == before
    assert eventually(lambda: not available(ops.name))


@pytest.mark.usefixtures("by_link")
def test_the_same_map_is_refused(ops):
    obj = ops(link=True)
    first, second = obj.maps["first"], obj.maps["second"]
    link = first.attach()
    with pytest.raises(pylibbpf.BpfError, match="kernels do not survive"):
        link.update(first)
    with pytest.raises(pylibbpf.BpfError, match="in use already"):
        first.attach()
    # By another handle of the same map, and by another of the same link.
    with pylibbpf.open_map(first.id) as again, pylibbpf.open_link(link.id) as other:
        for each in (link, other):
            with pytest.raises(pylibbpf.BpfError, match="kernels do not survive"):
                each.update(again)
            with pytest.raises(pylibbpf.BpfError, match="kernels do not survive"):
                each.update(first, old=again)
    link.update(second)
    with pytest.raises(pylibbpf.BpfError, match="kernels do not survive"):
        link.update(second)
    assert link.info().map_id == second.id
    with pytest.raises(pylibbpf.BpfError, match="in use already, by link"):
        second.attach()


@pytest.mark.usefixtures("by_link")
def test_update_refuses_what_does_not_fit(ops, load_test_object):
    obj = ops(link=True)
    link = obj.maps["first"].attach()
    with pytest.raises(pylibbpf.BpfError) as caught:
        link.update(obj.maps["third"])  # of another name
    assert caught.value.errno == 22
    with pytest.raises(pylibbpf.BpfError, match="is no struct_ops map"):
        link.update(load_test_object("maps").maps["hash"])
    with pytest.raises(pylibbpf.BpfError, match="not the old one"):
        link.update(obj.maps["second"], old=obj.maps["third"])
    with pytest.raises(pylibbpf.BpfError, match="without BPF_F_LINK"):
        link.update(ops(link=False).maps["second"])
    with pytest.raises(pylibbpf.BpfError):
        link.update(obj.programs["first_avoid"])
    assert link.info().map_id == obj.maps["first"].id


@pytest.mark.usefixtures("by_link")
def test_two_threads_update_with_one_map(ops):
    """One of them is refused before the kernel is asked."""
    obj = ops(link=True)
    link = obj.maps["first"].attach()
    said = []

    def update() -> None:
        try:
            link.update(obj.maps["second"])
        except pylibbpf.BpfError as error:
            said.append(error.errno)
        else:
            said.append(0)

    threads = [threading.Thread(target=update) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [0, 17, 17, 17]


@pytest.mark.usefixtures("by_link")
def test_pinned_it_outlives_the_object(ops, pins):
    obj = ops(link=True)
    link = obj.maps["first"].attach()
    link.pin(f"{pins}/cc")
    obj.close()
    assert available(ops.name)
    with pylibbpf.open_link(f"{pins}/cc") as again:
        assert again.type is pylibbpf.LinkType.STRUCT_OPS
        again.unpin()
    assert eventually(lambda: not available(ops.name))


@pytest.mark.usefixtures("by_link")
def test_a_map_with_a_link_is_not_unregistered_otherwise(ops):
    obj = ops(link=True)
    obj.maps["first"].attach()
    with pytest.raises(pylibbpf.BpfError):
        obj.maps["first"].unregister()
    assert available(ops.name)


def test_a_struct_ops_map_is_not_reused(ops, engine, objects):
    obj = ops(link=False)
    other = pylibbpf.open_object(objects / "struct_ops.bpf.o", engine=engine)
    with other, pytest.raises(pylibbpf.BpfError, match="struct_ops map is of one object"):
        other.maps["first"].reuse(obj.maps["first"])
