"""``pylibbpf detach --stale``: what processes leave that are killed, and what it leaves alone."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wire import Wire

import pylibbpf
from pylibbpf.engine.kernel.ledger import Process

NAME = Wire.interface
KERNEL = tuple(int(each) for each in re.findall(r"\d+", platform.release())[:2])

HOLDER = """
import sys, pylibbpf
path, near, far, lists = sys.argv[1:]
obj = pylibbpf.open_object(path)
obj.load()
programs = obj.programs
programs["xdp_drop"].attach_xdp("wire0", netns=far, link=False, mode="generic")
programs["tc_first"].attach_tc("wire0", "egress", netns=near)
programs["xdp_pass"].attach_xdp("wire0", netns=near)
if lists == "True":
    programs["tc_second"].attach_tcx("wire0", "egress", netns=near)
print("attached", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(wire: Wire, ledger: Path, objects: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has attached two programs by links and two by netlink."""
    arguments = [objects / "devices.bpf.o", wire.near, wire.far, str(KERNEL >= (6, 6))]
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "attached\n"
    yield child
    child.kill()
    child.communicate()


def kill(child: subprocess.Popen[str]) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def detach(*options: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pylibbpf", "detach", "--stale", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == status, done.stdout
    return done.stdout


def rows(*options: str, status: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in detach("--json", *options, status=status).splitlines()]


def there(wire: Wire) -> dict[str, bool]:
    """What the kernel says is attached."""
    from pyroute2 import NetNS

    found = {}
    for name in ("near", "far"):
        with NetNS(getattr(wire, name)) as netns:
            (link,) = netns.get_links(ifname=NAME)
            found[f"xdp {name}"] = (
                link.get_attr("IFLA_XDP").get_attr("IFLA_XDP_PROG_ID") is not None
            )
            if name == "near":
                kinds = [
                    each.get_attr("TCA_KIND") for each in netns.get_qdiscs(index=link["index"])
                ]
                found["clsact"] = "clsact" in kinds
                filters = netns.get_filters(index=link["index"], parent=0xFFFFFFF3)
                found["tc"] = any(each["handle"] for each in filters)
    return found


def settled(wire: Wire, expected: dict[str, bool]) -> None:
    """Links vanish when the kernel has closed the last descriptor, soon after the process's end."""
    deadline = time.monotonic() + 10
    while there(wire) != expected:
        assert time.monotonic() < deadline, there(wire)
        time.sleep(0.01)


ALL = {"xdp near": True, "xdp far": True, "clsact": True, "tc": True}
LEFT = {"xdp near": False, "xdp far": True, "clsact": True, "tc": True}
NONE = dict.fromkeys(ALL, False)


def test_nothing_there(bpf, ledger):
    assert detach() == "no dead process left an attachment\n"
    assert detach("--json") == ""
    assert not ledger.exists()


def test_a_living_process_is_left_alone(wire, holder, ledger):
    assert there(wire) == ALL
    assert detach() == "no dead process left an attachment\n"
    assert pylibbpf.stale() == []
    assert there(wire) == ALL
    holder.communicate("")  # it ends, without close(): the object's end does it
    settled(wire, NONE)
    assert list(ledger.iterdir()) == []


def test_what_a_killed_process_left(wire, holder, ledger):
    kill(holder)
    settled(wire, LEFT)
    found = {row["kind"]: row for row in rows("--dry-run")}
    assert set(found) == {"devices.xdp", "devices.tc"}
    xdp, tc = found["devices.xdp"], found["devices.tc"]
    assert xdp["state"] == tc["state"] == "attached"
    assert xdp["place"] == f"XDP, generic at interface {NAME} of network namespace {wire.far}"
    assert re.fullmatch(
        rf"tc egress, priority \d+ handle 0x\w+ at interface {NAME} of network namespace "
        rf"{wire.near}",
        tc["place"],
    )
    assert (xdp["program"]["name"], tc["program"]["name"]) == ("xdp_drop", "tc_first")
    assert xdp["process"]["pid"] == tc["process"]["pid"] == holder.pid
    assert xdp["process"]["command"].startswith(f"{sys.executable} -c ")
    assert 0 <= time.time() - xdp["time"] < 600
    assert there(wire) == LEFT  # it was a dry run

    lines = detach().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("detached: ") for line in lines)
    assert all(f"of process {holder.pid} (" in line for line in lines)
    assert there(wire) == NONE
    assert list(ledger.iterdir()) == []
    assert detach() == "no dead process left an attachment\n"


def test_from_python(wire, holder, ledger):
    kill(holder)
    settled(wire, LEFT)
    left = pylibbpf.stale()
    assert sorted(each.kind for each in left) == ["devices.tc", "devices.xdp"]
    assert [each.state for each in left] == ["attached", "attached"]
    assert "xdp_drop" in repr(left)
    for each in left:
        each.detach()
        assert each.state == "gone"
        each.detach()
    assert there(wire) == NONE
    assert pylibbpf.stale() == []


def test_an_attach_that_fails_says_who_left_what(wire, holder, objects):
    kill(holder)
    with pylibbpf.open_object(objects / "devices.bpf.o") as obj:
        obj.load()
        with pytest.raises(pylibbpf.BpfError) as caught:
            obj.programs["xdp_pass"].attach_xdp(NAME, netns=wire.far, link=False)
    assert f"left by process {holder.pid}," in str(caught.value)
    assert "pylibbpf detach --stale removes it" in str(caught.value)


def test_what_was_replaced_meanwhile_is_left_alone(wire, holder, objects, ledger):
    kill(holder)
    settled(wire, LEFT)
    with pylibbpf.open_object(objects / "devices.bpf.o") as obj:
        obj.load()
        link = obj.programs["xdp_pass"].attach_xdp(
            NAME, netns=wire.far, link=False, mode="generic", replace=True
        )
        states = {row["kind"]: (row["state"], row["reason"]) for row in rows()}
        assert states == {
            "devices.xdp": ("gone", "nothing is attached any more"),
            "devices.tc": ("detached", None),
        }
        assert link.mode == "generic"
        assert there(wire) == {**NONE, "xdp far": True}
    assert list(ledger.iterdir()) == []


def test_a_namespace_that_is_gone(wire, holder, ledger):
    kill(holder)
    settled(wire, LEFT)
    wire.remove()
    deadline = time.monotonic() + 20
    while {row["state"] for row in rows("--dry-run")} != {"gone"}:  # it ends in its own time
        assert time.monotonic() < deadline, rows("--dry-run")
        time.sleep(0.05)
    assert len(rows()) == 2
    assert list(ledger.iterdir()) == []


@pytest.fixture
def forged(wire: Wire, holder: subprocess.Popen[str], ledger: Path) -> Any:
    """Change the entry of the XDP program that the killed process left."""
    kill(holder)
    settled(wire, LEFT)
    (path,) = ledger.glob("devices.xdp-*.json")

    def forge(**changes: Any) -> None:
        entry = json.loads(path.read_text())
        for key, value in changes.items():
            if isinstance(value, dict):
                entry[key].update(value)
            else:
                entry[key] = value
        path.write_text(json.dumps(entry))

    return forge


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"process": {"boot": "another"}}, "gone", "started again since"),
        ({"program": {"load_time": 1}}, "gone", "nothing is attached any more"),
        ({"program": {"tag": "0" * 16}}, "gone", "nothing is attached any more"),
        ({"program": {"id": 2**31}}, "gone", "nothing is attached any more"),
        ({"process": {"pid_namespace": 1}}, "unknown", "PID namespace"),
        ({"kind": "rockets.engine"}, "unknown", "knows no attachments of kind 'rockets.engine'"),
        ({"kind": "../devices.xdp"}, "unknown", "knows no attachments of kind"),
        ({"place": {}, "format": 2}, "unknown", "another version of pylibbpf"),
        ({"place": {"ifindex": None}}, "unknown", "the entry cannot be read"),
        ({"place": {"ifindex": 4711}}, "unknown", "has no interface of index 4711"),
        ({"place": {"netns": 3}}, "unknown", "the entry cannot be read"),
        ({"place": {"netns": {"device": 0, "inode": 1, "name": None}}}, "unknown", "it is gone"),
    ],
)
def test_what_can_be_known(wire, forged, ledger, changes, state, reason):
    forged(**changes)
    found = [row for row in rows() if row["state"] != "detached"]
    assert [row["state"] for row in found] == [state]
    assert reason in found[0]["reason"]
    assert there(wire) == {**NONE, "xdp far": True}  # whatever it is, it is not this one
    assert len(list(ledger.iterdir())) == (state == "unknown")
    if state == "unknown":
        assert detach().startswith("unknown: ")
        (left,) = pylibbpf.stale()
        with pytest.raises(pylibbpf.NotSupportedError, match=re.escape(reason)):
            left.detach()


def test_a_program_that_a_living_process_has_attached_too(wire, forged, ledger):
    (path,) = ledger.glob("devices.xdp-*.json")
    own = Process.own()
    entry = json.loads(path.read_text())
    entry["process"].update(pid=own.pid, start=own.start)
    (ledger / "devices.xdp-living.json").write_text(json.dumps(entry))
    found = [row for row in rows() if row["state"] != "detached"]
    assert [row["state"] for row in found] == ["unknown"]
    assert f"process {own.pid}, which lives" in found[0]["reason"]
    assert there(wire)["xdp far"]


def test_a_file_that_is_no_entry(bpf, ledger):
    ledger.mkdir(mode=0o700)
    (ledger / "bad.json").write_text("{")
    (row,) = rows()
    assert (row["state"], row["entry"], row["kind"]) == ("unknown", "bad.json", "")
    assert detach().startswith("unknown: bad.json: the entry cannot be read: ")


def test_a_folder_that_is_not_ours(bpf, ledger):
    ledger.mkdir(mode=0o777)
    ledger.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-m", "pylibbpf", "detach", "--stale"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "others may write to it" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_must_be_said_what():
    done = subprocess.run(
        [sys.executable, "-m", "pylibbpf", "detach"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--stale" in done.stderr
