"""Pins of maps, programs and whole objects, and why a path may not be one."""

from __future__ import annotations

import gc
import os

import pytest

import pylibbpf

pytestmark = pytest.mark.usefixtures("by_id")


@pytest.fixture
def maps(load_test_object):
    return load_test_object("maps")


def test_a_pinned_map_is_the_same_map(maps, pins):
    counts = maps.map("hash")
    counts[1] = 10
    counts.pin(f"{pins}/counts")
    assert counts.pin_path == f"{pins}/counts"
    with pylibbpf.open_map(f"{pins}/counts") as again:
        assert again.id == counts.id
        assert again[1] == 10
        again[2] = 20
    assert counts[2] == 20
    counts.unpin()
    assert counts.pin_path is None
    assert os.listdir(pins) == []


def test_a_map_without_a_path(maps):
    with pytest.raises(ValueError, match="no pin_path"):
        maps.maps["hash"].pin()
    with pytest.raises(ValueError, match="no pin_path"):
        maps.maps["hash"].unpin()


def test_pin_path_before_load(open_test_object, pins):
    obj = open_test_object("maps")
    obj.maps["hash"].pin_path = f"{pins}/hash"
    obj.load()
    obj.map("hash")[5] = 6
    assert os.listdir(pins) == ["hash"]
    obj.maps["hash"].unpin()
    obj.maps["hash"].pin_path = f"{pins}/again"
    obj.maps["hash"].pin()
    assert os.listdir(pins) == ["again"]


def test_a_pinned_program(load_test_object, pins, run):
    obj = load_test_object("maps")
    program = obj.programs["add"]
    program.pin(f"{pins}/add")
    with pylibbpf.open_program(f"{pins}/add") as again:
        assert again.id == program.id
        assert again.type is pylibbpf.ProgType.RAW_TRACEPOINT
        assert again.name == "add"
        again.test_run(ctx=(7).to_bytes(8, "little") + (3).to_bytes(32, "little"))
    assert obj.map("hash")[7] == 3
    program.unpin(f"{pins}/add")
    with pytest.raises(pylibbpf.BpfError, match="nothing is pinned at"):
        pylibbpf.open_program(f"{pins}/add")


def test_info_of_a_program(load_test_object):
    obj = load_test_object("maps")
    found = obj.programs["add"].info()
    used = {obj.maps[name].id for name in ("hash", "percpu_hash", "percpu_array")}
    assert used <= set(found.map_ids)  # and constants, where libbpf binds them
    assert len(found.tag) == 16
    assert found.gpl_compatible
    assert found.uid == os.geteuid()
    assert found.xlated_len > 0
    assert found.memory > 0
    assert found.load_time_ns > 0


def test_info_of_a_map(maps):
    found = maps.maps["hash"].info()
    assert (found.type, found.key_size, found.value_size) == (pylibbpf.MapType.HASH, 4, 8)
    assert (found.max_entries, found.name, found.frozen) == (1024, "hash", False)
    assert found.memory == maps.maps["hash"].memory > 1024 * 12
    assert found.btf_id > 0


def test_runs_are_counted_inside_run_stats(load_test_object, run):
    obj = load_test_object("maps")
    program = obj.programs["add"]
    link = program.attach_raw_tracepoint("sys_enter")
    with pylibbpf.run_stats() as stats:
        for _ in range(5):
            os.getppid()
        during = program.info().run_count
    assert during >= 5
    assert program.info().run_time_ns > 0
    stats.close()  # again
    link.close()


# ---- whole objects


def test_pin_and_unpin_an_object(load_test_object, pins):
    obj = load_test_object("attach")
    folder = f"{pins}/tool"
    paths = obj.pin(folder)
    assert paths["events"] == f"{folder}/events"
    assert set(os.listdir(folder)) == {"events", "_bss", "_rodata", "raw", "getpgid", "unhooked"}
    with pylibbpf.open_map(f"{folder}/_rodata") as constants:
        assert constants.info().frozen
    obj.unpin(folder)
    assert os.listdir(pins) == []
    obj.unpin(folder)  # nothing is there: nothing to do


def test_an_object_is_pinned_whole_or_not_at_all(load_test_object, pins):
    obj = load_test_object("attach")
    os.mkdir(f"{pins}/tool")
    other = load_test_object("maps")
    other.programs["add"].pin(f"{pins}/tool/raw")
    with pytest.raises(pylibbpf.BpfError, match=r"pinned at .*/raw already"):
        obj.pin(f"{pins}/tool")
    assert os.listdir(f"{pins}/tool") == ["raw"]
    with pytest.raises(pylibbpf.BpfError, match="another program is pinned"):
        obj.unpin(f"{pins}/tool")


# ---- where nothing can be pinned


def refused(act) -> pylibbpf.BpfError:
    with pytest.raises(pylibbpf.BpfError) as caught:
        act()
    return caught.value


def test_a_path_that_cannot_be(maps, pins, tmp_path):
    counts = maps.maps["hash"]
    assert "not on a BPF file system" in str(refused(lambda: counts.pin(tmp_path / "counts")))
    assert f"no folder {pins}/none" in str(refused(lambda: counts.pin(f"{pins}/none/counts")))
    assert "has no dot" in str(refused(lambda: counts.pin(f"{pins}/my.counts")))
    counts.pin(f"{pins}/counts")
    error = refused(lambda: counts.pin(f"{pins}/counts"))
    assert "already" in str(error)
    assert (error.operation, error.object) == ("pin map", "hash")
    with pytest.raises(ValueError, match="NUL"):
        counts.pin(f"{pins}/a\0b")


def test_a_path_that_load_cannot_pin_to(open_test_object, pins, tmp_path):
    for path, why in (
        (f"{tmp_path}/hash", "not on a BPF file system"),
        (f"{pins}/my.hash", "has no dot"),
    ):
        obj = open_test_object("maps")
        obj.maps["hash"].pin_path = path
        error = refused(obj.load)
        assert why in str(error)
        assert (error.operation, error.object) == ("pin map", "hash")
    assert os.listdir(pins) == []


def test_what_is_pinned_is_of_another_kind(maps, pins):
    maps.maps["hash"].pin(f"{pins}/hash")
    maps.programs["add"].pin(f"{pins}/add")
    for opener, path, what in (
        (pylibbpf.open_program, "hash", "a map, no program"),
        (pylibbpf.open_link, "hash", "a map, no link"),
        (pylibbpf.open_map, "add", "a program, no map"),
    ):
        gc.collect()  # what other tests left is not ours
        before = len(os.listdir("/proc/self/fd"))
        assert what in str(refused(lambda o=opener, p=path: o(f"{pins}/{p}")))
        assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_not_pinned(pins, tmp_path):
    assert "nothing is pinned" in str(refused(lambda: pylibbpf.open_map(f"{pins}/none")))
    assert "no folder" in str(refused(lambda: pylibbpf.open_map(f"{pins}/a/b")))
    (tmp_path / "file").touch()
    assert "BPF file system" in str(refused(lambda: pylibbpf.open_map(tmp_path / "file")))
    with pytest.raises(TypeError, match="a path or an id"):
        pylibbpf.open_map(1.5)
