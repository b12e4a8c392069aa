"""Links: what the kernel tells of them, and what can be done with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf import info as infos

pytestmark = pytest.mark.usefixtures("by_id")


def cgroup_root() -> Path | None:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            mount, _, about = line.partition(" - ")
            if about.split()[0] == "cgroup2":
                return Path(mount.split()[4])
    return None


@pytest.fixture
def cgroup(bpf):
    """A fresh cgroup; its processes are moved out of it again."""
    root = cgroup_root()
    if root is None:
        pytest.skip("needs a mounted cgroup v2 file system")
    folder = Path(tempfile.mkdtemp(prefix="pylibbpf-", dir=root))
    yield folder
    for pid in (folder / "cgroup.procs").read_text().split():
        (root / "cgroup.procs").write_text(pid)
    folder.rmdir()


def send_in(cgroup: Path, count: int) -> None:
    """Send that many datagrams over loopback, out of a process in the cgroup."""
    code = (
        "import socket, sys\n"
        "open(sys.argv[1], 'w').write('0')\n"
        "to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); to.bind(('127.0.0.1', 0))\n"
        "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(int(sys.argv[2])): out.sendto(b'x', to.getsockname())\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, cgroup / "cgroup.procs", str(count)],
        check=True,
    )


@pytest.fixture
def links(load_test_object):
    return load_test_object("links")


# ---- what they are


def test_raw_tracepoint(links):
    link = links.programs["raw"].attach()
    found = link.info()
    assert isinstance(found, infos.RawTracepointLinkInfo)
    assert found.tp_name == "sys_enter"
    assert found.type is link.type is pylibbpf.LinkType.RAW_TRACEPOINT
    assert found.id == link.id > 0
    assert found.prog_id == links.programs["raw"].id


def test_perf_event_or_no_link(load_test_object):
    """Linux 5.15 has links of perf events; before it there is a clear refusal."""
    link = load_test_object("attach").programs["getpgid"].attach()
    if kernel() < (5, 15):
        with pytest.raises(pylibbpf.NotSupportedError, match=r"perf event.*5\.15"):
            link.info()
        return
    found = link.info()
    assert isinstance(found, infos.PerfEventLinkInfo)
    assert found.type is pylibbpf.LinkType.PERF_EVENT
    if kernel() >= (6, 6):
        assert (found.kind, found.name) == ("tracepoint", "sys_enter_getpgid")


def kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


def test_cgroup_link(links, cgroup):
    link = links.programs["egress"].attach_cgroup(cgroup)
    found = link.info()
    assert isinstance(found, infos.CgroupLinkInfo)
    assert found.cgroup_id == cgroup.stat().st_ino
    assert found.attach_type is pylibbpf.AttachType.CGROUP_INET_EGRESS
    assert hash(found) == hash(link.info())
    with pytest.raises(AttributeError):
        found.cgroup_id = 1


def test_iterator(open_test_object):
    obj = open_test_object("links")
    obj.programs["tasks"].autoload = True
    obj.load()
    link = obj.programs["tasks"].attach()
    found = link.info()
    assert isinstance(found, infos.IterLinkInfo)
    assert (found.target_name, found.map_id, found.cgroup_id) == ("task", 0, 0)


def test_struct_decoded_by_type():
    """Each type of link that the kernel's headers name has its class, or is known to have none."""
    from pylibbpf.engine.kernel.describe import _DECODERS

    without = {pylibbpf.LinkType.UNSPEC, pylibbpf.LinkType.TRACING_MULTI}
    assert set(_DECODERS) == set(pylibbpf.LinkType) - without


def test_closed_link_is_not_asked(links):
    link = links.programs["raw"].attach()
    link.close()
    for ask in (link.info, lambda: link.id, link.detach, lambda: link.pin("/sys/fs/bpf/x")):
        with pytest.raises(pylibbpf.ClosedError):
            ask()


# ---- update


def test_update_puts_another_program_in_place(links, cgroup):
    old, new = links.programs["egress"], links.programs["egress_two"]
    link = old.attach_cgroup(cgroup)
    send_in(cgroup, 3)
    assert (links.globals["first"], links.globals["second"]) == (3, 0)
    link.update(new)
    send_in(cgroup, 5)
    assert (links.globals["first"], links.globals["second"]) == (3, 5)
    assert link.info().prog_id == new.id
    link.update(old, old=new)
    assert link.info().prog_id == old.id


def test_update_only_if_the_old_one_is_there(links, cgroup):
    link = links.programs["egress"].attach_cgroup(cgroup)
    with pytest.raises(pylibbpf.BpfError, match=r"is attached, not the old one") as caught:
        link.update(links.programs["egress_two"], old=links.programs["egress_two"])
    assert caught.value.operation == "update link"
    assert not isinstance(caught.value, pylibbpf.BpfPermissionError)
    assert link.info().prog_id == links.programs["egress"].id


def test_update_of_what_cannot_be_updated(links):
    link = links.programs["raw"].attach()
    with pytest.raises(pylibbpf.BpfError, match="raw_tracepoint cannot be updated"):
        link.update(links.programs["raw"])
    with pytest.raises(TypeError, match="a link is updated with a program or map"):
        link.update("raw")
    with pytest.raises(TypeError, match="a link is updated with a program or map"):
        link.update(links.programs["raw"], old=3)


def test_update_with_a_program_of_another_kind(links, cgroup):
    link = links.programs["egress"].attach_cgroup(cgroup)
    with pytest.raises(pylibbpf.BpfError, match="not of the type and attach type"):
        link.update(links.programs["raw"])


# ---- detach and disconnect


def test_detach_leaves_the_link_open(links, cgroup):
    link = links.programs["egress"].attach_cgroup(cgroup)
    link.detach()
    send_in(cgroup, 2)
    assert links.globals["first"] == 0
    assert link.info().cgroup_id == 0
    assert not link.closed
    with pytest.raises(pylibbpf.BpfError, match="detached"):
        link.update(links.programs["egress_two"])


def test_detach_of_what_ends_with_its_descriptor_only(links):
    link = links.programs["raw"].attach()
    with pytest.raises(pylibbpf.BpfError, match="raw_tracepoint have no forced detach"):
        link.detach()


def test_a_link_outlives_its_cgroup(links, cgroup):
    inner = cgroup / "inner"
    inner.mkdir()
    link = links.programs["egress"].attach_cgroup(inner)
    inner.rmdir()
    for _ in range(100):
        if link.info().cgroup_id == 0:
            break
        os.sched_yield()
        signal.sigtimedwait([], 0.05)
    assert link.info().cgroup_id == 0
    link.close()


def test_disconnected_without_a_pin_stays_for_the_process(load_test_object, cgroup):
    obj = load_test_object("links")
    link = obj.programs["egress"].attach_cgroup(cgroup)
    number = link.id
    link.disconnect()
    assert link.closed
    with pytest.raises(pylibbpf.ClosedError):
        link.info()
    counts = obj.globals["first"]
    send_in(cgroup, 2)
    assert obj.globals["first"] == counts + 2
    obj.close()
    with pylibbpf.open_link(number) as again:
        assert again.info().cgroup_id == cgroup.stat().st_ino
        again.detach()


def test_disconnected_and_pinned_stays_until_unpinned(links, cgroup, pins):
    link = links.programs["egress"].attach_cgroup(cgroup)
    link.pin(f"{pins}/link")
    link.disconnect()
    send_in(cgroup, 2)
    assert links.globals["first"] == 2
    with pylibbpf.open_link(f"{pins}/link") as again:
        again.unpin()
    send_in(cgroup, 2)
    assert links.globals["first"] == 2


# ---- pins


def test_a_pinned_link_outlives_object_and_process(engine, objects, cgroup, pins):
    code = """
        import os, signal, sys, pylibbpf
        obj = pylibbpf.open_object(sys.argv[1], engine=sys.argv[2])
        obj.load()
        link = obj.programs["egress"].attach_cgroup(sys.argv[3])
        link.pin(sys.argv[4] + "/link")
        obj.maps[".bss"].pin(sys.argv[4] + "/bss")
        other = obj.programs["egress_two"].attach_cgroup(sys.argv[3])
        print(link.id, other.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    arguments = [objects / "links.bpf.o", engine, cgroup, pins]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    pinned, other = map(int, done.stdout.split())
    send_in(cgroup, 4)
    with pylibbpf.open_map(f"{pins}/bss") as bss:
        first, second = struct_words(bss[0])
        assert (first, second) == (4, 0)
    with pylibbpf.open_link(f"{pins}/link") as link:
        assert link.id == pinned
        assert link.pin_path == f"{pins}/link"
        assert link.name == "egress"
        link.unpin()
    with pytest.raises(pylibbpf.BpfError, match="none of that id"):
        pylibbpf.open_link(other)


def struct_words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 8], "little") for at in (0, 8)]


def test_pin_unpin_again(links, pins):
    link = links.programs["raw"].attach()
    assert link.pin_path is None
    with pytest.raises(pylibbpf.BpfError, match="not pinned"):
        link.unpin()
    link.pin(Path(pins) / "one")
    assert link.pin_path == f"{pins}/one"
    with pytest.raises(pylibbpf.BpfError, match=f"pinned at {pins}/one already"):
        link.pin(f"{pins}/two")
    link.unpin()
    assert os.listdir(pins) == []
    link.pin(f"{pins}/two")
    link.close()
    assert os.listdir(pins) == ["two"]


def test_anothers_pin_is_not_removed(links, pins):
    first = links.programs["raw"].attach()
    first.pin(f"{pins}/link")
    os.unlink(f"{pins}/link")
    with pytest.raises(pylibbpf.BpfError, match="nothing is pinned"):
        first.unpin()
    with pylibbpf.open_object(links._data, engine=links.engine) as other:
        other.load()
        second = other.programs["raw"].attach()
        second.pin(f"{pins}/link")
        with pytest.raises(pylibbpf.BpfError, match="another link is pinned"):
            first.unpin()
        assert os.listdir(pins) == ["link"]


# ---- fork


def held_links() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # of the listing itself
        if "link" in target:
            found.append(target)
    return found


def test_a_forked_childs_links_are_none_of_its(links, cgroup, pins):
    links.programs["egress"].attach_cgroup(cgroup).pin(f"{pins}/link")
    opened = pylibbpf.open_link(f"{pins}/link")
    left = links.programs["egress_two"].attach_cgroup(cgroup)
    number = left.id
    left.disconnect()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            opened.info()
        except pylibbpf.ClosedError as error:
            os.write(write, f"{error}|{held_links()}".encode())
        os._exit(0)
    os.close(write)
    with open(read) as file:
        said = file.read()
    os.waitpid(pid, 0)
    assert "parent" in said
    assert said.endswith("|[]")
    assert opened.info().cgroup_id == cgroup.stat().st_ino
    opened.close()
    with pylibbpf.open_link(number) as again:
        again.detach()
