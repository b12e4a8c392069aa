"""Programs at control groups: each kind seen at work, their order, and what is refused."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf import AttachType, ProgType


def kernel() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


def tcp(family=socket.AF_INET) -> socket.socket:
    return socket.socket(family, socket.SOCK_STREAM)


def udp(family=socket.AF_INET) -> socket.socket:
    found = socket.socket(family, socket.SOCK_DGRAM)
    found.settimeout(0.3)
    return found


def connect(host):
    """Nobody listens: what is allowed is refused by the other end."""

    def call():
        with tcp(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            try:
                one.connect((host, 9))
            except ConnectionRefusedError:
                return "allowed"

    return call


def bind(host):
    def call():
        with tcp(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            one.bind((host, 0))
        return "allowed"

    return call


def send(host):
    """To oneself, without connecting; a packet that is lost on the way is an OSError, too."""

    def call():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with udp(family) as one, udp(family) as other:
            one.bind((host, 0))
            other.sendto(b"hello", one.getsockname())
            try:
                assert one.recvfrom(10)[0] == b"hello"
            except TimeoutError:
                raise OSError(errno.EPERM, "lost") from None
        return "allowed"

    return call


def names(host):
    def call():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with tcp(family) as one, tcp(family) as other:
            one.bind((host, 0))
            one.listen()
            other.connect(one.getsockname())
            assert other.getpeername() == one.getsockname()
        return "allowed"

    return call


def unix_stream():
    with tcp(socket.AF_UNIX) as one, tcp(socket.AF_UNIX) as other:
        one.bind("\0pylibbpf")
        one.listen()
        other.connect("\0pylibbpf")
        assert other.getpeername() == b"\0pylibbpf"
        assert one.getsockname() == b"\0pylibbpf"
    return "allowed"


def unix_packet():
    with udp(socket.AF_UNIX) as one, udp(socket.AF_UNIX) as other:
        one.bind("\0pylibbpf")
        other.bind("\0other")
        other.sendto(b"hello", "\0pylibbpf")
        assert one.recvfrom(10) == (b"hello", b"\0other")
    return "allowed"


def make_socket():
    tcp().close()
    return "allowed"


def read_sysctl():
    Path("/proc/sys/net/ipv4/ip_forward").read_text()
    return "allowed"


def set_option():
    with tcp() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return "allowed"


def read_device():
    Path("/dev/null").read_bytes()
    return "allowed"


V4, V6 = "127.0.0.1", "::1"
UNIX = (6, 7)  # the kernel that brought hooks for AF_UNIX

# Program, what is done, whether the program can refuse it, the least kernel.
KINDS = [
    ("ingress", send(V4), True, None),
    ("egress", send(V6), True, None),
    ("sock_create", make_socket, True, None),
    ("sock_release", make_socket, False, None),
    ("post_bind4", bind(V4), True, None),
    ("post_bind6", bind(V6), True, None),
    ("bind4", bind(V4), True, None),
    ("bind6", bind(V6), True, None),
    ("connect4", connect(V4), True, None),
    ("connect6", connect(V6), True, None),
    ("sendmsg4", send(V4), True, None),
    ("sendmsg6", send(V6), True, None),
    ("recvmsg4", send(V4), False, None),
    ("recvmsg6", send(V6), False, None),
    ("getpeername4", names(V4), False, None),
    ("getpeername6", names(V6), False, None),
    ("getsockname4", names(V4), False, None),
    ("getsockname6", names(V6), False, None),
    ("connect_unix", unix_stream, True, UNIX),
    ("sendmsg_unix", unix_packet, True, UNIX),
    ("recvmsg_unix", unix_packet, False, UNIX),
    ("getpeername_unix", unix_stream, False, UNIX),
    ("getsockname_unix", unix_stream, False, UNIX),
    ("sock_ops", names(V4), False, None),
    ("sysctl", read_sysctl, True, None),
    ("setsockopt", set_option, True, None),
    ("device", read_device, True, None),
]


@pytest.fixture
def load(open_test_object):
    """Load the programs of those names out of tests/objects/cgroups."""

    def load_some(*names: str, file: str = "cgroups") -> pylibbpf.Object:
        obj = open_test_object(file)
        for name in names:
            program = obj.programs[name]
            program.autoload = True
            if program.type == ProgType.UNSPEC:  # libbpf before 1.3 knows no hooks for AF_UNIX
                program.type = ProgType.CGROUP_SOCK_ADDR
                program.expected_attach_type = AttachType[f"CGROUP_UNIX_{name[:-5].upper()}"]
        obj.load()
        return obj

    return load_some


@pytest.mark.parametrize(("name", "action", "refuses", "least"), KINDS, ids=[k[0] for k in KINDS])
def test_each_kind(load, make_cgroup, inside, name, action, refuses, least):
    if least and kernel() < least:
        pytest.skip(f"needs Linux {least[0]}.{least[1]}")
    obj = load(name)
    obj.globals["device_major"], obj.globals["device_minor"] = 1, 3
    cgroup, calls = make_cgroup(), f"{name}_calls"
    link = obj.programs[name].attach_cgroup(cgroup)
    assert inside(action, cgroup) == "allowed"
    seen = obj.globals[calls]
    assert seen > 0
    if refuses:
        obj.globals["verdict"] = 0
        with pytest.raises(PermissionError):
            inside(action, cgroup)
        seen = obj.globals[calls]
    assert inside(action) == "allowed"  # elsewhere
    assert obj.globals[calls] == seen
    link.close()
    assert inside(action, cgroup) == "allowed"
    assert obj.globals[calls] == seen


def test_answer_of_getsockopt(load, make_cgroup, inside):
    obj = load("getsockopt")
    obj.globals["option_level"] = socket.SOL_SOCKET
    obj.globals["option_name"] = socket.SO_PRIORITY
    obj.globals["option_value"] = 77
    cgroup = make_cgroup()

    def ask():
        with tcp() as one:
            return one.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)

    with obj.programs["getsockopt"].attach_cgroup(cgroup):
        assert inside(ask, cgroup) == 77
        assert inside(ask) == 0
    assert inside(ask, cgroup) == 0


def test_lsm_cgroup(load, make_cgroup, inside, ledger):
    if kernel() < (6, 0):
        pytest.skip("needs Linux 6.0")
    try:
        obj = load("lsm_socket_bind")
    except pylibbpf.BpfPermissionError:
        if Path("/sys/bus/event_source/devices/kprobe").exists():
            raise
        pytest.skip("needs a kernel whose policy allows programs of type LSM")
    cgroup = make_cgroup()
    with obj.programs["lsm_socket_bind"].attach_cgroup(cgroup):
        assert inside(bind(V4), cgroup) == "allowed"
        obj.globals["verdict"] = 0
        with pytest.raises(PermissionError):
            inside(bind(V4), cgroup)
        assert inside(bind(V4)) == "allowed"
        (found,) = pylibbpf.query_cgroup(cgroup, AttachType.LSM_CGROUP).programs
        assert found.name == "lsm_socket_bind"
    assert obj.globals["lsm_socket_bind_calls"] > 0
    assert inside(bind(V4), cgroup) == "allowed"
    with pytest.raises(pylibbpf.NotSupportedError, match="'multi' only"):
        obj.programs["lsm_socket_bind"].attach_cgroup(cgroup, link=False, mode="exclusive")
    link = obj.programs["lsm_socket_bind"].attach_cgroup(cgroup, link=False)
    with link, pytest.raises(PermissionError):
        inside(bind(V4), cgroup)
    assert inside(bind(V4), cgroup) == "allowed"


@pytest.mark.parametrize("direction", ["INGRESS", "EGRESS"])
def test_packets_of_either_direction(load, make_cgroup, inside, direction):
    """SEC("cgroup/skb") leaves it to whoever attaches it."""
    obj = load("skb")
    cgroup = make_cgroup()
    program = obj.programs["skb"]
    with pytest.raises(pylibbpf.BpfError, match="give attach_type, one of CGROUP_INET_INGRESS"):
        program.attach_cgroup(cgroup)
    kind = AttachType[f"CGROUP_INET_{direction}"]
    with program.attach_cgroup(cgroup, attach_type=kind):
        assert [each.name for each in pylibbpf.query_cgroup(cgroup, kind).programs] == ["skb"]
        assert inside(send(V4), cgroup) == "allowed"
        obj.globals["verdict"] = 0
        with pytest.raises(PermissionError):
            inside(send(V4), cgroup)


def order_of(obj, inside, cgroup) -> int:
    obj.globals["order"] = 0
    inside(connect(V4), cgroup)
    return obj.globals["order"]


def test_several_in_order(load, make_cgroup, inside):
    """Those of the cgroup in the order in which they came, then those of the one above."""
    obj = load("first", "second", "third")
    above = make_cgroup()
    cgroup = make_cgroup(above)
    obj.programs["third"].attach_cgroup(above)
    two = obj.programs["second"].attach_cgroup(cgroup)
    obj.programs["first"].attach_cgroup(cgroup)
    assert order_of(obj, inside, cgroup) == 213
    two.close()
    obj.programs["second"].attach_cgroup(cgroup)
    assert order_of(obj, inside, cgroup) == 123
    kind = AttachType.CGROUP_INET4_CONNECT
    here = pylibbpf.query_cgroup(cgroup, kind)
    assert [each.name for each in here.programs] == ["first", "second"]
    assert {each.mode for each in here.programs} == {"multi"}
    every = pylibbpf.query_cgroup(cgroup, kind, effective=True)
    assert [each.name for each in every.programs] == ["first", "second", "third"]
    assert {each.mode for each in every.programs} == {None}
    assert pylibbpf.query_cgroup(cgroup, AttachType.CGROUP_DEVICE).programs == ()


def test_by_descriptor_and_path_like(load, make_cgroup, inside):
    obj = load("connect4")
    cgroup = make_cgroup()
    obj.globals["verdict"] = 0
    fd = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for target in (fd, str(cgroup), cgroup):
            with obj.programs["connect4"].attach_cgroup(target):
                with pytest.raises(PermissionError):
                    inside(connect(V4), cgroup)
                assert pylibbpf.query_cgroup(target, AttachType.CGROUP_INET4_CONNECT).programs
        os.fstat(fd)
    finally:
        os.close(fd)
    with pytest.raises(pylibbpf.BpfError, match="descriptor") as caught:
        obj.programs["connect4"].attach_cgroup(fd)
    assert caught.value.errno == errno.EBADF


def has_anchors(link) -> bool:
    """Whether this libbpf knows where to put a program; the kernel engine's own words for it."""
    from pylibbpf.engine.kernel.opts import opts

    try:
        if link:
            opts("bpf_link_create_opts", cgroup={})
        else:
            opts("bpf_prog_attach_opts", relative_fd=0)
    except pylibbpf.NotSupportedError:
        return False
    return True


@pytest.mark.parametrize("link", [True, False], ids=["link", "no link"])
def test_anchors(load, make_cgroup, inside, ledger, link):
    if kernel() < (6, 17):
        pytest.skip("needs Linux 6.17")
    kind = AttachType.CGROUP_INET4_CONNECT
    obj = load("first", "second", "third")
    cgroup = make_cgroup()
    first, second, third = (obj.programs[name] for name in ("first", "second", "third"))
    one = first.attach_cgroup(cgroup, link=link)
    two = second.attach_cgroup(cgroup, before="all", link=link)
    assert order_of(obj, inside, cgroup) == 21
    there = pylibbpf.query_cgroup(cgroup, kind)
    if link:
        beside = [(231, {"before": one}), (213, {"after": one}), (321, {"before": two})]
    else:
        by_id = {"before": there.programs[1].id}
        beside = [(231, {"before": first}), (213, {"after": first}), (231, by_id)]
    for expected, place in (*beside, (321, {"before": "all"}), (213, {"after": "all"})):
        if "all" not in place.values() and not has_anchors(link):
            with pytest.raises(pylibbpf.NotSupportedError, match=r"needs libbpf 1\.[36]"):
                third.attach_cgroup(cgroup, link=link, **place)
            continue
        with third.attach_cgroup(cgroup, link=link, **place):
            assert order_of(obj, inside, cgroup) == expected
    for wrong in (first, there.programs[1].id) if link else (one, two):
        with pytest.raises(ValueError, match="before or after another"):
            third.attach_cgroup(cgroup, link=link, before=wrong)
    if not has_anchors(link):
        return
    assert there.revision
    with pytest.raises(pylibbpf.BpfError, match="revision") as caught:
        third.attach_cgroup(cgroup, link=link, expected_revision=there.revision)
    assert caught.value.errno == errno.ESTALE
    now = pylibbpf.query_cgroup(cgroup, kind).revision
    assert now > there.revision
    third.attach_cgroup(cgroup, link=link, expected_revision=now).close()
    third.attach_cgroup(cgroup, link=link).close()
    one.close()
    if not link:
        with pytest.raises(pylibbpf.BpfError, match="is not attached to this cgroup"):
            third.attach_cgroup(cgroup, link=link, after=first)


def test_before_those_of_the_cgroups_below(load, make_cgroup, inside):
    obj = load("first", "second")
    above = make_cgroup()
    cgroup = make_cgroup(above)
    obj.programs["first"].attach_cgroup(cgroup)
    try:
        link = obj.programs["second"].attach_cgroup(above, preorder=True)
    except pylibbpf.BpfError as error:
        assert "6.17" in str(error)  # noqa: PT017  # some older kernels took it over, some did not
        assert kernel() < (6, 17)
        return
    assert order_of(obj, inside, cgroup) == 21
    link.close()
    obj.programs["second"].attach_cgroup(above)
    assert order_of(obj, inside, cgroup) == 12


def test_what_is_refused_before_the_kernel_is_asked(load, open_test_object, make_cgroup, tmp_path):
    obj = load("connect4", "first")
    cgroup = make_cgroup()
    program = obj.programs["connect4"]
    for wrong, match in (
        ({"mode": "multi"}, "link=False"),
        ({"replace": obj.programs["first"]}, "link=False"),
        ({"link": False, "mode": "alone"}, "'exclusive', 'override', 'multi'"),
        ({"before": 1, "after": 2}, "not both"),
        ({"before": 0}, "id of a program, is from 1"),
        ({"link": False, "mode": "override", "before": "all"}, "one program"),
        ({"link": False, "mode": "exclusive", "preorder": True}, "one program"),
        ({"link": False, "replace": obj.programs["first"], "after": "all"}, "takes its place"),
        ({"before": obj.programs["first"]}, "another link"),
        ({"expected_revision": 0}, "is from 1"),
    ):
        with pytest.raises(ValueError, match=match):
            program.attach_cgroup(cgroup, **wrong)
    for wrong in (None, 1.5, True):
        with pytest.raises(TypeError, match="a cgroup is"):
            program.attach_cgroup(wrong)
    for wrong in ({"before": "some"}, {"after": True}, {"before": 1.5}):
        with pytest.raises(TypeError, match="'all'"):
            program.attach_cgroup(cgroup, **wrong)
    with pytest.raises(TypeError, match="replace"):
        program.attach_cgroup(cgroup, link=False, replace="first")
    with pytest.raises(ValueError, match="NUL"):
        program.attach_cgroup(f"{cgroup}\0")
    with pytest.raises(pylibbpf.BpfError, match="cannot be attached as CGROUP_DEVICE") as caught:
        program.attach_cgroup(cgroup, attach_type=AttachType.CGROUP_DEVICE)
    assert caught.value.errno == errno.EINVAL
    assert pylibbpf.query_cgroup(cgroup, AttachType.CGROUP_INET4_CONNECT).programs == ()


def test_what_is_no_cgroup(load, tmp_path, cgroup2):
    program = load("connect4").programs["connect4"]
    with pytest.raises(pylibbpf.BpfError, match="there is no cgroup") as caught:
        program.attach_cgroup(cgroup2 / "pylibbpf-no-such-cgroup")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(pylibbpf.BpfError, match="a cgroup is a folder"):
        program.attach_cgroup(cgroup2 / "cgroup.procs")
    for folder in [tmp_path, *v1_folders()]:
        with pytest.raises(pylibbpf.BpfError, match="no cgroup v2") as caught:
            program.attach_cgroup(folder)
        assert caught.value.errno == errno.EBADF
        assert str(cgroup2) in str(caught.value)
        with pytest.raises(pylibbpf.BpfError, match="no cgroup v2"):
            pylibbpf.query_cgroup(folder, AttachType.CGROUP_DEVICE)
    with pytest.raises(pylibbpf.BpfError, match="there is no cgroup"):
        pylibbpf.query_cgroup(tmp_path / "missing", AttachType.CGROUP_DEVICE)


def v1_folders() -> list[str]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [fields[1] for fields in mounts if fields[2] == "cgroup"][:1]


def test_what_does_not_attach_to_cgroups(load_test_object, make_cgroup):
    obj = load_test_object("attach")
    with pytest.raises(
        TypeError, match=r"attach_cgroup\(\) .*LSM; 'raw' is of type RAW_TRACEPOINT"
    ):
        obj.programs["raw"].attach_cgroup(make_cgroup())


def test_needs_to_be_loaded_and_open(open_test_object, make_cgroup):
    obj = open_test_object("cgroups")
    cgroup = make_cgroup()
    with pytest.raises(pylibbpf.BpfError, match="not loaded yet"):
        obj.programs["connect4"].attach_cgroup(cgroup)
    obj.load()
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        obj.programs["connect4"].attach_cgroup(cgroup)  # its autoload is off
    obj.close()
    with pytest.raises(pylibbpf.ClosedError):
        obj.programs["connect4"].attach_cgroup(cgroup)


def test_the_section_alone_does_not_attach(load, make_cgroup):
    obj = load("connect4", "sock_ops")
    for name in ("connect4", "sock_ops"):
        with pytest.raises(pylibbpf.BpfError, match=r"attach_cgroup\(") as caught:
            obj.programs[name].attach()
        assert caught.value.errno == errno.EOPNOTSUPP
    assert obj.attach().links == []


def test_update_of_a_link(load, make_cgroup, inside):
    """Another program takes the place of the first, with no moment in between."""
    obj = load("first", "second", "third")
    cgroup = make_cgroup()
    link = obj.programs["first"].attach_cgroup(cgroup)
    obj.programs["second"].attach_cgroup(cgroup)
    link.update(obj.programs["third"])
    assert order_of(obj, inside, cgroup) == 32
    assert link.info().cgroup_id == cgroup.stat().st_ino
    link.close()
    assert order_of(obj, inside, cgroup) == 2


def test_closed_with_its_object(load, make_cgroup, inside):
    obj = load("connect4")
    cgroup = make_cgroup()
    link = obj.programs["connect4"].attach_cgroup(cgroup)
    assert not os.get_inheritable(link.fd)
    obj.globals["verdict"] = 0
    obj.close()
    assert link.closed
    link.close()
    assert inside(connect(V4), cgroup) == "allowed"


def test_forked_child(load, make_cgroup, inside):
    """It neither detaches its parent's programs nor keeps them attached."""
    obj = load("connect4")
    cgroup = make_cgroup()
    link = obj.programs["connect4"].attach_cgroup(cgroup)

    def end():
        link.close()
        obj.close()

    obj.globals["verdict"] = 0
    inside(end)
    with pytest.raises(PermissionError):
        inside(connect(V4), cgroup)


def test_a_cgroup_that_is_removed(load, make_cgroup, inside):
    obj = load("connect4")
    cgroup = make_cgroup()
    link = obj.programs["connect4"].attach_cgroup(cgroup)
    cgroup.rmdir()
    link.close()
    cgroup.mkdir()  # for the fixture


# ---- without a link


def attached(cgroup) -> list[tuple[str, str]]:
    found = pylibbpf.query_cgroup(cgroup, AttachType.CGROUP_INET4_CONNECT).programs
    return [(each.name, each.mode) for each in found]


@pytest.mark.parametrize("mode", ["multi", "override", "exclusive"])
def test_without_a_link(load, make_cgroup, inside, ledger, mode):
    obj = load("connect4")
    cgroup = make_cgroup()
    link = obj.programs["connect4"].attach_cgroup(cgroup, link=False, mode=mode)
    assert attached(cgroup) == [("connect4", mode)]
    assert len(list(ledger.iterdir())) == 1
    with pytest.raises(pylibbpf.NotSupportedError, match="no descriptor"):
        _ = link.fd
    with pytest.raises(pylibbpf.NotSupportedError, match="cannot be updated"):
        link.update(obj.programs["connect4"])
    obj.globals["verdict"] = 0
    with pytest.raises(PermissionError):
        inside(connect(V4), cgroup)
    link.close()
    link.close()
    assert inside(connect(V4), cgroup) == "allowed"
    assert attached(cgroup) == []
    assert list(ledger.iterdir()) == []
    obj.programs["connect4"].attach_cgroup(cgroup, link=False, mode=mode)
    obj.close()
    assert attached(cgroup) == []
    assert list(ledger.iterdir()) == []


def test_multi_is_the_default(load, make_cgroup, inside, ledger):
    obj = load("first", "second", "third")
    cgroup = make_cgroup()
    obj.programs["first"].attach_cgroup(cgroup, link=False)
    obj.programs["second"].attach_cgroup(cgroup)
    obj.programs["third"].attach_cgroup(cgroup, link=False)
    assert order_of(obj, inside, cgroup) == 123
    with pytest.raises(pylibbpf.BpfError, match="attached there already"):
        obj.programs["first"].attach_cgroup(cgroup, link=False)


def test_override_is_for_cgroups_below(load, make_cgroup, inside, ledger):
    obj = load("first", "second", "third")
    above = make_cgroup()
    cgroup = make_cgroup(above)
    obj.programs["first"].attach_cgroup(above, link=False, mode="override")
    assert order_of(obj, inside, cgroup) == 1
    with obj.programs["second"].attach_cgroup(cgroup, link=False, mode="override"):
        assert order_of(obj, inside, cgroup) == 2
        assert order_of(obj, inside, above) == 1
    assert order_of(obj, inside, cgroup) == 1


def test_exclusive_is_alone(load, make_cgroup, ledger):
    """What is in the way is named, whether it is in the cgroup itself or above it."""
    obj = load("first", "second", "third")
    above = make_cgroup()
    cgroup = make_cgroup(above)
    second = obj.programs["second"]
    with obj.programs["first"].attach_cgroup(above, link=False, mode="exclusive"):
        for how in ({}, {"link": False}, {"link": False, "mode": "override"}):
            with pytest.raises(pylibbpf.BpfPermissionError) as caught:
                second.attach_cgroup(cgroup, **how)
            said = str(caught.value)
            assert caught.value.explained
            assert re.search(r"program \d+ \(first\) is attached above, to", said), said
            assert f"{above}, in mode 'exclusive'" in said
        for how in ({}, {"link": False, "mode": "override"}):
            with pytest.raises(
                pylibbpf.BpfPermissionError, match=r"\(first\) is attached to"
            ) as caught:
                second.attach_cgroup(above, **how)
            assert "in mode 'exclusive', not " in str(caught.value)
    second.attach_cgroup(cgroup)
    obj.programs["third"].attach_cgroup(cgroup)
    with pytest.raises(
        pylibbpf.BpfPermissionError, match=r"\(second\), \d+ \(third\) are attached"
    ):
        obj.programs["first"].attach_cgroup(cgroup, link=False, mode="exclusive")


@pytest.mark.parametrize("mode", ["override", "exclusive"])
def test_replace_where_there_is_room_for_one(load, make_cgroup, ledger, mode):
    obj = load("first", "second", "third")
    cgroup = make_cgroup()
    how = {"link": False, "mode": mode}
    first, second, third = (obj.programs[name] for name in ("first", "second", "third"))
    one = first.attach_cgroup(cgroup, **how)
    with pytest.raises(pylibbpf.BpfError, match=r"\(first\) is attached .* replace=") as caught:
        second.attach_cgroup(cgroup, **how)
    assert caught.value.errno == errno.EEXIST
    with pytest.raises(pylibbpf.BpfError, match=r"is not attached .* \(first\) is") as caught:
        second.attach_cgroup(cgroup, replace=third, **how)
    assert caught.value.errno == errno.ENOENT
    assert attached(cgroup) == [("first", mode)]
    two = second.attach_cgroup(cgroup, replace=first, **how)
    assert attached(cgroup) == [("second", mode)]
    one.close()
    assert attached(cgroup) == [("second", mode)]
    (there,) = pylibbpf.query_cgroup(cgroup, AttachType.CGROUP_INET4_CONNECT).programs
    three = third.attach_cgroup(cgroup, replace=there.id, **how)
    two.close()
    assert attached(cgroup) == [("third", mode)]
    three.close()
    assert attached(cgroup) == []
    assert list(ledger.iterdir()) == []


def test_replace_keeps_the_place(load, make_cgroup, inside, ledger):
    obj = load("first", "second", "third")
    cgroup = make_cgroup()
    first, second, third = (obj.programs[name] for name in ("first", "second", "third"))
    one = first.attach_cgroup(cgroup, link=False)
    second.attach_cgroup(cgroup, link=False)
    third.attach_cgroup(cgroup, link=False, replace=first)
    assert order_of(obj, inside, cgroup) == 32
    one.close()
    assert order_of(obj, inside, cgroup) == 32
    with pytest.raises(pylibbpf.BpfError, match="is not attached to this cgroup") as caught:
        obj.programs["first"].attach_cgroup(cgroup, link=False, replace=first)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(pylibbpf.BpfError, match="there is no program 4294967295 to replace"):
        first.attach_cgroup(cgroup, link=False, replace=(1 << 32) - 1)
    assert order_of(obj, inside, cgroup) == 32


def test_forked_child_without_a_link(load, make_cgroup, inside, ledger):
    obj = load("connect4")
    cgroup = make_cgroup()
    link = obj.programs["connect4"].attach_cgroup(cgroup, link=False)

    def end():
        link.close()
        obj.close()
        return [target for target in descriptors() if target == str(cgroup)]

    assert inside(end) == []
    assert attached(cgroup) == [("connect4", "multi")]
    assert len(list(ledger.iterdir())) == 1


def descriptors() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_a_cgroup_that_is_removed_without_a_link(load, make_cgroup, ledger):
    obj = load("connect4")
    cgroup = make_cgroup()
    link = obj.programs["connect4"].attach_cgroup(cgroup, link=False)
    cgroup.rmdir()
    link.close()
    assert list(ledger.iterdir()) == []
    cgroup.mkdir()  # for the fixture


SLEEPER = """
    import sys, time, pylibbpf
    obj = pylibbpf.open_object(sys.argv[1], engine=sys.argv[2])
    obj.programs["connect4"].autoload = True
    obj.load()
    obj.globals["verdict"] = 0
    obj.programs["connect4"].attach_cgroup(sys.argv[3], link=sys.argv[4] == "link")
    print("attached", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def killed(objects, engine, cgroup, how):
    """A process that attached connect4, and was killed."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(SLEEPER)),
            *(objects / "cgroups.bpf.o", engine, cgroup, how),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "attached\n"
        yield child.pid
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()


def test_killed_process_leaves_nothing(engine, objects, make_cgroup, inside):
    cgroup = make_cgroup()
    kind = AttachType.CGROUP_INET4_CONNECT
    with killed(objects, engine, cgroup, "link"):
        with pytest.raises(PermissionError):
            inside(connect(V4), cgroup)
        assert len(pylibbpf.query_cgroup(cgroup, kind).programs) == 1
    assert inside(connect(V4), cgroup) == "allowed"
    assert pylibbpf.query_cgroup(cgroup, kind).programs == ()


@pytest.mark.parametrize("removed", [False, True], ids=["kept", "removed"])
def test_killed_process_leaves_what_the_ledger_names(
    engine, objects, make_cgroup, inside, ledger, removed
):
    from pylibbpf.engine.kernel.ledger import entries
    from pylibbpf.engine.kernel.legacy import place_of

    cgroup = make_cgroup()
    with killed(objects, engine, cgroup, "no link") as pid:
        pass
    assert attached(cgroup) == [("connect4", "multi")]
    with pytest.raises(PermissionError):
        inside(connect(V4), cgroup)
    (entry,), broken = entries()
    assert broken == {}
    assert (entry.process.pid, entry.process.alive()) == (pid, False)
    if removed:
        cgroup.rmdir()
        with pytest.raises(LookupError, match="was removed"):
            place_of(entry.kind, entry.place)
        cgroup.mkdir()  # for the fixture; it is another one
        with pytest.raises(LookupError, match="was removed"):
            place_of(entry.kind, entry.place)
        return
    place = place_of(entry.kind, entry.place)
    try:
        assert str(place) == f"cgroup {cgroup} (CGROUP_INET4_CONNECT, multi)"
        assert place.holds(entry.program["id"])
    finally:
        place.close()
