"""A process that holds an attachment of every kind is killed: what stays, and how it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import pylibbpf

HOLDER = """
    import sys, pylibbpf
    folder, engine, near, far, cgroup, pin = sys.argv[1:]

    def opened(name, *optional):
        obj = pylibbpf.open_object(f"{folder}/{name}.bpf.o", engine=engine)
        for each in optional:
            obj.programs[each].autoload = True
        obj.load()
        return obj

    devices = opened("devices").programs
    devices["xdp_drop"].attach_xdp("wire0", netns=far, link=False)
    devices["tc_first"].attach_tc("wire0", "egress", netns=near)
    devices["xdp_pass"].attach_xdp("wire0", netns=near)
    cgroups = opened("cgroups", "connect4").programs
    cgroups["connect4"].attach_cgroup(cgroup, link=False)
    cgroups["connect4"].attach_cgroup(cgroup)
    sockets = opened("sockets", "dissect", "parse")
    sockets.programs["dissect"].attach_flow_dissector(far, link=False)
    sockets.programs["parse"].attach_sockmap(sockets.maps["sockets"], link=False)
    sockets.maps["sockets"].pin(pin)
    events = opened("attach")
    events.attach()
    print("attached", flush=True)
    sys.stdin.read()
"""


def programs() -> set[int]:
    return set(pylibbpf.programs())


@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "unpinned"])
def test_killed_holding_everything(engine, objects, wire, make_cgroup, pins, ledger, pinned):
    cgroup, pin = make_cgroup(), Path(pins) / "sockets"
    child = subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(HOLDER)),
            *(objects, engine, wire.near, wire.far, cgroup, pin),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "attached\n"
        assert pylibbpf.stale() == []
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    if not pinned:
        pin.unlink()
    kinds = {
        "devices.xdp": "xdp_drop",
        "devices.tc": "tc_first",
        "cgroups.cgroup": "connect4",
        "sockets.flow_dissector": "dissect",
        "sockets.sockmap": "parse",
    }
    deadline = time.monotonic() + 20
    while True:  # the kernel takes a moment to give a map back
        left = {each.kind: each for each in pylibbpf.stale()}
        states = {kind: each.state for kind, each in left.items()}
        gone = set() if pinned else {"sockets.sockmap"}
        if states == {kind: "gone" if kind in gone else "attached" for kind in kinds}:
            break
        assert time.monotonic() < deadline, {kind: each.reason for kind, each in left.items()}
        time.sleep(0.05)
    assert {kind: each.program_name for kind, each in left.items()} == kinds
    for each in left.values():
        each.detach()
    assert pylibbpf.stale() == []
    assert list(ledger.iterdir()) == []
    kind = pylibbpf.AttachType.CGROUP_INET4_CONNECT
    assert pylibbpf.query_cgroup(cgroup, kind).programs == ()
    # All that is left of the process is the map that it pinned.
    loaded = {each.program_id for each in left.values()}
    while loaded & programs():
        assert time.monotonic() < deadline
        time.sleep(0.05)
