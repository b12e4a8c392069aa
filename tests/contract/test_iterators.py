"""Iterators: attached, limited, and read as text, bytes and records."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

import pylibbpf
from pylibbpf.events import Rule


@pytest.fixture
def obj(load_test_object):
    return load_test_object("iterators")


def since(version: str, what: str) -> None:
    major, minor = map(int, re.findall(r"\d+", os.uname().release)[:2])
    if (major, minor) < tuple(map(int, version.split("."))):
        pytest.skip(f"needs Linux {version}: {what}")


@pytest.fixture
def sleeper():
    """A process that stays until the test ends."""
    with subprocess.Popen(["sleep", "1000"]) as child:
        yield child.pid
        child.kill()


def test_records_by_size(obj, sleeper):
    link = obj.programs["tasks"].attach_iter()
    assert isinstance(link, pylibbpf.IterLink)
    found = link.record_type()
    assert (found.name, found.rule) == ("struct task_entry", Rule.SIZE)
    entries = list(link.records())
    mine = [entry for entry in entries if entry.pid == entry.tgid == os.getpid()]
    assert [entry.comm for entry in mine] == [Path("/proc/self/comm").read_text().strip()]
    assert [entry.number for entry in entries] == list(range(len(entries)))
    assert sleeper in {entry.tgid for entry in entries}


def test_each_reading_starts_anew(obj):
    link = obj.programs["text"].attach_iter()
    first, second = link.read_text(), link.read_text()
    for text in (first, second):
        lines = text.splitlines()
        assert lines[-1] == "end"
        assert f"{os.getpid()} {os.getpid()}" in lines
    assert link.read_bytes().endswith(b"end\n")


def test_open_reads_like_a_file(obj):
    link = obj.programs["text"].attach_iter()
    with link.open() as file:
        assert file.readable()
        assert not file.writable()
        first = file.read(3)
        rest = file.read()
        assert (first + rest).endswith(b"end\n")
        assert file.read() == b""
        assert os.get_inheritable(file.fileno()) is False
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with link.open() as lines:
        assert list(lines)[-1] == b"end\n"


def test_what_was_opened_reads_on(obj):
    link = obj.programs["text"].attach_iter()
    file = link.open()
    link.close()
    assert link.closed
    with file:
        assert file.read().endswith(b"end\n")
    with pytest.raises(pylibbpf.ClosedError):
        link.read_text()


def test_attach_gives_links_that_can_be_read(obj):
    done = obj.attach()
    links = {link.name: link for link in done.links}
    # Those that need a map or a cgroup are not attached by SEC() alone.
    assert set(links) == {"tasks", "text", "too_much"}
    assert all(isinstance(link, pylibbpf.IterLink) for link in links.values())
    assert links["text"].read_text().endswith("end\n")
    assert isinstance(obj.programs["tasks"].attach(), pylibbpf.IterLink)


def test_records_named_by_the_user(obj):
    link = obj.programs["tasks"].attach_iter()
    named = list(link.records("struct task_entry", raw=("comm",)))
    assert link.record_type("struct task_entry").rule is Rule.USER
    assert isinstance(named[0].comm, bytes)
    with pytest.raises(ValueError, match="struct task_entr"):
        link.records("struct task_entr")
    text = obj.programs["text"].attach_iter()
    with pytest.raises(TypeError, match="type="):
        text.records()
    # How long the text is depends on what runs: by chance it is so many whole records. Another
    # thread is another line of it.
    ended, said = threading.Event(), ""
    for _ in range(24):
        try:
            list(text.records("struct element"))
        except ValueError as error:
            said = str(error)
            break
        threading.Thread(target=ended.wait, daemon=True).start()
    assert "ends within a record" in said
    ended.set()


def test_one_thread_or_process(obj, sleeper):
    since("6.1", "iterators of one task")
    program = obj.programs["tasks"]

    def read(**limits):
        with program.attach_iter(**limits) as link:
            return [(entry.tgid, entry.pid) for entry in link.records()]

    assert read(pid=sleeper) == [(sleeper, sleeper)]
    assert read(task=sleeper) == [(sleeper, sleeper)]
    pidfd = os.pidfd_open(sleeper)
    try:
        assert read(pidfd=pidfd) == [(sleeper, sleeper)]
    finally:
        os.close(pidfd)
    ready, done = threading.Event(), threading.Event()
    tids = []

    def wait():
        tids.append(threading.get_native_id())
        ready.set()
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        ready.wait()
        me = os.getpid()
        assert read(task=tids[0]) == [(me, tids[0])]
        assert set(read(pid=me)) >= {(me, me), (me, tids[0])}
        with pytest.raises(pylibbpf.BpfError, match="task=") as caught:
            read(pid=tids[0])
        assert caught.value.errno == errno.ESRCH
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("limit", ["task", "pid"])
def test_a_task_that_is_not_there(obj, limit):
    child = subprocess.Popen(["true"])
    child.wait()
    what = {"task": "thread", "pid": "process"}[limit]
    with pytest.raises(pylibbpf.BpfError, match=f"no {what} {child.pid}") as caught:
        obj.programs["tasks"].attach_iter(**{limit: child.pid})
    assert caught.value.errno == errno.ESRCH


def test_a_descriptor_that_is_no_pidfd(obj):
    since("6.1", "iterators of one task")
    with open("/dev/null") as file, pytest.raises(pylibbpf.BpfError) as caught:
        obj.programs["tasks"].attach_iter(pidfd=file)
    assert caught.value.errno == errno.EBADF


def test_the_elements_of_a_map(obj):
    numbers = obj.map("numbers")
    numbers.update({1: 10, 2: 20, 3: 30})
    program = obj.programs["elements"]
    for which in ("numbers", obj.maps["numbers"]):
        with program.attach_iter(which) as link:
            assert {entry.key: entry.value for entry in link.records()} == {1: 10, 2: 20, 3: 30}
            numbers[4] = 40
            assert len(list(link.records())) == 4
        del numbers[4]


def test_maps_that_it_does_not_go_through(obj):
    program = obj.programs["elements"]
    with pytest.raises(pylibbpf.BpfError, match="maps of type queue"):
        program.attach_iter("queue")
    with pytest.raises(pylibbpf.BpfError, match="more of a key or value"):
        program.attach_iter("small")
    with pytest.raises(KeyError, match="did you mean numbers"):
        program.attach_iter("number")
    with pytest.raises(TypeError, match="map="):
        program.attach_iter()
    with pytest.raises(pylibbpf.BpfError, match="attach_iter\\(map="):
        program.attach()


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"map": "numbers"}, "takes no map"),
        ({"cgroup": "/"}, "takes no cgroup"),
        ({"task": 1, "pid": 1}, "not by task and pid"),
        ({"order": "self_only"}, "order is for cgroups"),
    ],
)
def test_limits_that_do_not_fit(obj, limits, said):
    with pytest.raises(TypeError, match=said):
        obj.programs["tasks"].attach_iter(**limits)


def test_numbers_of_tasks_are_positive(obj):
    with pytest.raises(ValueError, match="is from 1 to"):
        obj.programs["tasks"].attach_iter(task=0)
    with pytest.raises(pylibbpf.BpfError, match="no process"):
        obj.programs["tasks"].attach_iter(pid=1 << 40)


def test_more_output_than_there_is_room_for(obj):
    with pytest.raises(pylibbpf.BpfError, match="more at once than") as caught:
        obj.programs["too_much"].attach_iter().read_bytes()
    assert caught.value.errno == errno.E2BIG


def test_cgroups(open_test_object, make_cgroup):
    since("6.1", "iterators over cgroups")
    obj = open_test_object("iterators")
    obj.programs["cgroups"].autoload = True
    obj.load()
    program = obj.programs["cgroups"]
    outer = make_cgroup()
    inner = make_cgroup(outer)
    outer_id, inner_id = outer.stat().st_ino, inner.stat().st_ino

    def read(**limits):
        data = program.attach_iter(**limits).read_bytes()
        return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]

    assert read(cgroup=outer) == [outer_id, inner_id]
    assert read(cgroup=str(outer), order="descendants_post") == [inner_id, outer_id]
    assert read(cgroup_id=outer_id, order="self_only") == [outer_id]
    up = read(cgroup=inner, order=pylibbpf.CgroupIterOrder.ANCESTORS_UP)
    assert up[:2] == [inner_id, outer_id]
    fd = os.open(inner, os.O_RDONLY)
    try:
        assert read(cgroup=fd) == [inner_id]
    finally:
        os.close(fd)
    with pytest.raises(ValueError, match="self_only"):
        program.attach_iter(cgroup=outer, order="sideways")
    with pytest.raises(pylibbpf.BpfError, match="no cgroup") as caught:
        program.attach_iter(cgroup=outer / "nothing")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(pylibbpf.BpfError, match="no cgroup id") as caught:
        program.attach_iter(cgroup_id=(1 << 63) - 1)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(pylibbpf.BpfError, match="attach_iter\\(cgroup="):
        program.attach()


def test_pinned_for_cat(obj, pins):
    path = os.path.join(pins, "tasks")
    with obj.programs["text"].attach_iter() as link:
        link.pin(path)
    assert Path(path).read_text().endswith("end\n")
    with pylibbpf.open_link(path) as again:
        assert isinstance(again, pylibbpf.IterLink)
        assert again.read_text().endswith("end\n")
        with pytest.raises(TypeError, match="not attached here"):
            again.records("struct task_entry")
        again.unpin()


def test_a_forked_child_cannot_read_on(obj):
    link = obj.programs["text"].attach_iter()
    with link.open() as file:
        file.raw.read(1)
        child = os.fork()
        if not child:
            status = 1
            try:
                file.raw.read(1)
            except pylibbpf.ClosedError as error:
                try:
                    link.open()
                except pylibbpf.ClosedError:
                    status = 0 if "parent" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert file.read().endswith(b"end\n")


def test_a_forgotten_reading_is_closed(obj):
    link = obj.programs["text"].attach_iter()
    before = os.listdir("/proc/self/fd")
    link.open()
    assert os.listdir("/proc/self/fd") == before


def test_other_links_cannot_be_read(load_test_object):
    obj = load_test_object("attach")
    link = obj.programs["raw"].attach()
    assert type(link) is pylibbpf.Link
    assert not hasattr(link, "read_text")
