"""Programs of sockets, of maps of sockets and of network namespaces: at work, and refused.

What speaks over sockets does so in a child in a network namespace of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf import AttachType

HOST = "127.0.0.1"
SO_LOCK_FILTER = 44  # include/uapi/asm-generic/socket.h


def kernel() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


@pytest.fixture
def load(engine, objects):
    """Open tests/objects/sockets and load those programs; not closed by itself."""

    def load_some(*names: str) -> pylibbpf.Object:
        obj = pylibbpf.open_object(objects / "sockets.bpf.o", engine=engine)
        try:
            for name in names:
                obj.programs[name].autoload = True
            obj.load()
        except BaseException:
            obj.close()
            raise
        return obj

    return load_some


def tcp() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.settimeout(5)
    return found


def udp() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.settimeout(5)
    return found


@contextlib.contextmanager
def pair():
    """Two TCP sockets that are connected."""
    with tcp() as listener, tcp() as one:
        listener.bind((HOST, 0))
        listener.listen()
        one.connect(listener.getsockname())
        other, _ = listener.accept()
        with other:
            other.settimeout(5)
            yield one, other


def arrives(sender, receiver, data: bytes, where=None) -> bool:
    """Whether a packet gets there; one that was dropped does not come late."""
    sender.sendto(data, where or receiver.getsockname())
    receiver.settimeout(0.3)
    try:
        return receiver.recv(10) == data
    except TimeoutError:
        return False


# ---- network namespaces


def test_several_ports_to_one_socket(load, inside):
    def body():
        with load("lookup") as obj, tcp() as listener:
            listener.bind((HOST, 0))
            listener.listen()
            port = listener.getsockname()[1]
            first = 7000 if not 6990 < port < 7010 else 8000
            obj.globals["first_port"], obj.globals["last_port"] = first, first + 2
            obj.maps["sockets"][0] = listener
            link = obj.programs["lookup"].attach_sk_lookup()
            for each in (port, first, first + 1, first + 2):
                with tcp() as one:
                    one.connect((HOST, each))
                    accepted, _ = listener.accept()
                    assert accepted.getsockname()[1] == each
                    accepted.close()
            assert obj.globals["calls"] == 4
            with tcp() as one, pytest.raises(ConnectionRefusedError):
                one.connect((HOST, first + 3))
            link.close()
            with tcp() as one, pytest.raises(ConnectionRefusedError):
                one.connect((HOST, first))
            assert obj.globals["calls"] == 5

    inside(body)


def refused() -> None:
    with tcp() as one, pytest.raises(ConnectionRefusedError):
        one.connect((HOST, 7000))


def test_in_another_network_namespace(load, inside, netns):
    """By descriptor and by path; what happens elsewhere does not concern the program."""
    with load("lookup") as obj:
        for where in (netns, f"/proc/self/fd/{netns}", Path(f"/proc/self/fd/{netns}")):
            calls = obj.globals["calls"]
            with obj.programs["lookup"].attach_sk_lookup(where) as link:
                assert not os.get_inheritable(link.fd)
                inside(refused, netns=netns)
                assert obj.globals["calls"] == calls + 1
                inside(refused)
                assert obj.globals["calls"] == calls + 1
            inside(refused, netns=netns)
            assert obj.globals["calls"] == calls + 1
        os.fstat(netns)


def send_raw_packet() -> None:
    """The kernel takes apart what comes without a transport header set, from a packet socket."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("lo", 0x0800))
        ip = bytes.fromhex("4500001c00000000401100007f0000017f000001")
        raw.send(bytes(12) + b"\x08\x00" + ip + bytes(8))


@pytest.mark.parametrize("link", [True, False], ids=["link", "no link"])
def test_flow_dissector(load, inside, netns, ledger, link):
    with load("dissect") as obj:
        attached = obj.programs["dissect"].attach_flow_dissector(netns, link=link)
        inside(send_raw_packet, netns=netns)
        calls = obj.globals["calls"]
        assert calls > 0
        inside(send_raw_packet)
        assert obj.globals["calls"] == calls
        for how in (True, False):
            with pytest.raises(pylibbpf.BpfError, match="flow dissector") as caught:
                obj.programs["dissect"].attach_flow_dissector(netns, link=how)
            assert caught.value.errno in (errno.E2BIG, errno.EEXIST)
        if not link:
            with pytest.raises(pylibbpf.NotSupportedError, match="no descriptor"):
                _ = attached.fd
            assert len(list(ledger.iterdir())) == 1
        attached.close()
        attached.close()
        inside(send_raw_packet, netns=netns)
        assert obj.globals["calls"] == calls
        assert not ledger.exists() or list(ledger.iterdir()) == []


def test_flow_dissector_of_our_own_namespace(load, inside, ledger):
    def body():
        with load("dissect") as obj:
            for link in (True, False):
                obj.globals["calls"] = 0
                with obj.programs["dissect"].attach_flow_dissector(link=link):
                    send_raw_packet()
                    assert obj.globals["calls"] > 0
            obj.programs["dissect"].attach_flow_dissector(link=False)
        with load("dissect") as obj:
            obj.programs["dissect"].attach_flow_dissector(link=False)

    inside(body)


def test_a_thread_that_has_left_its_namespace(load, inside, ledger):
    """What it attached there is detached there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def body():
        with load("dissect") as obj, open("/proc/self/ns/net") as before:
            program = obj.programs["dissect"]
            link = program.attach_flow_dissector(link=False)
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:  # stays, so that the namespace is to be found
                os.close(write)
                os.read(read, 1)
                os._exit(0)
            assert libc.unshare(0x40000000) == 0  # CLONE_NEWNET
            with pytest.raises(pylibbpf.BpfError, match="has a flow dissector"):
                program.attach_flow_dissector(before.fileno(), link=False)
            link.close()
            program.attach_flow_dissector(before.fileno(), link=False).close()
            os.close(write)
            os.waitpid(pid, 0)

    inside(body)


SLEEPER = """
    import sys, time, pylibbpf
    obj = pylibbpf.open_object(sys.argv[1], engine=sys.argv[2])
    obj.programs["dissect"].autoload = True
    obj.load()
    obj.programs["dissect"].attach_flow_dissector(int(sys.argv[3]), link=sys.argv[4] == "link")
    print("attached", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["link", "no link"])
def test_killed_process(engine, objects, load, netns, ledger, how):
    """A link goes with it; what has none stays, and the ledger knows where."""
    from pylibbpf.engine.kernel.ledger import entries
    from pylibbpf.engine.kernel.legacy import place_of

    child = subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(SLEEPER)),
            *(objects / "sockets.bpf.o", engine, str(netns), how),
        ],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[netns],
    )
    try:
        assert child.stdout.readline() == "attached\n"
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    if how == "link":
        assert not ledger.exists()
        with load("dissect") as obj:
            obj.programs["dissect"].attach_flow_dissector(netns, link=False)
        return
    (entry,), broken = entries()
    assert broken == {}
    assert entry.process.alive() is False
    place = place_of(entry.kind, entry.place)
    try:
        assert "flow dissector" in str(place)
        assert place.holds(entry.program["id"])
    finally:
        place.close()


def test_no_such_network_namespace(load):
    with load("lookup", "dissect") as obj:
        with pytest.raises(pylibbpf.BpfError, match="network namespace"):
            obj.programs["lookup"].attach_sk_lookup("pylibbpf-no-such-namespace")
        with pytest.raises(pylibbpf.BpfError, match="no network namespace"):
            obj.programs["lookup"].attach_sk_lookup("/proc/self/ns/mnt")
        for link in (True, False):
            with pytest.raises(pylibbpf.BpfError, match="EBADF"):
                obj.programs["dissect"].attach_flow_dissector(12345, link=link)
        for wrong in (1.5, True, b"name"):
            with pytest.raises(TypeError, match="a network namespace is"):
                obj.programs["lookup"].attach_sk_lookup(wrong)


# ---- sockets


def test_filter_of_a_socket(load, inside):
    def body():
        with load("filter") as obj, udp() as one, udp() as two:
            one.bind((HOST, 0))
            for given in (one, one.fileno()):
                obj.globals["calls"], obj.globals["verdict"] = 0, 1
                link = obj.programs["filter"].attach_socket(given)
                assert arrives(two, one, b"a")
                assert obj.globals["calls"] == 1
                obj.globals["verdict"] = 0
                assert not arrives(two, one, b"b")
                assert obj.globals["calls"] == 2
                with pytest.raises(pylibbpf.NotSupportedError, match="the socket holds it"):
                    _ = link.fd
                link.close()
                link.close()
                assert arrives(two, one, b"c")
                assert obj.globals["calls"] == 2
            obj.programs["filter"].attach_socket(one)
            obj.close()
            assert arrives(two, one, b"d")

    inside(body)


def test_another_filter_takes_its_place(load, inside):
    """The first then has nothing to detach."""

    def body():
        with load("filter", "other_filter") as obj, udp() as one, udp() as two:
            one.bind((HOST, 0))
            first = obj.programs["filter"].attach_socket(one)
            assert arrives(two, one, b"a")
            second = obj.programs["other_filter"].attach_socket(one)
            assert not arrives(two, one, b"b")
            first.close()
            assert not arrives(two, one, b"c")
            second.close()
            assert arrives(two, one, b"d")

    inside(body)


def test_a_socket_that_is_closed_first(load, inside):
    """Whatever has its descriptor by then is let alone."""

    def body():
        with load("filter", "other_filter") as obj, udp() as two:
            one = udp()
            number = one.fileno()
            by_number = obj.programs["filter"].attach_socket(number)
            by_number.close()
            by_number = obj.programs["filter"].attach_socket(number)
            one.close()
            with udp() as other:
                assert other.fileno() == number
                other.bind((HOST, 0))
                kept = obj.programs["other_filter"].attach_socket(other)
                by_number.close()
                assert not arrives(two, other, b"a")
                kept.close()
                assert arrives(two, other, b"b")
            gone = udp()
            link = obj.programs["filter"].attach_socket(gone)
            gone.close()
            link.close()
            last = udp()
            obj.programs["filter"].attach_socket(last)
            forgotten = weakref.ref(last)
            with pytest.warns(ResourceWarning, match="unclosed <socket"):
                del last
            assert forgotten() is None

    inside(body)


def test_a_locked_filter(load, inside):
    def body():
        with load("filter") as obj, udp() as one:
            link = obj.programs["filter"].attach_socket(one)
            one.setsockopt(socket.SOL_SOCKET, SO_LOCK_FILTER, 1)
            with pytest.raises(pylibbpf.BpfPermissionError, match="locked for good") as caught:
                obj.programs["filter"].attach_socket(one)
            assert caught.value.explained
            with pytest.raises(pylibbpf.BpfPermissionError, match="locked for good"):
                link.close()
            assert link.closed
            link.close()

    inside(body)


def test_what_is_no_socket(load):
    with load("filter", "choose") as obj, open(os.devnull) as file:
        for method in (
            obj.programs["filter"].attach_socket,
            obj.programs["choose"].attach_reuseport,
        ):
            with pytest.raises(pylibbpf.BpfError, match="is no socket") as caught:
                method(file.fileno())
            assert caught.value.errno == errno.ENOTSOCK
            one = udp()
            one.close()
            with pytest.raises(pylibbpf.BpfError, match="socket is closed") as caught:
                method(one)
            assert caught.value.errno == errno.EBADF
            for wrong in ("socket", None, True):
                with pytest.raises(TypeError, match="a socket is"):
                    method(wrong)


def test_forked_child(load, inside):
    """It shares the socket, and leaves its filter alone."""

    def body():
        with load("other_filter") as obj, udp() as one, udp() as two:
            one.bind((HOST, 0))
            link = obj.programs["other_filter"].attach_socket(one)
            pid = os.fork()
            if pid == 0:
                link.close()
                obj.close()
                os._exit(0)
            os.waitpid(pid, 0)
            assert not arrives(two, one, b"a")
            link.close()
            assert arrives(two, one, b"b")

    inside(body)


def shared(count: int) -> list[socket.socket]:
    """UDP sockets that share a port."""
    found = []
    for _ in range(count):
        one = udp()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(found[0].getsockname() if found else (HOST, 0))
        found.append(one)
    return found


def test_choice_among_sockets_that_share_a_port(load, inside):
    def body():
        with load("choose") as obj:
            group = shared(3)
            for key, one in enumerate(group):
                obj.maps["group"][key] = one
            link = obj.programs["choose"].attach_reuseport(group[0])
            for chosen in (1, 0, 2, 1):
                obj.globals["chosen"] = chosen
                with udp() as sender:
                    assert arrives(sender, group[chosen], b"a")
            assert obj.globals["calls"] == 4
            link.close()
            with udp() as sender:
                sender.sendto(b"b", group[0].getsockname())
            assert obj.globals["calls"] == 4
            for one in group:
                one.close()

    inside(body)


def test_choice_by_a_socket_filter(load, inside):
    """It returns the index of the socket in the group."""

    def body():
        with load("other_filter") as obj:
            group = shared(3)
            with obj.programs["other_filter"].attach_reuseport(group[1].fileno()):
                for _ in range(8):
                    with udp() as sender:
                        assert arrives(sender, group[0], b"a")
            for one in group:
                one.close()

    inside(body)


def test_sockets_that_share_no_port(load, inside):
    def body():
        with load("choose") as obj, udp() as one:
            one.bind((HOST, 0))
            with pytest.raises(pylibbpf.BpfError, match="SO_REUSEPORT must be set") as caught:
                obj.programs["choose"].attach_reuseport(one)
            assert caught.value.errno == errno.EINVAL
            unix = socket.socket(socket.AF_UNIX)
            with unix, pytest.raises(pylibbpf.BpfError, match="TCP and UDP"):
                obj.programs["choose"].attach_reuseport(unix)

    inside(body)


# ---- maps of sockets


@pytest.fixture(params=[None, True, False], ids=["default", "link", "no link"])
def link(request, ledger) -> bool | None:
    if request.param and kernel() < (6, 10):
        pytest.skip("needs Linux 6.10")
    return request.param


def test_what_sockets_in_a_map_receive(load, inside, link):
    def body():
        with load("parse", "judge") as obj:
            links = [
                obj.programs[name].attach_sockmap(obj.maps["sockets"], link=link)
                for name in ("parse", "judge")
            ]
            with pair() as (one, other):
                obj.maps["sockets"][0] = other
                one.send(b"a")
                assert other.recv(10) == b"a"
                assert obj.globals["calls"] > 0
                assert obj.globals["parser_calls"] > 0
                obj.globals["verdict"] = 0
                one.send(b"b")
                other.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    other.recv(10)
            for each in links:
                each.close()
            calls = obj.globals["calls"]
            with pair() as (one, other):
                obj.maps["sockets"][0] = other
                one.send(b"c")
                assert other.recv(10) == b"c"
            assert obj.globals["calls"] == calls

    inside(body)


def test_what_sockets_in_a_map_send(load, inside, link):
    def body():
        with load("send") as obj, pair() as (one, other):
            attached = obj.programs["send"].attach_sockmap(obj.maps["sockets"], link=link)
            obj.maps["sockets"][0] = one
            one.send(b"a")
            assert other.recv(10) == b"a"
            assert obj.globals["calls"] == 1
            obj.globals["verdict"] = 0
            with pytest.raises(PermissionError):
                one.send(b"b")
            attached.close()
            attached.close()

    inside(body)


def test_section_that_leaves_the_hook_open(load, inside, link):
    def body():
        with load("judge_any") as obj, pair() as (one, other):
            program, map = obj.programs["judge_any"], obj.maps["sockets"]
            with pytest.raises(pylibbpf.BpfError, match="give attach_type, one of SK_SKB_STREAM"):
                program.attach_sockmap(map, link=link)
            program.attach_sockmap(map, attach_type=AttachType.SK_SKB_VERDICT, link=link)
            obj.maps["sockets"][0] = other
            one.send(b"a")
            assert other.recv(10) == b"a"
            assert obj.globals["calls"] > 0

    inside(body)


def test_links_to_maps_of_sockets(load, ledger):
    with load("send") as obj:
        program, map = obj.programs["send"], obj.maps["sockets"]
        if kernel() < (6, 10):
            with pytest.raises(pylibbpf.BpfError, match=r"Linux 6\.10"):
                program.attach_sockmap(map, link=True)
            assert "descriptor" not in repr(program.attach_sockmap(map))
            return
        with program.attach_sockmap(map) as link:
            assert link.fd >= 0
            for how in (True, False):
                with pytest.raises(pylibbpf.BpfError, match="has a program there") as caught:
                    program.attach_sockmap(map, link=how)
                assert caught.value.errno == errno.EBUSY
            assert not ledger.exists() or list(ledger.iterdir()) == []
        program.attach_sockmap(map, link=False)


def test_the_ledger_finds_a_map_of_sockets(load, namespaces, ledger):
    """By its id, which takes CAP_SYS_ADMIN as a namespace does."""
    from pylibbpf.engine.kernel.ledger import entries
    from pylibbpf.engine.kernel.legacy import place_of

    with load("send") as obj:
        obj.programs["send"].attach_sockmap(obj.maps["sockets"], link=False)
        (entry,), _ = entries()
        place = place_of(entry.kind, entry.place)
        try:
            assert str(place) == "map of sockets 'sockets' (SK_MSG_VERDICT)"
            if kernel() >= (5, 18):
                assert place.holds(entry.program["id"])
        finally:
            place.close()
    assert entries() == ([], {})
    with pytest.raises(LookupError, match="is gone"):
        place_of(entry.kind, entry.place)


# ---- the wrong program


def test_programs_of_another_kind(load):
    with load("filter", "send", "lookup", "on_demand") as obj:
        refused = [
            (obj.programs["filter"].attach_sk_lookup, ()),
            (obj.programs["filter"].attach_flow_dissector, ()),
            (obj.programs["send"].attach_socket, (0,)),
            (obj.programs["lookup"].attach_reuseport, (0,)),
            (obj.programs["filter"].attach_sockmap, (obj.maps["sockets"],)),
            (obj.programs["on_demand"].attach_cgroup, ("/",)),
        ]
        for method, arguments in refused:
            with pytest.raises(
                TypeError, match=rf"{method.__name__}\(\) attaches programs of type"
            ):
                method(*arguments)
        with pytest.raises(pylibbpf.BpfError, match="REUSEPORT_SOCKARRAY, and holds"):
            obj.programs["send"].attach_sockmap(obj.maps["group"])
        with pytest.raises(TypeError, match=r"obj\.maps"):
            obj.programs["send"].attach_sockmap("sockets")


def test_the_section_alone_does_not_attach(load):
    methods = {
        "lookup": "attach_sk_lookup",
        "dissect": "attach_flow_dissector",
        "filter": "attach_socket",
        "choose": "attach_reuseport",
        "parse": "attach_sockmap",
        "send": "attach_sockmap",
        "on_demand": "test_run",
    }
    with load(*methods) as obj:
        for name, method in methods.items():
            with pytest.raises(pylibbpf.BpfError, match=rf"{method}\(") as caught:
                obj.programs[name].attach()
            assert caught.value.errno == errno.EOPNOTSUPP
        assert obj.attach().links == []
        assert obj.programs["on_demand"].test_run(ctx=bytes(8)).retval == 5


def test_closed(load, netns):
    obj = load("lookup", "filter")
    link = obj.programs["lookup"].attach_sk_lookup(netns)
    obj.close()
    assert link.closed
    with pytest.raises(pylibbpf.ClosedError):
        obj.programs["lookup"].attach_sk_lookup(netns)
    with udp() as one, pytest.raises(pylibbpf.ClosedError):
        obj.programs["filter"].attach_socket(one)
