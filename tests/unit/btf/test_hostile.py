"""Any bytes at all: an answer or a BtfError, and in time."""

from __future__ import annotations

import random
import struct
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pylibbpf.btf.c_dump import c_header
from pylibbpf.btf.codec import codec, to_json
from pylibbpf.btf.diff import diff
from pylibbpf.btf.parse import Btf
from pylibbpf.errors import BtfError

# No deadline: machines differ. An endless loop would be killed by whoever runs the tests.
calm = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def exercise(data: bytes) -> None:
    """Ask for everything there is to know. What a type gives must survive writing and reading."""
    try:
        btf = Btf(data)
    except BtfError:
        return
    for name in ("", "int", "event"):
        btf.find(name)
    for ask in (c_header, lambda btf: list(diff(btf, Btf.from_types([])))):
        try:
            ask(btf)
        except BtfError:
            pass
    rng = random.Random(len(data))
    for type_id in range(len(btf)):
        for ask in (btf.kind, btf.type, btf.strip, btf.sizeof, btf.alignof, btf.c_name):
            try:
                ask(type_id)
            except BtfError:
                pass
        try:
            made = codec(btf, type_id)
        except BtfError:
            continue
        if made.size <= 1 << 16:
            value = made.decode(rng.randbytes(made.size))
            again = made.decode(made.encode(value))
            assert again == value or repr(again) == repr(value)  # a NaN is not equal to itself
            to_json(value)


@calm
@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    exercise(data)


@calm
@given(st.binary(max_size=300), st.binary(max_size=60))
def test_random_types_behind_a_good_header(types: bytes, strings: bytes) -> None:
    strings = b"\0" + strings + b"\0"
    sizes = (0, len(types), len(types), len(strings))
    exercise(struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + types + strings)


WORDS = st.one_of(
    st.integers(0, 40),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([1 << 31, 0xFFFFFFFF, 0xFFFF, 4 << 24 | 2, 3 << 24, 8 << 24, 5 << 24 | 3]),
)


@st.composite
def type_sections(draw: st.DrawFn) -> bytes:
    """Types of known kinds with ids, sizes and offsets out of a small range or out of any."""
    small = st.one_of(st.integers(0, 12), st.sampled_from([0, 8, 16, 32, 64, 0xFFFFFFFF, 1 << 31]))
    words: list[int] = []
    for _ in range(draw(st.integers(1, 12))):
        kind, vlen = draw(st.integers(1, 19)), draw(st.integers(0, 4))
        fixed = {1: 1, 3: 3, 14: 1, 17: 1}.get(kind, 0)
        each = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}.get(kind, 0)
        count = 1 + fixed + each * vlen
        info = draw(st.booleans()) << 31 | kind << 24 | vlen
        words += [draw(st.integers(0, 8)), info, *(draw(small) for _ in range(count))]
    return struct.pack(f"<{len(words)}I", *words)


@calm
@given(type_sections())
def test_types_that_are_almost_right(types: bytes) -> None:
    strings = b"\0a\0b\0char\0"
    sizes = (0, len(types), len(types), len(strings))
    exercise(struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + types + strings)


@calm
@given(data=st.data())
def test_real_btf_with_damage(real_btf: list[bytes], data: Any) -> None:
    blob = bytearray(data.draw(st.sampled_from(real_btf)))
    for _ in range(data.draw(st.integers(1, 4))):
        offset = data.draw(st.integers(0, len(blob) // 4 - 1)) * 4
        struct.pack_into("<I", blob, offset, data.draw(WORDS))
    exercise(bytes(blob[: data.draw(st.integers(len(blob) // 2, len(blob)))]))
    exercise(bytes(blob))


def test_real_btf_as_it_is(real_btf: list[bytes]) -> None:
    for blob in real_btf:
        exercise(blob)


def test_every_place_to_cut_real_btf(real_btf: list[bytes]) -> None:
    blob = min(real_btf, key=len)
    for size in range(len(blob)):
        exercise(blob[:size])


def test_a_split_btf_refers_to_ids_beyond_both(real_btf: list[bytes]) -> None:
    base = Btf(real_btf[0])
    for other in real_btf:
        try:  # not a split BTF: its ids mean other types of the base, or none
            split = Btf(other, base)
        except BtfError:
            continue
        for type_id in range(len(split)):
            try:
                codec(split, type_id)
            except BtfError:
                pass
