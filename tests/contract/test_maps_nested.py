"""Maps of maps."""

from __future__ import annotations

import errno
import gc
import warnings

import pytest

import pylibbpf
from pylibbpf.uapi.flags import BPF_F_INNER_MAP


@pytest.fixture
def obj(load_test_object):
    return load_test_object("nested")


def test_what_libbpf_put_in(obj, run):
    windows = obj.map("windows")
    assert isinstance(windows, pylibbpf.ArrayOfMaps)
    assert sorted(windows) == [0, 2]
    assert len(windows) == 2
    assert windows.map_ids() == {0: obj.map("first").id, 2: obj.map("second").id}
    assert windows.map_id(2) == obj.map("second").id
    assert run(obj, "bump", 2, 1) == 1
    assert run(obj, "bump", 2, 1) == 2
    assert windows[2][1] == obj.map("second")[1] == 2
    windows[0][3] = 41
    assert run(obj, "bump", 0, 3) == 42
    with pytest.raises(KeyError):
        windows[1]
    with pytest.raises(KeyError):
        windows[4]
    assert 1 not in windows
    assert 4 not in windows
    assert 0 in windows


def test_replace_and_empty(obj, run):
    windows = obj.map("windows")
    windows[1] = obj.map("first")
    assert run(obj, "bump", 1, 0) == 1
    assert obj.map("first")[0] == 1
    del windows[1]
    assert run(obj, "bump", 1, 0) == 2**32 - 1
    with pytest.raises(KeyError):
        del windows[1]
    windows.clear()
    assert len(windows) == 0


def test_inner_maps_of_the_declared_type(obj, run):
    tenants = obj.map("tenants")
    assert isinstance(tenants, pylibbpf.HashOfMaps)
    with tenants.create_inner() as made:
        assert isinstance(made, pylibbpf.HashMap)
        assert made.max_entries == 8
        made[(1, 80, 2)] = {"hits": 5, "name": "five"}
        tenants[77] = made
    assert made.closed
    # It stays in the map of maps, and is read with its types.
    found = tenants[77]
    ((key, value),) = found.items()
    assert (key.host, key.port, key.family) == (1, 80, 2)
    assert (value.hits, value.name) == (5, "five")
    assert run(obj, "hit", 77, 1) == 6
    assert run(obj, "hit", 77, 2) == 0
    assert found[(2, 80, 2)].name == "fresh"
    assert {value.name for value in tenants[77].values()} == {"five", "fresh"}
    assert {key.host for key in tenants[77]} == {1, 2}
    assert run(obj, "hit", 78, 1) == 2**32 - 1
    assert list(tenants) == [77]
    assert [len(each) for each in tenants.values()] == [2]
    taken = tenants.pop(77)
    assert len(taken) == 2
    assert len(tenants) == 0
    assert tenants.pop(77, None) is None
    with pytest.raises(KeyError):
        tenants.pop(77)


def test_inner_maps_of_other_sizes(obj, run):
    windows = obj.map("windows")
    assert windows.inner.flags == BPF_F_INNER_MAP
    with windows.create_inner(max_entries=100, name="wide") as wide:
        assert (wide.name, len(wide)) == ("wide", 100)
        wide[99] = 5
        windows[3] = wide
        assert run(obj, "bump", 3, 99) == 6
    assert len(windows[3]) == 100


def test_an_inner_map_that_does_not_fit(obj):
    with pylibbpf.create_map("hash", "u32", "u64", 8) as other:
        with pytest.raises(pylibbpf.BpfError, match="differs from the template") as caught:
            obj.map("windows")[1] = other
        assert caught.value.errno == errno.EINVAL
    for wrong in ("first", None, object()):
        with pytest.raises(TypeError, match="a map is wanted"):
            obj.map("windows")[1] = wrong
    with pytest.raises(pylibbpf.BpfError) as caught:
        obj.map("windows")[1] = 0  # the test's standard input is no map
    assert caught.value.errno in (errno.EINVAL, errno.EBADF)


def test_the_declared_type(open_test_object):
    obj = open_test_object("nested")
    inner = obj.map("tenants").inner
    assert (inner.type, inner.key_size, inner.value_size) == (pylibbpf.MapType.HASH, 8, 16)
    inner.max_entries = 3
    assert obj.map("tenants").inner.max_entries == 3
    with pytest.raises(AttributeError):
        inner.nothing = 3
    with pytest.raises(AttributeError):
        _ = inner.nothing
    obj.load()
    with obj.map("tenants").create_inner() as made:
        assert made.max_entries == 3
    with pytest.raises(pylibbpf.BpfError, match="until load") as caught:
        inner.max_entries = 4
    assert caught.value.errno == errno.EBUSY
    assert inner.max_entries == 3


def test_a_template_where_none_is_declared(open_test_object):
    obj = open_test_object("undeclared")
    outer = obj.map("outer")
    assert not outer._handle.inner.declared
    with pylibbpf.create_map("array", value="u64", max_entries=2) as template:
        outer.set_inner(template)
        obj.load()
        outer[5] = template
        template[1] = 2**40
        # The object does not know the type of what is in it: bytes.
        assert outer[5][1] == (2**40).to_bytes(8, "little")
        with outer.create_inner() as made:
            outer[6] = made
        assert sorted(outer) == [5, 6]
        with pytest.raises(pylibbpf.BpfError, match="until load"):
            outer.set_inner(template)
    with pytest.raises(TypeError, match="template is a map"):
        outer.set_inner(3)


def test_without_a_template(open_test_object):
    obj = open_test_object("undeclared")
    with pytest.raises(pylibbpf.NotSupportedError, match="does not declare"):
        obj.map("outer").create_inner()
    with pytest.raises(pylibbpf.BpfError, match="set_inner") as caught:
        obj.load()
    assert caught.value.errno in (errno.EINVAL, errno.EBADF)


def test_handles_of_inner_maps_close_by_themselves(obj):
    windows = obj.map("windows")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert windows[0][1] == 0
        gc.collect()
    # Not before whoever goes through their entries is done, be it that nobody else has them.
    assert sum(windows[0].values()) == 0
    assert len(dict(windows[0].items())) == len([*windows[0]]) == 4
    entries = windows[0].items().__iter__()
    gc.collect()
    assert len([*entries]) == 4
    found = windows[0]
    found.close()
    found.close()
    with pytest.raises(pylibbpf.ClosedError, match="closed"):
        found[1]
    assert windows[0][1] == 0


def test_inner_maps_outlive_the_object(load_test_object):
    obj = load_test_object("nested")
    found = obj.map("windows")[0]
    found[1] = 4
    obj.close()
    assert found[1] == 4
    found.close()
