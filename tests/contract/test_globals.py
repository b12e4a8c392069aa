"""Global variables: every section, every type, before and after load."""

from __future__ import annotations

import errno

import pytest

import pylibbpf


@pytest.fixture
def obj(open_test_object):
    return open_test_object("globals")


def test_initial_values(obj):
    g = obj.globals
    assert g["limit"] == 10
    assert g["offset"] == -7
    assert g["enabled"] is True
    assert g["color"].name == "GREEN"
    assert g["prefix"] == "pre"
    assert (g["origin"].x, g["origin"].y) == (3, -4)
    assert g["ports"] == (22, 80, 443)
    assert g["d_u8"] == 200
    assert g["d_s8"] == -100
    assert g["d_u64"] == 0xFEDCBA9876543210
    assert g["d_s64"] == -0x7000000000000000
    assert g["d_u128"] == 2**100 + 1
    assert g["d_s128"] == -5
    assert g["d_double"] == 1.5
    assert g["d_float"] == -0.25
    assert g["d_bool"] is True
    assert g["d_char"] == ord("x")
    assert g["d_big"] == 0x123456789ABCDEF0
    assert g["d_big"].name == "BIG_ONE"
    assert g["d_counter"] == 42
    assert g["d_keywords"].class_ == 5
    assert g["d_keywords"].from_ == 6
    assert g["d_text"] == "data"
    assert g["d_bytes"] == b"\1\2\3\4"
    assert g["d_grid"] == ((1, 2, 3), (4, 5, 6))
    assert g["d_names"] == ("ab", "cd")
    assert g["d_hidden"] == 77
    assert g["runs"] == 0
    assert g["said"] == ""
    assert g["custom"] == 5
    assert g["custom_limit"] == 6
    shape = g["d_shape"]
    assert shape.id == 9
    assert (shape.at.x, shape.at.y) == (1, 2)
    assert [corner.x for corner in shape.corners] == [3, 5]
    assert shape.color.name == "BLUE"
    assert shape.word == 0x04030201
    assert shape.bytes == b"\1\2\3\4"
    assert (shape.low, shape.high, shape.wide) == (5, -2, 1025)


def test_set_before_load_and_read_after(obj, run):
    g = obj.globals
    g["limit"] = 100
    g["prefix"] = "hello"
    g["origin"] = (10, 20)
    g["color"] = g["color"].__class__["RED"]
    g["ports"] = [1, 2, 3]
    g["custom_limit"] = 1000
    g["d_shape"] = g["d_shape"]._replace(at={"x": 5, "y": 6})
    obj.load()
    assert run(obj, "run") == 1 + 3
    assert g["runs"] == 1
    assert g["result"] == 100 - 7 + 5 + 1000
    assert (g["moved"].x, g["moved"].y) == (15, 26)
    assert g["said"] == "hello"
    assert g["custom"] == 6
    assert g["d_hidden"] == 78
    assert g["limit"] == 100
    assert g["LINUX_KERNEL_VERSION"] == g["kernel_version"] > 5 << 16


def test_live_after_load(obj, run):
    obj.load()
    g = obj.globals
    g["runs"] = 41
    g["custom"] = 1
    g["d_u64"] = 7
    run(obj, "run")
    assert g["runs"] == 42
    assert g["custom"] == 2
    assert g["d_u64"] == 8


def test_constants_are_fixed_by_load(obj):
    obj.load()
    for name in ("limit", "custom_limit", "LINUX_KERNEL_VERSION"):
        with pytest.raises(pylibbpf.BpfError, match="only") as caught:
            obj.globals[name] = 1
        assert caught.value.errno == errno.EPERM
        assert isinstance(obj.globals[name], int)


def test_wrong_values(obj):
    g = obj.globals
    with pytest.raises(OverflowError):
        g["limit"] = 2**32
    with pytest.raises(OverflowError):
        g["d_s8"] = -129
    with pytest.raises(TypeError):
        g["limit"] = "10"
    with pytest.raises(ValueError, match="16"):
        g["prefix"] = "x" * 17
    with pytest.raises(TypeError):
        g["origin"] = 5
    with pytest.raises(KeyError, match="did you mean limit"):
        g["limt"]
    with pytest.raises(TypeError):
        del g["limit"]
    assert g["limit"] == 10


def test_mapping(obj):
    names = set(obj.globals)
    assert {"limit", "runs", "custom", "d_shape"} <= names
    assert len(obj.globals) == len(names)
    assert "limit" in obj.globals
    assert "nothing" not in obj.globals
    assert set(obj.globals.section(".bss")) >= {"runs", "result", "moved", "said", "blank"}
