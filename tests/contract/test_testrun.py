"""Programs run for a test: contexts by name, and what is refused."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import pylibbpf

PACKET = bytes(range(64))


@pytest.fixture
def programs(load_test_object):
    return load_test_object("contexts").programs


def test_sk_buff_by_name(programs):
    done = programs["mark"].test_run(PACKET, {"mark": 21, "cb": (0, 7, 0, 0, 0)})
    assert isinstance(done, pylibbpf.RunResult)
    assert (done.retval, done.data_out) == (21, PACKET)
    assert (done.ctx_out.mark, done.ctx_out.cb[:2]) == (42, (7, 7))
    again = programs["mark"].test_run(PACKET, done.ctx_out._replace(wire_len=0, ifindex=0))
    assert (again.retval, again.ctx_out.mark) == (42, 84)


def test_bytes_in_and_bytes_out(programs):
    done = programs["mark"].test_run(PACKET, struct.pack("=3I", 0, 0, 5))
    assert done.retval == 5
    assert struct.unpack_from("=3I", done.ctx_out)[2] == 10


def test_xdp_md_by_name(programs):
    done = programs["meta"].test_run(PACKET, {"data": 8, "ingress_ifindex": 1})
    assert done.retval == 1 << 16 | 8
    assert (done.ctx_out.ingress_ifindex, done.ctx_out.data_end) == (1, len(PACKET))


@pytest.mark.parametrize(
    ("program", "packet", "ctx", "said"),
    [
        ("mark", PACKET, {"mark": 1, "len": 5, "hash": 1}, "must be 0: len, hash"),
        ("mark", bytes(13), None, "13 bytes, and a packet at least 14"),
        ("mark", None, None, "needs a packet"),
        ("meta", PACKET, {"data": 6}, "multiple of 4, not 6"),
        ("meta", PACKET, {"data_meta": 4}, "data_meta must be 0"),
        ("meta", PACKET, {"data_end": 65}, "data_end must be the length of the data, 64"),
        ("meta", PACKET, {"egress_ifindex": 1}, "egress_ifindex must be 0"),
        ("meta", PACKET, {"rx_queue_index": 3}, "needs an ingress_ifindex"),
        ("meta", PACKET, {"rx_queue_index": 999, "ingress_ifindex": 1}, "no receive queue 999"),
        ("third", PACKET, None, "no packet"),
        ("third", None, bytes(8), "8 bytes, and the program reads more"),
        ("third", None, bytes(104), "12 arguments at most"),
    ],
)
def test_what_the_kernel_refuses_is_named(programs, program, packet, ctx, said):
    with pytest.raises(pylibbpf.BpfError, match=said) as caught:
        programs[program].test_run(packet, ctx)
    assert caught.value.errno == errno.EINVAL
    assert (caught.value.operation, caught.value.object) == ("test run", program)


@pytest.mark.parametrize(
    ("program", "options", "said"),
    [
        ("third", {"args": (1,), "repeat": 3}, "repeat must be 0"),
        ("meta", {"data": PACKET, "cpu": 0}, "only raw tracepoint programs"),
        ("count", {"data": PACKET, "batch_size": 3}, "for live frames"),
        ("count", {"data": PACKET, "batch_size": 257, "live_frames": True}, "256 at most"),
    ],
)
def test_options_that_do_not_fit_are_named(programs, program, options, said):
    with pytest.raises(pylibbpf.BpfError, match=said):
        programs[program].test_run(**options)


def test_no_such_interface_no_such_cpu(programs):
    with pytest.raises(pylibbpf.BpfError, match="ingress_ifindex"):
        programs["meta"].test_run(PACKET, {"ingress_ifindex": 1 << 30})
    with pytest.raises(pylibbpf.BpfError, match="no such CPU"):
        programs["on_cpu"].test_run(cpu=1 << 20)


def test_sk_lookup(programs):
    asked = {"family": 2, "protocol": 6, "local_port": 80, "remote_ip4": 0x0100007F}
    done = programs["port"].test_run(ctx=asked)
    assert (done.retval, done.ctx_out.local_port, done.data_out) == (1, 80, b"")
    assert programs["port"].test_run(ctx={**asked, "local_port": 81}).retval == 0


def test_syscall_by_its_prototype(programs):
    done = programs["square"].test_run(ctx={"number": 12, "name": "twelve"})
    assert done.retval == 0
    assert (done.ctx_out.name, done.ctx_out.answer) == ("Swelve", 144)
    assert programs["square"].test_run(ctx={}).retval == 22


def test_context_of_unknown_type(programs):
    with pytest.raises(TypeError, match="ctx_type="):
        programs["untyped"].test_run(ctx={"number": 1})
    done = programs["untyped"].test_run(ctx={"number": 1}, ctx_type="struct request")
    assert done.ctx_out.answer == 1
    raw = programs["untyped"].test_run(ctx=bytes(24), ctx_type="struct request")
    assert raw.ctx_out.answer == 1
    with pytest.raises(pylibbpf.BtfError, match="struct nothing"):
        programs["untyped"].test_run(ctx={}, ctx_type="struct nothing")


def test_unknown_fields(programs):
    with pytest.raises(TypeError, match="xdp_md has no field port"):
        programs["meta"].test_run(PACKET, {"port": 1})
    with pytest.raises(OverflowError, match="mark"):
        programs["mark"].test_run(PACKET, {"mark": 1 << 32})


def test_arguments_of_a_raw_tracepoint(programs):
    assert programs["third"].test_run(args=(1, 2, 3)).retval == 3
    assert programs["third"].test_run(args=(1, 2, -3)).retval == (1 << 32) - 3
    assert programs["third"].test_run(args=()).retval == 0
    with pytest.raises(TypeError, match="raw tracepoints"):
        programs["mark"].test_run(PACKET, args=(1,))
    with pytest.raises(TypeError, match="one of the two"):
        programs["third"].test_run(args=(1,), ctx=b"")
    with pytest.raises(ValueError, match="12 arguments"):
        programs["third"].test_run(args=range(13))
    with pytest.raises(OverflowError):
        programs["third"].test_run(args=(1 << 64,))


def test_on_every_cpu(programs):
    for cpu in os.sched_getaffinity(0):
        assert programs["on_cpu"].test_run(cpu=cpu).retval == cpu


@pytest.mark.parametrize("option", ["repeat", "cpu", "flags", "batch_size"])
def test_numbers_are_not_negative(programs, option):
    with pytest.raises(ValueError, match=option):
        programs["count"].test_run(PACKET, **{option: -1})


def test_types_that_cannot_be_run(open_test_object):
    obj = open_test_object("contexts")
    obj.programs["connect"].autoload = True
    obj.load()
    with pytest.raises(pylibbpf.BpfError, match="cgroup_sock_addr") as caught:
        obj.programs["connect"].test_run(PACKET)
    assert caught.value.errno == 524


LIVE = """
import ctypes, os, socket, sys
CLONE_NEWNET = 0x40000000
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
    sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
import pylibbpf
from pyroute2 import IPRoute

with IPRoute() as ip:
    ip.link("add", ifname="live0", kind="veth", peer="live1")
    for name in ("live0", "live1"):
        ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
    (index,) = ip.link_lookup(ifname="live0")
packet = bytes(12) + b"\\x88\\xb5" + bytes(50)  # a local experimental Ethertype
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
tap.bind(("live0", 0x88B5))
tap.settimeout(10)
with pylibbpf.open_object(sys.argv[1], engine=sys.argv[2]) as obj:
    obj.load()
    done = obj.programs["count"].test_run(
        packet, {"ingress_ifindex": index}, live_frames=True, repeat=100, batch_size=10
    )
    assert (done.retval, done.data_out) == (0, b""), done
    assert obj.globals["frames"] == 100, obj.globals["frames"]
    assert tap.recv(100) == packet
    try:
        obj.programs["mark"].test_run(packet, live_frames=True)
    except TypeError as error:
        assert "XDP" in str(error)
    else:
        raise AssertionError
"""


def test_live_frames(engine, objects, network_namespaces):
    """In a network namespace of their own."""
    path = objects / "contexts.bpf.o"
    done = subprocess.run(
        [sys.executable, "-c", LIVE, str(path), engine],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
