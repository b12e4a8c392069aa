"""Maps that are there already, in place of ones that load would make."""

from __future__ import annotations

import os

import pytest

import pylibbpf

pytestmark = pytest.mark.usefixtures("by_id")


@pytest.fixture
def open_pinned(open_test_object, pins):
    """Open pinned.bpf.o (or pinned_changed) with its pins in a folder of the test."""

    def open_one(name: str = "pinned") -> pylibbpf.Object:
        return open_test_object(name, pin_root_path=pins)

    return open_one


VALUE = {
    "total": 5,
    "at": {"x": 1, "y": 2},
    "color": 2,
    "low": 1,
    "high": 9,
    "name": "x",
}


def test_a_map_pinned_by_name_is_found_again(open_pinned, pins):
    first = open_pinned()
    assert first.maps["kept"].pin_path == f"{pins}/kept"
    first.load()
    first.map("kept")[1] = VALUE
    first.close()
    second = open_pinned()
    second.load()
    assert second.map("kept")[1].total == 5
    second.maps["kept"].unpin()
    assert os.listdir(pins) == []


def test_what_differs_is_said_before_load(open_pinned):
    open_pinned().load()
    other = open_pinned()
    other.maps["kept"].max_entries = 32
    with pytest.raises(pylibbpf.BpfError, match="its max_entries is 16, not 32") as caught:
        other.load()
    assert "remove the pin" in str(caught.value)
    assert caught.value.errno == 22
    # Nothing was tried yet: it can be mended.
    other.maps["kept"].max_entries = 16
    other.load()


def test_each_difference_is_named(open_pinned):
    open_pinned().load()
    other = open_pinned()
    kept = other.maps["kept"]
    kept.key_size = 8
    kept.value_size = 64
    kept.flags = 1
    kept.type = pylibbpf.MapType.LRU_HASH
    with pytest.raises(pylibbpf.BpfError) as caught:
        other.load()
    for said in (
        "its type is hash, not lru_hash",
        "its key size is 4, not 8",
        "its value size is 32, not 64",
        "its flags are 0x0, not 0x1",
    ):
        assert said in str(caught.value)


def test_types_are_compared_not_sizes_alone(open_pinned):
    open_pinned().load()
    changed = open_pinned("pinned_changed")
    with pytest.raises(pylibbpf.BpfError, match=r"value\.at\.y stands where value\.at has x"):
        changed.load()
    path = changed.maps["kept"].pin_path
    changed.maps["kept"].pin_path = None
    changed.maps["kept"].reuse(path, types=False)
    changed.load()


def test_the_same_types_agree(open_pinned):
    open_pinned().load()
    again = open_pinned()
    again.load()
    assert again.maps["kept"].id > 0


def test_reuse_by_map_descriptor_and_path(open_test_object, load_test_object, pins):
    first = load_test_object("maps")
    first.map("hash")[1] = 2
    number = first.maps["hash"].id
    first.maps["hash"].pin(f"{pins}/hash")
    for source in (first.maps["hash"], first.maps["hash"].fd, f"{pins}/hash"):
        second = open_test_object("maps")
        second.maps["hash"].reuse(source)
        second.load()
        assert second.maps["hash"].id == number
        assert second.map("hash")[1] == 2
        second.close()
        assert first.map("hash")[1] == 2


def test_reuse_of_global_data(open_test_object, run):
    first = open_test_object("pinned")
    first.maps["kept"].pin_path = None
    first.load()
    run(first, "touch", 0)
    second = open_test_object("pinned")
    second.maps["kept"].pin_path = None
    second.maps[".bss"].reuse(first.maps[".bss"])
    second.load()
    run(second, "touch", 0)
    assert first.globals["counter"] == second.globals["counter"] == 2


def test_reuse_refuses_what_does_not_fit(open_test_object, load_test_object, pins):
    first = load_test_object("maps")
    second = open_test_object("maps")
    with pytest.raises(pylibbpf.BpfError, match="its value size is 4, not 8"):
        second.maps["hash"].reuse(first.maps["small"])
    with pytest.raises(pylibbpf.BpfError, match="nothing is pinned"):
        second.maps["hash"].reuse(f"{pins}/none")
    with pytest.raises(TypeError, match="a map, a descriptor or a path"):
        second.maps["hash"].reuse(None)
    with pytest.raises(pylibbpf.BpfError, match="until load only"):
        first.maps["hash"].reuse(first.maps["small"])


def test_a_program_is_pinned_where_the_map_is_to_be(open_pinned, load_test_object, pins):
    load_test_object("maps").programs["add"].pin(f"{pins}/kept")
    with pytest.raises(pylibbpf.BpfError, match="a program, no map"):
        open_pinned().load()
