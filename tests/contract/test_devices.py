"""XDP, tc, tcx, netkit and netfilter, with real packets between network namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import platform
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wire import Wire, cable, until

import pylibbpf
from pylibbpf.engine.kernel.library import version
from pylibbpf.uapi.enums import AttachType, ProgType

NAME = Wire.interface


def kernel() -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", platform.release())[:2])


@pytest.fixture
def obj(load_test_object: Callable[[str], pylibbpf.Object]) -> pylibbpf.Object:
    return load_test_object("devices")


def xdp_id(wire: Wire) -> int | None:
    """The program that the kernel says is attached at the far end."""
    from pyroute2 import NetNS

    with NetNS(wire.far) as netns:
        (link,) = netns.get_links(ifname=NAME)
        found = link.get_attr("IFLA_XDP").get_attr("IFLA_XDP_PROG_ID")
        return None if found is None else int(found)


def qdiscs(wire: Wire) -> list[str]:
    from pyroute2 import NetNS

    with NetNS(wire.near) as netns:
        index = netns.link_lookup(ifname=NAME)[0]
        return [each.get_attr("TCA_KIND") for each in netns.get_qdiscs(index=index)]


def entries(ledger: Path) -> list[str]:
    return sorted(os.listdir(ledger)) if ledger.exists() else []


# ---- XDP


def test_xdp_by_link(wire, obj, ledger):
    program = obj.programs["xdp_pass"]
    with wire.listen() as far, program.attach_xdp(NAME, netns=wire.far) as link:
        assert isinstance(link, pylibbpf.XdpLink)
        assert link.mode == "native"  # what veth has, and the kernel chooses
        assert link.fd >= 0
        wire.send(5)
        assert [far.recv(16) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
        assert obj.globals["passed"] == 5
        assert xdp_id(wire) is not None
        assert entries(ledger) == []  # the kernel undoes it
    with wire.listen() as far:
        wire.send(1)
        assert far.recv(16) == b"0"
    assert obj.globals["passed"] == 5
    assert xdp_id(wire) is None
    with pytest.raises(pylibbpf.ClosedError):
        _ = link.mode


@pytest.mark.parametrize("by_link", [True, False], ids=["link", "netlink"])
@pytest.mark.parametrize("mode", ["native", "generic"])
def test_xdp_modes(wire, obj, ledger, mode, by_link):
    program = obj.programs["xdp_drop"]
    with program.attach_xdp(NAME, netns=wire.far, mode=mode, link=by_link) as link:
        assert link.mode == mode
        wire.send(3)
        until(lambda: obj.globals["dropped"], 3)
    assert xdp_id(wire) is None


def test_xdp_offload_is_refused(wire, obj, ledger):
    """A veth has none; and the program was not loaded for it."""
    for by_link in (True, False):
        with pytest.raises(pylibbpf.BpfError, match="offloaded") as caught:
            obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far, mode="offload", link=by_link)
        assert caught.value.errno == errno.EINVAL
    assert entries(ledger) == []


def test_xdp_by_netlink(wire, obj, ledger):
    program = obj.programs["xdp_drop"]
    link = program.attach_xdp(NAME, netns=wire.far, link=False)
    assert link.mode == "native"
    (entry,) = entries(ledger)
    assert entry.startswith(f"devices.xdp-{os.getpid()}-")
    with pytest.raises(pylibbpf.NotSupportedError, match="no descriptor"):
        _ = link.fd
    wire.send(2)
    until(lambda: obj.globals["dropped"], 2)
    link.close()
    link.close()
    assert link.closed
    assert xdp_id(wire) is None
    assert entries(ledger) == []
    with pytest.raises(pylibbpf.ClosedError):
        _ = link.mode


def test_the_object_detaches(wire, obj, ledger):
    obj.programs["xdp_drop"].attach_xdp(NAME, netns=wire.far, link=False)
    obj.programs["tc_first"].attach_tc(NAME, "egress", netns=wire.near)
    assert len(entries(ledger)) == 2
    obj.close()
    assert xdp_id(wire) is None
    assert "clsact" not in qdiscs(wire)
    assert entries(ledger) == []
    with pytest.raises(pylibbpf.ClosedError):
        obj.programs["xdp_drop"].attach_xdp(NAME, netns=wire.far)


def test_namespaces_by_path_descriptor_and_index(wire, obj):
    path = Path("/run/netns") / wire.far
    index = wire.index(wire.far)
    program = obj.programs["xdp_pass"]
    gc.collect()  # what other tests left is not ours
    before = len(os.listdir("/proc/self/fd"))
    with path.open("rb") as file:
        for interface, netns in ((NAME, path), (NAME, str(path)), (index, file.fileno())):
            with program.attach_xdp(interface, netns=netns) as link:
                assert link.mode == "native"
    assert len(os.listdir("/proc/self/fd")) == before
    # inside of it, it needs no name
    assert wire.within(wire.far, lambda: program.attach_xdp(NAME).mode) == "native"


def test_xdp_replaced_without_a_gap(wire, obj, ledger):
    passing, dropping = obj.programs["xdp_pass"], obj.programs["xdp_drop"]
    first = passing.attach_xdp(NAME, netns=wire.far, link=False)
    there = xdp_id(wire)
    with pytest.raises(pylibbpf.BpfError, match=f"program {there} 'xdp_pass'") as caught:
        dropping.attach_xdp(NAME, netns=wire.far, link=False, replace=dropping)
    assert caught.value.errno == errno.EEXIST
    assert (first.mode, xdp_id(wire)) == ("native", there)
    second = dropping.attach_xdp(NAME, netns=wire.far, link=False, replace=passing)
    assert xdp_id(wire) != there
    assert (first.mode, second.mode) == (None, "native")
    first.close()  # has nothing left to detach
    assert second.mode == "native"
    third = passing.attach_xdp(NAME, netns=wire.far, link=False, replace=True)
    assert xdp_id(wire) == there
    second.close()
    assert third.mode == "native"
    third.close()
    assert xdp_id(wire) is None
    assert entries(ledger) == []


@pytest.mark.parametrize("by_link", [True, False], ids=["link", "netlink"])
def test_what_is_in_the_way_is_named(wire, obj, ledger, by_link):
    obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far, link=by_link)
    there = xdp_id(wire)
    kept = entries(ledger)
    for options in ({}, {"link": False}, {"mode": "generic"}):
        with pytest.raises(pylibbpf.BpfError) as caught:
            obj.programs["xdp_drop"].attach_xdp(NAME, netns=wire.far, **options)
        said = str(caught.value)
        assert caught.value.errno in (errno.EBUSY, errno.EEXIST)
        assert f"program {there} 'xdp_pass' (held by this process) in native mode" in said
        assert "Several programs at one interface need a dispatcher" in said
    assert xdp_id(wire) == there
    assert entries(ledger) == kept


def test_a_link_is_updated(wire, obj):
    passing, dropping = obj.programs["xdp_pass"], obj.programs["xdp_drop"]
    with passing.attach_xdp(NAME, netns=wire.far) as link:
        link.update(dropping, old=passing)
        assert link.mode == "native"
        assert link.info().prog_id == dropping.info().id == xdp_id(wire)
        wire.send(2)
        until(lambda: obj.globals["dropped"], 2)
        link.detach()
        assert link.mode is None


def test_detached_by_somebody_else(wire, obj, ledger):
    from pyroute2 import NetNS

    link = obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far, link=False)
    with NetNS(wire.far) as netns:
        netns.link("set", index=wire.index(wire.far), xdp_fd=-1)
    assert link.mode is None
    link.close()
    assert entries(ledger) == []


def test_an_interface_that_goes_away(wire, obj, ledger):
    links = [
        obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far),
        obj.programs["tc_first"].attach_tc(NAME, "ingress", netns=wire.far),
        obj.programs["xdp_drop"].attach_xdp(NAME, netns=wire.near, link=False),
    ]
    from pyroute2 import NetNS

    with NetNS(wire.near) as netns:
        netns.link("del", index=wire.index())
    assert links[0].mode is None
    assert links[2].mode is None
    for link in links:
        link.close()
    assert entries(ledger) == []


# ---- what is refused


def test_no_such_interface(wire, obj, ledger):
    program = obj.programs["xdp_pass"]
    for by_link in (True, False):
        with pytest.raises(pylibbpf.BpfError, match=f"has no interface 'wire1': it has {NAME}"):
            program.attach_xdp("wire1", netns=wire.far, link=by_link)
        with pytest.raises(pylibbpf.BpfError, match="no interface of index 4711"):
            program.attach_xdp(4711, netns=wire.far, link=by_link)
    with pytest.raises(pylibbpf.BpfError, match="no interface 'wire1'"):
        obj.programs["tc_first"].attach_tc("wire1", "ingress", netns=wire.far)
    with pytest.raises(pylibbpf.BpfError, match=f"has that name: .*{wire.far}"):
        program.attach_xdp(NAME, netns=wire.far.replace("far", "fat"))
    assert entries(ledger) == []


def test_programs_of_another_type(obj):
    xdp, tc = obj.programs["xdp_pass"], obj.programs["tc_first"]
    with pytest.raises(TypeError, match=r"attach_xdp\(\) attaches programs of type XDP; 'tc_firs"):
        tc.attach_xdp("lo")
    for attach in (
        lambda: xdp.attach_tc("lo", "ingress"),
        lambda: xdp.attach_tcx("lo", "ingress"),
        lambda: xdp.attach_netkit("lo"),
    ):
        with pytest.raises(TypeError, match="of type SCHED_CLS; 'xdp_pass' is of type XDP"):
            attach()
    with pytest.raises(TypeError, match="of type NETFILTER"):
        tc.attach_netfilter("ipv4", "input", 0)


def test_bad_arguments(obj):
    xdp, tc = obj.programs["xdp_pass"], obj.programs["tc_first"]
    for problem, call in (
        ("mode is native", lambda: xdp.attach_xdp("lo", mode="fast")),
        ("replace goes with link=False", lambda: xdp.attach_xdp("lo", replace=True)),
        ("direction is ingress or egress", lambda: tc.attach_tc("lo", "in")),
        ("direction is ingress or egress", lambda: tc.attach_tcx("lo", "in")),
        ("priority is from 1 to 65535", lambda: tc.attach_tc("lo", "ingress", priority=65536)),
        ("handle is from 1", lambda: tc.attach_tc("lo", "ingress", handle=0)),
        ("replace needs handle and prio", lambda: tc.attach_tc("lo", "ingress", replace=True)),
        ("either before or after", lambda: tc.attach_tcx("lo", "ingress", before=1, after=2)),
        ("expected_revision is from 1", lambda: tc.attach_netkit("lo", expected_revision=0)),
    ):
        with pytest.raises(ValueError, match=problem):
            call()
    for wrong in (None, 1.5, True, b"lo"):
        with pytest.raises(TypeError, match="an interface is a name or an index"):
            xdp.attach_xdp(wrong)
    with pytest.raises(TypeError, match="replace is a program"):
        xdp.attach_xdp("lo", link=False, replace=3)


def test_an_object_that_is_not_loaded(open_test_object):
    obj = open_test_object("devices")
    with pytest.raises(pylibbpf.BpfError, match="not loaded"):
        obj.programs["xdp_pass"].attach_xdp("lo")


def test_no_ledger_no_attachment(wire, obj, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PYLIBBPF_RUNTIME_DIR", str(tmp_path / "file" / "ledger"))
    with pytest.raises(pylibbpf.BpfError, match="set PYLIBBPF_RUNTIME_DIR"):
        obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far, link=False)
    with pytest.raises(pylibbpf.BpfError, match="set PYLIBBPF_RUNTIME_DIR"):
        obj.programs["tc_first"].attach_tc(NAME, "egress", netns=wire.near)
    assert xdp_id(wire) is None
    assert "clsact" not in qdiscs(wire)
    obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far)  # a link needs none


# ---- tc


def test_tc_filters_run_by_priority(wire, obj, ledger):
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    with wire.listen() as far:
        with (
            second.attach_tc(NAME, "egress", priority=20, handle=7, netns=wire.near) as later,
            first.attach_tc(NAME, "egress", priority=10, netns=wire.near) as sooner,
        ):
            assert isinstance(later, pylibbpf.TcLink)
            assert (later.handle, later.priority, sooner.priority) == (7, 20, 10)
            assert sooner.handle > 0
            wire.send(4)
            for _ in range(4):
                far.recv(16)
            values = obj.globals
            assert (values["first"], values["second"]) == (4, 4)
            assert values["order"] == 12
            assert values["marked"] == 4
            assert len(entries(ledger)) == 2
        wire.send(1)
        far.recv(16)
    assert obj.globals["first"] == 4
    assert entries(ledger) == []
    with pytest.raises(pylibbpf.ClosedError):
        _ = later.handle


def test_tc_ingress_drops(wire, obj, ledger):
    with obj.programs["tc_drop"].attach_tc(NAME, "ingress", netns=wire.far):
        wire.send(6)
        until(lambda: obj.globals["dropped"], 6)


def test_the_kernel_chooses_what_is_left_open(wire, obj, ledger):
    program = obj.programs["tc_first"]
    with (
        program.attach_tc(NAME, "egress", netns=wire.near) as one,
        program.attach_tc(NAME, "egress", netns=wire.near) as two,
    ):
        assert (one.handle, one.priority) != (two.handle, two.priority)
        wire.send(1)
        until(lambda: obj.globals["first"], 2)
        one.close()
        wire.send(1)
        until(lambda: obj.globals["first"], 3)  # the other one stays


def test_a_filter_in_the_way_and_its_replacement(wire, obj, ledger):
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    where = {"handle": 3, "priority": 5, "netns": wire.near}
    old = first.attach_tc(NAME, "egress", **where)
    with pytest.raises(pylibbpf.BpfError, match=r"'tc_first' \(held by this process\)") as caught:
        second.attach_tc(NAME, "egress", **where)
    assert caught.value.errno == errno.EEXIST
    new = second.attach_tc(NAME, "egress", replace=True, **where)
    old.close()
    wire.send(2)
    until(lambda: obj.globals["second"], 2)
    assert obj.globals["first"] == 0
    new.close()
    assert "clsact" not in qdiscs(wire)
    assert entries(ledger) == []


def test_the_qdisc_goes_with_its_last_user(wire, obj, ledger):
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    one = first.attach_tc(NAME, "egress", netns=wire.near)
    two = second.attach_tc(NAME, "ingress", netns=wire.near)
    assert "clsact" in qdiscs(wire)
    one.close()
    assert "clsact" in qdiscs(wire)
    two.close()
    assert "clsact" not in qdiscs(wire)


def test_a_qdisc_of_others_stays(wire, obj, ledger):
    from pyroute2 import NetNS

    with NetNS(wire.near) as netns:
        netns.tc("add", "clsact", wire.index())
    obj.programs["tc_first"].attach_tc(NAME, "egress", netns=wire.near).close()
    assert "clsact" in qdiscs(wire)


def test_a_qdisc_that_others_use_stays(wire, obj, ledger):
    from pyroute2 import NetNS

    link = obj.programs["tc_first"].attach_tc(NAME, "egress", netns=wire.near)
    with NetNS(wire.near) as netns:
        netns.tc(
            "add-filter",
            "bpf",
            wire.index(),
            fd=obj.programs["tc_second"].fd,
            name="other",
            parent=0xFFFFFFF3,
            classid=1,
            prio=9,
        )
    link.close()
    assert "clsact" in qdiscs(wire)
    wire.send(2)
    until(lambda: obj.globals["second"], 2)


# ---- tcx, netkit


def need_lists() -> None:
    if kernel() < (6, 6):
        pytest.skip("needs tcx (Linux 6.6)")


def test_tcx_or_why_not(wire, obj):
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    if kernel() < (6, 6):
        with pytest.raises(pylibbpf.BpfError, match=r"tcx needs Linux 6\.6") as caught:
            first.attach_tcx(NAME, "egress", netns=wire.near)
        assert caught.value.errno == errno.EINVAL
        return
    with wire.listen() as far:
        with (
            first.attach_tcx(NAME, "egress", netns=wire.near) as link,
            second.attach_tcx(NAME, "egress", netns=wire.near),
        ):
            assert isinstance(link, pylibbpf.TcxLink)
            wire.send(3)
            for _ in range(3):
                far.recv(16)
            assert (obj.globals["first"], obj.globals["second"]) == (3, 3)
            assert obj.globals["order"] == 12
            assert obj.globals["marked"] == 3
            with pytest.raises(pylibbpf.BpfError, match="in this list already"):
                first.attach_tcx(NAME, "egress", netns=wire.near)
        wire.send(1)
        far.recv(16)
    assert obj.globals["first"] == 3
    with first.attach_tcx(NAME, "ingress", netns=wire.far):
        wire.send(1)
        until(lambda: obj.globals["first"], 4)


def test_tcx_before_all(wire, obj):
    """Without a neighbour an old libbpf passes it on."""
    need_lists()
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    with (
        first.attach_tcx(NAME, "egress", netns=wire.near),
        second.attach_tcx(NAME, "egress", netns=wire.near, before="all"),
    ):
        wire.send(1)
        until(lambda: obj.globals["order"], 21)


def test_tcx_neighbours(wire, obj, load_test_object):
    need_lists()
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    drop = obj.programs["tc_drop"]
    link = first.attach_tcx(NAME, "egress", netns=wire.near)
    if version() < (1, 3):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"needs libbpf 1\.3"):
            second.attach_tcx(NAME, "egress", netns=wire.near, before=link)
        with pytest.raises(pylibbpf.NotSupportedError, match=r"needs libbpf 1\.3"):
            second.attach_tcx(NAME, "egress", netns=wire.near, expected_revision=2)
        with pytest.raises(pylibbpf.NotSupportedError, match=r"needs libbpf 1\.3"):
            _ = link.revision
        return
    (first_id,) = link.order
    for neighbour in (link, first, first_id):
        with second.attach_tcx(NAME, "egress", netns=wire.near, before=neighbour):
            assert link.order[1:] == (first_id,)
        with second.attach_tcx(NAME, "egress", netns=wire.near, after=neighbour) as other:
            assert link.order[:1] == (first_id,)
            with drop.attach_tcx(NAME, "egress", netns=wire.near, before=other):
                assert [link.order[0], len(link.order)] == [first_id, 3]
                assert link.order[2] != first_id
    assert link.order == (first_id,)
    with pytest.raises(pylibbpf.BpfError, match="not in this list") as caught:
        second.attach_tcx(NAME, "egress", netns=wire.near, before=drop)
    assert caught.value.errno == errno.ENOENT
    before = link.revision
    with second.attach_tcx(NAME, "egress", netns=wire.near, expected_revision=before):
        assert link.revision > before
        with pytest.raises(pylibbpf.BpfError, match="the list has changed") as caught:
            drop.attach_tcx(NAME, "egress", netns=wire.near, expected_revision=before)
        assert caught.value.errno == errno.ESTALE


@pytest.fixture
def netkit(namespaces: None) -> Iterator[Wire]:
    import pyroute2

    try:
        with cable("netkit") as made:
            yield made
    except pyroute2.NetlinkError as error:
        if error.code != errno.EOPNOTSUPP:
            raise
        pytest.skip("needs netkit devices (Linux 6.7, CONFIG_NETKIT)")


def test_netkit(netkit, obj):
    first, second = obj.programs["tc_first"], obj.programs["tc_second"]
    with netkit.listen() as far:
        with first.attach_netkit(NAME, netns=netkit.near) as link:
            netkit.send(2)
            assert [far.recv(16), far.recv(16)] == [b"0", b"1"]
            assert obj.globals["first"] == 2
            if version() >= (1, 3):
                assert len(link.order) == 1
        with second.attach_netkit(NAME, peer=True, netns=netkit.near):
            netkit.send(3, back=True)
            until(lambda: obj.globals["second"], 3)
    with pytest.raises(pylibbpf.BpfError, match="peer of a netkit pair"):
        first.attach_netkit(NAME, netns=netkit.far)


def test_netkit_needs_such_a_device(wire, obj):
    why = r"is no netkit device|netkit needs (Linux 6\.7|CONFIG_NETKIT)"
    with pytest.raises(pylibbpf.BpfError, match=why):
        obj.programs["tc_first"].attach_netkit(NAME, netns=wire.near)


# ---- netfilter


def test_netfilter_or_why_not(wire, open_test_object):
    obj = open_test_object("netfilter")
    program = obj.programs["filter"]
    program.type = ProgType.NETFILTER
    program.expected_attach_type = AttachType.NETFILTER
    program.autoload = True
    if kernel() < (6, 4):
        with pytest.raises(pylibbpf.BpfError) as refused:
            obj.load()
        assert refused.value.errno == errno.EINVAL
        return
    obj.load()
    if version() < (1, 3):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"netfilter needs libbpf 1\.3"):
            program.attach_netfilter("ipv4", "output", 0, netns=wire.near)
        return
    with wire.listen() as far:
        with program.attach_netfilter("ipv4", "output", 10, netns=wire.near):
            wire.send(3)
            for _ in range(3):
                far.recv(16)
            assert obj.globals["seen"] == 3
            with pytest.raises(pylibbpf.BpfError, match="has this priority") as caught:
                program.attach_netfilter("ipv4", "output", 10, netns=wire.near)
            assert caught.value.errno == errno.EBUSY
            obj.globals["drop"] = 1
            with pytest.raises(PermissionError):  # what a dropped packet is to its sender
                wire.send(1)
        wire.send(1)
        far.recv(16)
    assert obj.globals["seen"] == 4
    if kernel() >= (6, 6):
        with pytest.raises(pylibbpf.BpfError, match="above -400"):
            program.attach_netfilter("ipv4", "prerouting", -400, defrag=True, netns=wire.near)


def test_netfilter_arguments(open_test_object, bpf):
    obj = open_test_object("netfilter")
    program = obj.programs["filter"]
    program.type = ProgType.NETFILTER
    for problem, call in (
        ("family is one of ipv4", lambda: program.attach_netfilter("inet", "input", 0)),
        ("hook is one of", lambda: program.attach_netfilter("ipv4", "ingress", 0)),
        ("out of range", lambda: program.attach_netfilter("ipv4", "input", -(1 << 31))),
        ("out of range", lambda: program.attach_netfilter("ipv4", "input", (1 << 31) - 1)),
    ):
        with pytest.raises(ValueError, match=problem):
            call()


# ---- forks, signals


def namespaces() -> list[str]:
    """The descriptors of namespaces that this process holds."""
    held = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            if os.readlink(f"/proc/self/fd/{number}").startswith(("net:[", "/run/netns/")):
                held.append(number)
    return held


def test_a_child_detaches_nothing(wire, obj, ledger):
    assert namespaces() == []
    links: list[Any] = [
        obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far),
        obj.programs["xdp_drop"].attach_xdp(NAME, netns=wire.near, link=False),
        obj.programs["tc_first"].attach_tc(NAME, "egress", netns=wire.near),
    ]
    kept = entries(ledger)
    assert len(namespaces()) == 3
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for link in links:
                link.close()
                try:
                    _ = link.fd
                except pylibbpf.ClosedError:
                    continue
                os._exit(2)
            obj.close()
            # Nothing of the namespaces is held here either.
            status = 3 if namespaces() else 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [links[0].mode, links[1].mode] == ["native", "native"]
    assert "clsact" in qdiscs(wire)
    assert entries(ledger) == kept


def test_a_thread_that_has_left_its_namespace(load_test_object, inside, ledger):
    """What it attached there is detached there: every namespace has an interface 1."""
    libc = ctypes.CDLL(None, use_errno=True)

    def body():
        obj = load_test_object("devices")
        xdp, tc = obj.programs["xdp_pass"], obj.programs["tc_first"]
        with open("/proc/self/ns/net") as before:
            links = [
                xdp.attach_xdp("lo", mode="generic", link=False),
                tc.attach_tc("lo", "ingress", handle=1, priority=1),
            ]
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:  # stays, so that the namespace is to be found
                os.close(write)
                os.read(read, 1)
                os._exit(0)
            assert libc.unshare(0x40000000) == 0  # CLONE_NEWNET
            assert links[0].mode == "generic"
            for link in links:
                link.close()
            assert entries(ledger) == []
            where = before.fileno()
            xdp.attach_xdp("lo", netns=where, mode="generic", link=False).close()
            tc.attach_tc("lo", "ingress", netns=where, handle=1, priority=1).close()
            os.close(write)
            os.waitpid(pid, 0)

    inside(body)


def descriptors() -> Counter[str]:
    """What this process has open, and how often."""
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            found[os.readlink(f"/proc/self/fd/{number}")] += 1
    return found


class Alarm(Exception):
    pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # io's, of files
def test_interrupted_at_any_moment(wire, obj, ledger):
    """Whatever a signal handler's exception cuts short, the object's close undoes it."""

    def ring(_number: int, _frame: object) -> None:
        raise Alarm

    own = os.stat("/proc/thread-self/ns/net").st_ino
    before = descriptors()
    xdp, tc = obj.programs["xdp_drop"], obj.programs["tc_first"]

    def attach_and_detach() -> None:
        with xdp.attach_xdp(NAME, netns=wire.far, link=False):
            tc.attach_tc(NAME, "egress", netns=wire.near).close()
            xdp.attach_xdp(NAME, netns=wire.near).close()

    attach_and_detach()  # imports what it needs
    begin = time.monotonic()
    attach_and_detach()
    whole = time.monotonic() - begin
    previous = signal.signal(signal.SIGALRM, ring)
    interrupted, steps = 0, 100
    try:
        for step in range(steps):
            try:
                signal.setitimer(signal.ITIMER_REAL, whole * (step + 1) / steps)
                attach_and_detach()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Alarm:
                interrupted += 1
            assert os.stat("/proc/thread-self/ns/net").st_ino == own
            # What was made while nobody could be given its Link: the object has it.
            for left in list(obj._handle._links):
                left.close()
            assert entries(ledger) == []
            if step % 10 == 0:
                assert xdp_id(wire) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > steps // 3
    obj.close()
    assert xdp_id(wire) is None
    assert "clsact" not in qdiscs(wire)
    assert entries(ledger) == []
    gc.collect()
    assert descriptors() <= before
