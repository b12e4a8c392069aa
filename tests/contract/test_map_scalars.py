"""Maps of plain numbers, for which engines have quicker calls: the same answers all the same."""

from __future__ import annotations

from fractions import Fraction

import pytest

import pylibbpf

RANGES = {
    "u32_u64": ((0, 2**32 - 1), (0, 2**64 - 1)),
    "s32_s64": ((-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)),
    "u64_u32": ((0, 2**64 - 1), (0, 2**32 - 1)),
    "s64_s32": ((-(2**63), 2**63 - 1), (-(2**31), 2**31 - 1)),
    "u16_u8": ((0, 2**16 - 1), (0, 2**8 - 1)),
}
# What the kernel engine's quick lookup gives where there is nothing (shim/scalars.c).
ODD = 0x9E3779B97F4A7C15


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_every_range(load_test_object, name):
    numbers = load_test_object("scalars").map(name)
    keys, values = RANGES[name]
    for key, value in zip(keys, values, strict=True):
        numbers[key] = value
        assert numbers[key] == value
    assert dict(numbers.items()) == dict(zip(keys, values, strict=True))


@pytest.mark.parametrize("name", RANGES)
def test_numbers_that_do_not_fit(load_test_object, name):
    numbers = load_test_object("scalars").map(name)
    numbers[1] = 1
    (low, high), (least, most) = RANGES[name]
    for key in (low - 1, high + 1):
        with pytest.raises(OverflowError, match=str(key)):
            numbers[key]
        with pytest.raises(OverflowError, match=str(key)):
            numbers[key] = 1
    for value in (least - 1, most + 1):
        with pytest.raises(OverflowError, match=str(value)):
            numbers[1] = value
    for other in ("1", 1.0, Fraction(3, 2), None):
        with pytest.raises(TypeError):
            numbers[other]
        with pytest.raises(TypeError):
            numbers[1] = other
    assert dict(numbers.items()) == {1: 1}


def test_a_value_that_looks_like_none(load_test_object):
    obj = load_test_object("scalars")
    unsigned, signed = obj.map("u32_u64"), obj.map("s32_s64")
    unsigned[1], signed[1] = ODD, ODD - 2**64
    assert (unsigned[1], signed[1]) == (ODD, ODD - 2**64)


def test_what_is_not_there(load_test_object):
    obj = load_test_object("scalars")
    for name in RANGES:
        numbers = obj.map(name)
        for _ in range(2):  # the first use of a map makes its calls, the second has them
            with pytest.raises(KeyError):
                numbers[3]
    array = obj.map("array")
    array[3] = -5
    assert array[3] == -5
    with pytest.raises((KeyError, IndexError)):
        array[4]


def test_a_map_that_is_full_or_closed(load_test_object):
    obj = load_test_object("scalars")
    numbers = obj.map("u32_u64")
    for key in range(4):
        numbers[key] = key
    with pytest.raises(pylibbpf.BpfError, match="full"):
        numbers[4] = 4
    obj.close()
    with pytest.raises(pylibbpf.ClosedError):
        numbers[0]
    with pytest.raises(pylibbpf.ClosedError):
        numbers[0] = 1


def test_per_cpu_maps_have_a_value_for_each_cpu(load_test_object):
    percpu = load_test_object("scalars").map("percpu")
    cpus = len(percpu.setdefault(1, [0] * percpu._handle.cpus))
    percpu[1] = range(cpus)
    assert list(percpu[1]) == list(range(cpus))
