"""Maps, programs and links that belong to no object."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import pylibbpf

pytestmark = pytest.mark.usefixtures("by_id")


@pytest.fixture
def maps(load_test_object):
    return load_test_object("maps")


def test_by_id(maps):
    with pylibbpf.open_map(maps.maps["records"].id) as records:
        assert isinstance(records, pylibbpf.HashMap)
        records[{"pid": 3, "name": "x"}] = {
            "total": 1,
            "last": 2,
            "state": 7,
            "seen": True,
            "mac": b"abcdef",
            "ports": (1, 2),
        }
        (value,) = records.values()
        assert value.state.name == "DONE"
        assert value.mac == b"abcdef"
    with pylibbpf.open_program(maps.programs["put"].id) as program:
        assert program.info().name == "put"
    link = maps.programs["put"].attach_raw_tracepoint("sys_enter")
    with pylibbpf.open_link(link.id) as again:
        assert again.info() == link.info()
        assert again.fd != link.fd


def test_raw(maps):
    with pylibbpf.open_map(maps.maps["hash"].id, raw=True) as raw:
        raw[b"\1\0\0\0"] = b"\2" + bytes(7)
    assert maps.map("hash")[1] == 2


def test_per_cpu_and_queue(maps):
    cpus = maps.map("percpu_hash")._handle.cpus
    with pylibbpf.open_map(maps.maps["percpu_hash"].id) as opened:
        opened[4] = [1] * cpus
    assert maps.map("percpu_hash")[4] == (1,) * cpus
    with pylibbpf.open_map(maps.maps["queue"].id) as queue:
        assert isinstance(queue, pylibbpf.QueueMap)
        queue.push(b"abcd")  # the kernel keeps no BTF of a queue's values
    assert maps.map("queue").pop() == int.from_bytes(b"abcd", "little")


def test_what_there_is(maps):
    wanted = {maps.maps["hash"].id, maps.maps["queue"].id}
    assert wanted <= set(pylibbpf.maps())
    assert maps.programs["add"].id in set(pylibbpf.programs())
    link = maps.programs["add"].attach_raw_tracepoint("sys_enter")
    number = link.id
    assert number in set(pylibbpf.links())
    link.close()
    # The kernel lets go of a link when nobody can be inside of it any more.
    for _ in range(200):
        if number not in set(pylibbpf.links()):
            break
        threading.Event().wait(0.02)
    assert number not in set(pylibbpf.links())


def test_ids_that_are_not_there(bpf):
    for opener in (pylibbpf.open_map, pylibbpf.open_program, pylibbpf.open_link):
        with pytest.raises(pylibbpf.BpfError, match="id") as caught:
            opener(0x7FFFFFFF)
        assert caught.value.errno == 2
        with pytest.raises(ValueError, match="an id is"):
            opener(0)


def test_its_definition_is_told_and_cannot_be_set(maps):
    with pylibbpf.open_map(maps.maps["hash"].id) as found:
        assert (found.type, found.key_size, found.max_entries) == (pylibbpf.MapType.HASH, 4, 1024)
        with pytest.raises(pylibbpf.BpfError):
            found.max_entries = 3
    with pylibbpf.open_program(maps.programs["add"].id) as program:
        assert program.autoload
        with pytest.raises(pylibbpf.BpfError, match="until load"):
            program.type = 3
        with pytest.raises(pylibbpf.NotSupportedError, match="opened by itself"):
            program.attach()
        with pytest.raises(pylibbpf.NotSupportedError, match="does not tell"):
            program.instructions()


def test_closed_ones_say_so(maps):
    opened = pylibbpf.open_map(maps.maps["hash"].id)
    opened.close()
    opened.close()
    with pytest.raises(pylibbpf.ClosedError):
        opened[1]
    with pytest.raises(pylibbpf.ClosedError):
        opened.info()
    program = pylibbpf.open_program(maps.programs["add"].id)
    program.close()
    program.close()
    with pytest.raises(pylibbpf.ClosedError):
        program.info()


def test_they_live_on_without_their_object(load_test_object):
    obj = load_test_object("maps")
    opened = pylibbpf.open_map(obj.maps["hash"].id)
    obj.close()
    opened[1] = 5
    assert dict(opened) == {1: 5}
    opened.close()


def forget(opener) -> None:
    opener()
    gc.collect()


def test_a_forgotten_one_warns_and_is_closed(maps):
    number = maps.maps["hash"].id
    gc.collect()  # what other tests left is not ours
    before = len(os.listdir("/proc/self/fd"))
    for opener, what in (
        (lambda: pylibbpf.open_map(number), "map"),
        (lambda: pylibbpf.open_program(maps.programs["add"].id), "program"),
    ):
        with pytest.warns(ResourceWarning, match=f"unclosed {what}"):
            forget(opener)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_thousand_leave_nothing(maps):
    gc.collect()  # what other tests left is not ours
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(300):
        with pylibbpf.open_map(maps.maps["hash"].id) as opened:
            opened[1] = 1
        with pylibbpf.open_program(maps.programs["add"].id):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_in_a_forked_child_they_are_closed(maps):
    opened = pylibbpf.open_map(maps.maps["hash"].id)
    program = pylibbpf.open_program(maps.programs["add"].id)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        for ask in (lambda: opened[1], program.info):
            try:
                ask()
            except pylibbpf.ClosedError as error:
                said.append("parent" in str(error))
        os.write(write, str(said).encode())
        os._exit(0)
    os.close(write)
    with open(read) as file:
        assert file.read() == "[True, True]"
    os.waitpid(pid, 0)
    opened[1] = 2
    opened.close()
    assert program.info().name == "add"
    program.close()


UNPRIVILEGED = """
    import os, sys, pylibbpf
    for ask in (lambda: list(pylibbpf.maps()), lambda: list(pylibbpf.links()),
                lambda: pylibbpf.open_map(1), lambda: pylibbpf.run_stats()):
        try:
            ask()
        except pylibbpf.BpfPermissionError as error:
            print("CAP_SYS_ADMIN" in str(error), error)
        else:
            print("no error")
"""


def test_without_the_capability_for_ids_it_is_named(bpf):
    """As a process with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN only."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to drop all capabilities but three")
    caps = "-all,+bpf,+perfmon,+net_admin,+dac_override"
    done = subprocess.run(
        ["setpriv", f"--bounding-set={caps}", sys.executable, "-c", textwrap.dedent(UNPRIVILEGED)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("True") for line in lines), done.stdout


TYPES = """
    import sys, pylibbpf
    with pylibbpf.open_map(sys.argv[1], raw=True) as raw:
        print(len(raw), raw.fd > 0)
    with pylibbpf.open_map(sys.argv[1]) as typed:
        try:
            typed[1]
        except pylibbpf.BpfPermissionError as error:
            print("CAP_SYS_ADMIN" in str(error), *error.__notes__)
"""


def test_without_the_capability_for_types_raw_does(maps, pins):
    if os.geteuid() != 0:
        pytest.skip("needs root, to drop all capabilities but three")
    maps.maps["hash"].pin(f"{pins}/hash")
    caps = "-all,+bpf,+perfmon,+net_admin,+dac_override"
    done = subprocess.run(
        [
            *("setpriv", f"--bounding-set={caps}", sys.executable, "-c", textwrap.dedent(TYPES)),
            f"{pins}/hash",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[0] == "0 True", done.stderr
    assert done.stdout.splitlines()[1].startswith("True"), done.stdout
    assert "raw=True" in done.stdout
