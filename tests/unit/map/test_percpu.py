"""Values of all CPUs together."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.btf.record import make_enumeration, make_record
from pylibbpf.map.percpu import PerCpu, decoder

Tally = make_record("struct tally", ("count", "unit", "parts"))
Unit = make_enumeration("unit", [("PACKETS", 1), ("BYTES", 2)])


@given(st.lists(st.tuples(st.integers(), st.tuples(st.integers(), st.integers())), min_size=1))
def test_field_by_field(cpus):
    value = PerCpu(Tally(count, Unit.BYTES, parts) for count, parts in cpus)
    columns = list(zip(*[(count, *parts) for count, parts in cpus], strict=True))
    for how in (sum, max, min):
        found = getattr(value, how.__name__)()
        assert type(found) is Tally
        assert found == (how(columns[0]), Unit.BYTES, (how(columns[1]), how(columns[2])))
        assert found.unit is Unit.BYTES


def test_what_is_no_number_must_be_the_same():
    value = PerCpu((Tally(1, Unit.BYTES, ("a",)), Tally(2, Unit.BYTES, ("b",))))
    with pytest.raises(TypeError, match=r"parts\.\[0\] is str, not a number, and differs by CPU"):
        value.sum()
    value = PerCpu((Tally(1, Unit.BYTES, ()), Tally(2, Unit.PACKETS, ())))
    with pytest.raises(TypeError, match="unit is unit"):
        value.max()


def test_it_is_a_tuple():
    value = PerCpu((1, 2))
    assert value == (1, 2)
    assert hash(value) == hash((1, 2))
    assert value[1] == 2
    for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert twin == value
        assert type(twin) is PerCpu


@pytest.mark.parametrize(
    ("scalar", "size", "stride", "data", "expected"),
    [
        ("Q", 8, 8, bytes([1, *bytes(7), 2, *bytes(7)]), (1, 2)),
        ("h", 2, 8, b"\xff\xff" + b"\x55" * 6 + b"\1\0" + b"\x55" * 6, (-1, 1)),
        (None, 3, 8, b"abc" + bytes(5) + b"def" + bytes(5), (b"abc", b"def")),
    ],
)
def test_decoder(scalar, size, stride, data, expected):
    found = decoder(bytes, scalar, 2, stride, size)(data)
    assert found == expected
    assert type(found) is PerCpu
