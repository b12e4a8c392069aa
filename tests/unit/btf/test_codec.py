"""Bytes into values and back: every shape, wrong values, short data."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from pylibbpf.btf.codec import Codec, codec
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.record import Record
from pylibbpf.btf.types import (
    Array,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    Member,
    Ptr,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)
from pylibbpf.errors import BtfError

U32, U8, CHAR, U64, S32, BOOL, S8, U128, S128, DOUBLE = range(1, 11)
BASE: list[Type] = [
    Int("unsigned int", 4, 32),
    Int("unsigned char", 1, 8),
    Int("char", 1, 8, signed=True),
    Int("unsigned long long", 8, 64),
    Int("int", 4, 32, signed=True),
    Int("_Bool", 1, 8, bool=True),
    Int("signed char", 1, 8, signed=True),
    Int("unsigned __int128", 16, 128),
    Int("__int128", 16, 128, signed=True),
    Float("double", 8),
]
NEXT = len(BASE) + 1


def make(*types: Type, raw: tuple[str, ...] = ()) -> Codec:
    """The codec of the last type; the first gets the id NEXT."""
    return codec(Btf.from_types([*BASE, *types]), NEXT + len(types) - 1, raw=raw)


def struct_of(*members: tuple[str, int, int], size: int, name: str = "event") -> Struct:
    """Members as (name, type id, offset in bytes)."""
    return Struct(name, size, tuple(Member(text, of, 8 * at) for text, of, at in members))


@pytest.fixture
def event() -> Codec:
    return make(
        Array(CHAR, U32, 8),
        Array(U8, U32, 4),
        Enum("state", 4, False, (("IDLE", 0), ("BUSY", 3))),
        Typedef("pid_t", S32),
        struct_of(
            ("pid", NEXT + 3, 0),
            ("ok", BOOL, 4),
            ("state", NEXT + 2, 8),
            ("comm", NEXT, 12),
            ("mac", NEXT + 1, 20),
            ("at", U64, 24),
            size=32,
        ),
    )


DATA = struct.pack("<i?3xI8s4sQ", -1, True, 3, b"ab\0zz", b"\1\2\3\4", 1 << 63)


def test_struct(event: Codec) -> None:
    value = event.decode(DATA)
    assert value == (-1, True, 3, "ab", b"\1\2\3\4", 1 << 63)
    assert (value.pid, value.ok, value.comm, value.mac) == (-1, True, "ab", b"\1\2\3\4")
    assert value.state.name == "BUSY"
    assert repr(value) == (
        "event(pid=-1, ok=True, state=<state.BUSY: 3>, comm='ab', mac=b'\\x01\\x02\\x03\\x04', "
        "at=9223372036854775808)"
    )
    assert event.python_type is type(value)
    assert issubclass(event.python_type, Record)
    assert (event.type_name, event.size, event.scalar, event.flexible) == (
        "struct event",
        32,
        None,
        False,
    )
    annotations = event.python_type.__annotations__
    assert annotations["pid"] is int
    assert annotations["comm"] is str
    assert annotations["mac"] is bytes
    assert annotations["ok"] is bool
    assert event.decode(b"..." + DATA + b"...", 3) == value
    assert event.decode(memoryview(bytearray(DATA))) == value


def test_encode_takes_records_dicts_and_sequences(event: Codec) -> None:
    value = event.decode(DATA)
    clean = DATA.replace(b"zz", b"\0\0")
    names = value._asdict()
    for given in (value, tuple(value), list(value), names, OrderedDict(names)):
        assert event.encode(given) == clean
        assert event._slow_encode(given) == clean
    assert event.encode({**names, "state": "BUSY", "comm": b"ab\0zz"}) == DATA
    assert event.encode({**names, "mac": bytearray(b"\1")})[20:24] == b"\1\0\0\0"
    assert event.encode({**names, "comm": "12345678"})[12:20] == b"12345678"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"comm": 5}, TypeError, "event.comm: expected str or bytes, got int"),
        ({"comm": "123456789"}, ValueError, "event.comm: 9 bytes do not fit into 8"),
        ({"comm": "a\0b"}, ValueError, "event.comm: a NUL within"),
        ({"comm": "\ud800"}, ValueError, "event.comm: .* cannot be written as UTF-8"),
        ({"mac": "text"}, TypeError, "event.mac: expected bytes, got str"),
        ({"mac": b"12345"}, ValueError, "event.mac: 5 bytes do not fit into 4"),
        ({"pid": "1"}, TypeError, "event.pid: expected int, got str"),
        ({"pid": 1.0}, TypeError, "event.pid: expected int, got float"),
        ({"pid": 1 << 31}, OverflowError, "event.pid: 2147483648 is outside"),
        ({"at": -1}, OverflowError, "event.at: -1 is outside 0 to 18446744073709551615"),
        ({"ok": 2}, OverflowError, "event.ok: 2 is outside 0 to 1"),
        ({"ok": "yes"}, TypeError, "event.ok: expected bool, got str"),
        ({"state": "GONE"}, ValueError, "event.state: enum state has no 'GONE'"),
        ({"state": 1 << 32}, OverflowError, "event.state: "),
        ({"more": 1}, TypeError, "event: no field more"),
    ],
)
def test_wrong_values_are_named(
    event: Codec, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        event.encode({**event.decode(DATA)._asdict(), **change})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1, 2), "event: expected 6 fields, got 2"),
        ({"pid": 1, "comm": ""}, "event: missing ok, state, mac, at"),
        ("text", "event: expected a record event, dict or tuple, got str"),
        (None, "event: expected a record event, dict or tuple, got NoneType"),
    ],
)
def test_wrong_shapes_are_named(event: Codec, value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        event.encode(value)


def test_a_record_of_another_type_is_refused(event: Codec) -> None:
    other = make(struct_of(*((n, U8, i) for i, n in enumerate("abcdef")), size=6, name="other"))
    with pytest.raises(TypeError, match="expected a record event, got other"):
        event.encode(other.decode(bytes(6)))


@pytest.mark.parametrize(
    ("type_id", "code", "data", "value"),
    [
        (U32, "I", b"\xff\xff\xff\xff", 0xFFFFFFFF),
        (S32, "i", b"\xff\xff\xff\xff", -1),
        (U8, "B", b"\x80", 128),
        (S8, "b", b"\x80", -128),
        (CHAR, "b", b"A", 65),
        (U64, "Q", b"\1" + bytes(7), 1),
        (BOOL, None, b"\1", True),
        (DOUBLE, None, struct.pack("<d", 2.5), 2.5),
        (U128, None, b"\xff" * 16, (1 << 128) - 1),
        (S128, None, b"\xff" * 16, -1),
    ],
)
def test_scalars(type_id: int, code: str | None, data: bytes, value: Any) -> None:
    made = codec(Btf.from_types(BASE), type_id)
    assert made.scalar == code
    assert made.decode(data) == value
    assert type(made.decode(data)) is made.python_type
    assert made.encode(value) == data
    with pytest.raises(ValueError, match=f"needs {len(data)} bytes, got {len(data) - 1}"):
        made.decode(data[1:])
    with pytest.raises(TypeError, match="expected"):
        made.encode("text")
    with pytest.raises(TypeError, match="expected"):
        made.encode(None)


def test_integers_of_odd_size() -> None:
    made = make(Int("_BitInt(24)", 3, 24, signed=True))
    assert made.decode(b"\xfe\xff\xff") == -2
    assert made.encode(-2) == b"\xfe\xff\xff"
    assert made.scalar is None


def test_scalar_overflow_names_the_type() -> None:
    with pytest.raises(OverflowError, match="unsigned int: 4294967296 is outside 0 to 4294967295"):
        codec(Btf.from_types(BASE), U32).encode(1 << 32)


def test_what_looks_like_an_int_is_one() -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    for type_id, size in ((U32, 4), (U128, 16)):
        made = codec(Btf.from_types(BASE), type_id)
        assert made.encode(Index()) == (7).to_bytes(size, "little")
        assert made.encode(True) == (1).to_bytes(size, "little")


def test_floats() -> None:
    made = make(
        Float("float", 4),
        Float("_Float16", 2),
        Float("long double", 16),
        struct_of(("f", NEXT, 0), ("h", NEXT + 1, 4), ("l", NEXT + 2, 16), size=32),
    )
    data = struct.pack("<fe10x16s", 0.5, -2.0, b"x" * 16)
    value = made.decode(data)
    assert value == (0.5, -2.0, b"x" * 16)
    assert made.encode(value) == data
    assert made.encode((1, True, b""))[:4] == struct.pack("<f", 1)
    assert math.isnan(made.decode(made.encode((math.nan, math.inf, b""))).f)
    with pytest.raises(OverflowError, match=r"event\.f: 1e\+300 is too large for 4 bytes"):
        made.encode((1e300, 0, b""))
    with pytest.raises(TypeError, match=r"event\.f: expected float, got str"):
        made.encode(("1", 0, b""))


def test_typedefs_qualifiers_variables_and_pointers() -> None:
    made = make(Ptr(0), Typedef("handle", NEXT), Var("v", NEXT + 1))
    assert made.decode(b"\1" * 8) == 0x0101010101010101
    assert (made.python_type, made.scalar, made.size) == (int, None, 8)


def test_enums() -> None:
    signed = make(Enum("s", 1, True, (("LOW", -1), ("ALSO", -1), ("HIGH", 7))))
    low = signed.decode(b"\xff")
    assert (low.name, low) == ("LOW", -1)
    assert type(low) is signed.python_type
    assert type(signed.decode(b"\5")) is int
    assert signed.encode(low) == signed.encode("ALSO") == signed.encode(-1) == b"\xff"
    wide = make(Enum64("w", 8, False, (("TOP", 1 << 63),)))
    assert wide.decode(b"\0" * 7 + b"\x80").name == "TOP"
    empty = make(Enum("e", 4, False, ()))
    assert (empty.decode(b"\5\0\0\0"), empty.python_type) == (5, int)
    anonymous = make(Enum("", 4, False, (("A", 0),)), Typedef("mode", NEXT))
    assert anonymous.python_type.__name__ == "mode"


def test_names_that_enum_reserves() -> None:
    names = ("mro", "_x_", "__y__", "name", "value", "real", "e__z", "_e__z", "class", "", "name")
    made = make(Enum("e", 4, False, tuple((name, i) for i, name in enumerate(names))))
    shown = [getattr(made.decode(bytes([i, 0, 0, 0])), "name", None) for i in range(len(names))]
    assert shown == [
        "mro_",
        "_x__",
        "__y___",
        "name",
        "value",
        "real",
        "e__z",
        *[None, "class"],
        None,
        None,
    ]


def test_bit_fields() -> None:
    mode = Enum("mode", 4, False, (("ON", 2),))
    made = make(
        mode,
        Struct(
            "flags",
            12,
            (
                Member("a", U32, 0, 3),
                Member("b", S32, 3, 5),
                Member("mode", NEXT, 8, 2),
                Member("ok", BOOL, 10, 1),
                Member("c", U64, 11, 40),
                Member("plain", U8, 56),
                Member("last", U32, 72, 20),
            ),
        ),
    )
    word = 5 | (-3 & 31) << 3 | 2 << 8 | 1 << 10 | 0xABCDEF1234 << 11
    data = word.to_bytes(7, "little") + b"\x42" + (0x9ABCD << 8).to_bytes(4, "little")
    value = made.decode(data)
    assert value == (5, -3, 2, True, 0xABCDEF1234, 0x42, 0x9ABCD)
    assert value.mode.name == "ON"
    assert value.ok is True
    assert made.encode(value) == data
    for change, error in (
        ({"a": 8}, OverflowError),
        ({"b": 16}, OverflowError),
        ({"b": -17}, OverflowError),
        ({"ok": 2}, OverflowError),
        ({"a": "1"}, TypeError),
    ):
        with pytest.raises(error, match=f"flags.{next(iter(change))}: "):
            made.encode({**value._asdict(), **change})
    assert made.encode({**value._asdict(), "b": -16, "mode": "ON"})[0] == 5 | 16 << 3


def test_bit_fields_of_older_btf() -> None:
    made = make(
        Int("unsigned int", 4, 3),
        Int("unsigned int", 4, 5, offset=3),
        Struct("old", 4, (Member("a", NEXT, 0), Member("b", NEXT + 1, 0), Member("c", U8, 8))),
    )
    assert made.decode(bytes([5 | 9 << 3, 7, 0, 0])) == (5, 9, 7)


def test_arrays() -> None:
    made = make(
        Array(U32, U32, 3),
        Array(NEXT, U32, 2),
        Array(CHAR, U32, 4),
        Array(NEXT + 2, U32, 2),
        Array(BOOL, U32, 2),
        Array(S8, U32, 2),
        Array(U128, U32, 1),
        Enum("e", 2, False, (("A", 1),)),
        Array(NEXT + 7, U32, 2),
        struct_of(("x", U8, 0), ("y", U8, 1), size=2, name="point"),
        Array(NEXT + 9, U32, 2),
        Array(U8, U32, 2),
        Array(NEXT + 11, U32, 2),
        struct_of(
            ("grid", NEXT + 1, 0),
            ("names", NEXT + 3, 24),
            ("bools", NEXT + 4, 32),
            ("bytes", NEXT + 5, 34),
            ("wide", NEXT + 6, 36),
            ("enums", NEXT + 8, 52),
            ("points", NEXT + 10, 56),
            ("macs", NEXT + 12, 60),
            size=64,
        ),
    )
    data = struct.pack(
        "<6I4s4s2?2b16s2H4B2s2s",
        *range(6),
        b"ab",
        b"cdef",
        1,
        0,
        -1,
        1,
        b"\1",
        1,
        9,
        *range(4),
        b"AB",
        b"CD",
    )
    value = made.decode(data)
    assert value == (
        ((0, 1, 2), (3, 4, 5)),
        ("ab", "cdef"),
        (True, False),
        (-1, 1),
        (1,),
        (1, 9),
        ((0, 1), (2, 3)),
        (b"AB", b"CD"),
    )
    assert value.points[1].y == 3
    assert value.enums[0].name == "A"
    assert made.encode(value) == data
    assert made.decode(data=b"." + data, offset=1) == value
    assert made.python_type.__annotations__["grid"] == tuple[tuple[int, ...], ...]
    with pytest.raises(ValueError, match=r"event\.grid\[1\]: expected 3 elements, got 2"):
        made.encode(value._replace(grid=((1, 2, 3), (4, 5))))
    with pytest.raises(OverflowError, match=r"event\.points\[1\]\.y: 300 is outside"):
        made.encode(value._replace(points=[(1, 2), {"x": 1, "y": 300}]))
    for wrong in (7, b"123456", "123456", {1: 2}, {1, 2}):
        with pytest.raises((TypeError, ValueError), match=r"event\.grid"):
            made.encode(value._replace(grid=wrong))


def test_an_array_is_a_type_of_its_own() -> None:
    numbers = make(Array(U32, U32, 2))
    assert numbers.decode(struct.pack("<2I", 1, 2)) == (1, 2)
    assert numbers.encode((1, 2)) == numbers.encode([1, 2]) == struct.pack("<2I", 1, 2)
    assert numbers.python_type is tuple
    text = make(Array(CHAR, U32, 4))
    assert (text.decode(b"ab\0c"), text.python_type) == ("ab", str)
    assert text.encode("ab") == b"ab\0\0"
    for _ in range(2):  # at first by the slow way
        with pytest.raises(ValueError, match=r"char\[4\]: a NUL within"):
            text.encode("a\0b")
        with pytest.raises(ValueError, match=r"char\[4\]: 5 bytes"):
            text.encode("abcde")
    raw = make(Array(U8, U32, 4))
    assert (raw.decode(b"ab\0c"), raw.python_type) == (b"ab\0c", bytes)


def test_text_that_is_not_utf8_survives() -> None:
    text = make(Array(CHAR, U32, 4))
    value = text.decode(b"\xff\xc3\0\0")
    assert value == "\udcff\udcc3"
    assert text.encode(value) == b"\xff\xc3\0\0"


def test_which_int_makes_text() -> None:
    """Old and foreign compilers set BTF_INT_CHAR; clang names plain char and sets nothing."""
    for element, kind in (
        (Int("char", 1, 8), str),
        (Int("c_char", 1, 8, char=True), str),
        (Int("unsigned char", 1, 8, char=True), bytes),
        (Int("u8", 1, 8), bytes),
        (Int("signed char", 1, 8, signed=True, char=True), tuple),
    ):
        assert make(element, Array(NEXT, U32, 3)).python_type is kind


def test_nested_and_anonymous() -> None:
    made = make(
        struct_of(("x", U32, 0), ("y", U32, 4), size=8, name="point"),
        Struct("", 8, (Member("p", U32, 0), Member("q", U32, 32))),
        Struct("", 4, (Member("in", U32, 0),)),
        struct_of(("at", NEXT, 0), ("", NEXT + 1, 8), ("unnamed", NEXT + 2, 16), size=24),
    )
    data = struct.pack("<6I", *range(6))
    value = made.decode(data)
    assert repr(value) == "event(at=point(x=0, y=1), p=2, q=3, unnamed=unnamed(in_=4))"
    assert made.encode(value) == data[:20] + bytes(4)
    assert made.encode({"at": (0, 1), "p": 2, "q": 3, "unnamed": {"in": 4}})[:20] == data[:20]
    assert (
        made.encode({"at": {"x": 0, "y": 1}, "p": 2, "q": 3, "unnamed": {"in_": 4}})[:20]
        == data[:20]
    )
    with pytest.raises(OverflowError, match=r"event\.at\.y: "):
        made.encode(((0, -1), 2, 3, (4,)))


def test_unions() -> None:
    made = make(
        Array(U8, U32, 8),
        Union("any", 8, (Member("word", U32, 0), Member("long_", U64, 0), Member("raw", NEXT, 0))),
    )
    data = b"\1\2\3\4\5\6\7\x08"
    value = made.decode(data)
    assert value == (0x04030201, 0x0807060504030201, data)
    assert made.encode(value) == data
    assert made.encode({"word": 5}) == b"\5" + bytes(7)
    assert made.encode({"raw": b"\1"}) == b"\1" + bytes(7)
    assert made.encode({"word": 0x04030201, "raw": data}) == data
    with pytest.raises(ValueError, match=r"any\.long_: differs from another view"):
        made.encode(value._replace(word=7))
    with pytest.raises(TypeError, match=r"any: missing one of \(word, long_, raw\)"):
        made.encode({})


def test_anonymous_union_in_a_struct() -> None:
    made = make(
        Struct("", 8, (Member("low", U32, 0), Member("high", U32, 32))),
        Union("", 8, (Member("whole", U64, 0), Member("", NEXT, 0), Member("flag", BOOL, 0))),
        struct_of(("kind", U32, 0), ("", NEXT + 1, 8), size=16),
    )
    data = struct.pack("<I4xII", 1, 0x102, 3)
    value = made.decode(data)
    assert value == (1, 3 << 32 | 0x102, 0x102, 3, True)
    assert made.encode(value) == data
    assert made.encode({"kind": 1, "whole": 3 << 32 | 0x102}) == data
    assert made.encode({"kind": 1, "low": 0x102, "high": 3}) == data
    with pytest.raises(TypeError, match=r"missing one of \(whole, low and high, flag\)"):
        made.encode({"kind": 1, "low": 2})
    with pytest.raises(ValueError, match=r"event\.high: differs"):
        made.encode(value._replace(high=4))


def test_views_that_forget_bits_give_way_to_those_that_do_not() -> None:
    """A str ends at its NUL, a bool is one bit, a NaN has many forms: the number has it all."""
    made = make(
        Array(CHAR, U32, 8),
        Union(
            "lossy",
            8,
            (
                Member("text", NEXT, 0),
                Member("real", DOUBLE, 0),
                Member("truth", BOOL, 0),
                Member("exact", U64, 0),
            ),
        ),
    )
    for data in (b"ab\0cdefg", b"\2\0\0\0\0\0\xf0\x7f", b"\0" * 8, b"\xff" * 8, b"abcdefgh"):
        assert made.encode(made.decode(data)) == data


def flexible(element: int, nelems: int = 0) -> Codec:
    return make(
        struct_of(("x", U8, 0), ("y", U8, 1), size=2, name="point"),
        Array({0: NEXT}.get(element, element), U32, nelems),
        struct_of(("n", U32, 0), ("m", U8, 4), ("rest", NEXT + 1, 5), size=8),
    )


def test_flexible_arrays() -> None:
    head = struct.pack("<IB", 7, 1)
    for element, rest, value in (
        (CHAR, b"abc\0", "abc"),
        (CHAR, b"", ""),
        (U8, b"abc\0", b"abc\0"),
        (S8, b"\xff\1", (-1, 1)),
        (U32, b"\1\0\0\0\2\0\0\0", (1, 2)),
        (BOOL, b"\1\0", (True, False)),
        (0, b"\1\2\3\4", ((1, 2), (3, 4))),
    ):
        made = flexible(element)
        assert made.flexible
        assert made.size == 8
        decoded = made.decode(head + rest)
        assert decoded == (7, 1, value)
        assert made.encode(decoded) == head + rest + b"\0" * (value == "")
        assert made.decode(b"..." + head + rest, 3) == decoded
        with pytest.raises(ValueError, match="struct event needs 8 bytes, got 4"):
            made.decode(head[:4])
    assert flexible(U32).decode(head + b"\1\0\0\0\2\0") == (7, 1, (1,))


def test_flexible_array_of_structs_with_padding() -> None:
    made = make(
        Struct("bits", 4, (Member("x", U32, 0, 5),)),
        Array(NEXT, U32, 0),
        struct_of(("n", U32, 0), ("rest", NEXT + 1, 4), size=4),
    )
    data = struct.pack("<III", 1, 2, 3)
    assert made.decode(data) == (1, ((2,), (3,)))
    assert made.encode(made.decode(data)) == data


def test_flexible_array_within_anonymous_members() -> None:
    made = make(
        Array(U8, U32, 0),
        Array(U32, U32, 0),
        Struct("", 0, ()),
        Struct("", 0, (Member("none", NEXT + 2, 0), Member("bytes", NEXT, 0))),
        Union("", 0, (Member("", NEXT + 3, 0), Member("words", NEXT + 1, 0))),
        struct_of(("n", U32, 0), ("", NEXT + 4, 4), size=4),
    )
    data = struct.pack("<II", 1, 2)
    value = made.decode(data)
    assert value == (1, (), b"\2\0\0\0", (2,))
    assert made.encode(value) == data
    assert made.encode({"n": 1, "words": [2]}) == data


def test_empty_arrays_that_are_not_at_the_end() -> None:
    made = make(Array(CHAR, U32, 0), struct_of(("a", NEXT, 0), ("b", U32, 0), size=4))
    assert not made.flexible
    assert made.decode(b"\1\0\0\0") == ("", 1)
    assert made.encode(("", 1)) == b"\1\0\0\0"


@pytest.mark.parametrize(
    ("element", "rest", "value"),
    [
        (CHAR, b"ab\0", "ab"),
        (CHAR, b"", ""),
        (U8, b"ab\0", b"ab\0"),
        (U32, b"\1\0\0\0\2\0", (1,)),
    ],
)
def test_data_may_end_within_the_last_array(element: int, rest: bytes, value: Any) -> None:
    made = make(Array(element, U32, 4), struct_of(("n", U32, 0), ("rest", NEXT, 4), size=20))
    assert not made.flexible
    assert made.decode(struct.pack("<I", 7) + rest) == (7, value)
    assert type(made.decode(struct.pack("<I", 7) + rest)) is made.python_type
    with pytest.raises(ValueError, match="struct event needs 20 bytes, got 3"):
        made.decode(b"abc")


def test_data_may_not_end_elsewhere(event: Codec) -> None:
    for size in (0, 1, 31):
        with pytest.raises(ValueError, match=f"struct event needs 32 bytes, got {size}"):
            event.decode(DATA[:size])
    with pytest.raises(ValueError, match="got 0"):
        event.decode(DATA, 40)
    with pytest.raises(TypeError):
        event.decode("text")


def test_raw_fields() -> None:
    types: tuple[Type, ...] = (
        Array(CHAR, U32, 4),
        Struct(
            "event", 12, (Member("from", U32, 0), Member("comm", NEXT, 32), Member("b", U32, 64, 3))
        ),
    )
    data = b"\1\2\3\4ab\0c\7\0\0\0"
    plain, raw = make(*types), make(*types, raw=("comm", "from"))
    assert plain.decode(data) == (0x04030201, "ab", 7)
    assert raw.decode(data) == (b"\1\2\3\4", b"ab\0c", 7)
    assert raw.encode(raw.decode(data)) == data
    assert make(*types, raw=("from_",)).decode(data) == (b"\1\2\3\4", "ab", 7)
    with pytest.raises(ValueError, match="struct event has no member nope"):
        make(*types, raw=("nope",))
    with pytest.raises(ValueError, match="bit-field"):
        make(*types, raw=("b",))
    with pytest.raises(ValueError, match="no member x"):
        codec(Btf.from_types(BASE), U32, raw=("x",))


def test_made_once() -> None:
    btf = Btf.from_types([*BASE, struct_of(("a", U32, 0), size=4)])
    assert codec(btf, NEXT) is codec(btf, NEXT)
    assert codec(btf, NEXT, raw=["a"]) is codec(btf, NEXT, raw=("a",)) is not codec(btf, NEXT)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([Fwd("later")], "no size"),
        ([FuncProto(0, ())], "no size"),
        ([Typedef("nothing", 0)], "no size"),
        ([Array(U8, U32, 1 << 31)], "larger than"),
        ([Array(U64, U32, (1 << 32) - 1), Array(NEXT, U32, (1 << 32) - 1)], "larger than"),
        ([Struct("s", 4, (Member("a", U64, 0),))], "ends at bit 64 of 32"),
        ([Struct("s", 4, (Member("a", U32, 1 << 23),))], "ends at bit"),
        ([Struct("s", 8, (Member("a", U64, 0), Member("b", U32, 32)))], "overlaps"),
        ([Struct("s", 8, (Member("a", U32, 3),))], "within a byte"),
        ([Struct("s", 8, (Member("a", U8, 0, 9),))], "bit-field of 9 bits in 1 bytes"),
        ([Struct("s", 8, (Member("a", DOUBLE, 0, 9),))], "only integers"),
        ([Struct("s", 8, (Member("a", U32, 0, 20), Member("b", U32, 19, 2)))], "overlaps"),
        ([Struct("s", 8, (Member("a", U32, 0), Member("a", U32, 32)))], "several members a"),
        ([Struct("s", 4, (Member("a", NEXT, 0),))], "contains itself"),
        ([Struct("s", 4, (Member("", NEXT, 0),))], "contains itself"),
        ([Struct("s", 4, (Member("a", NEXT + 1, 0),)), Array(NEXT, U32, 1)], "contains itself"),
        (
            [Struct("", 4, (Member("a", U32, 0),)), Struct("s", 4, (Member("", NEXT, 1),))],
            "bit-field",
        ),
        ([Int("none", 0, 0)], "has no value"),
        ([Typedef("t", NEXT)], "without an end"),
        ([Typedef("t", NEXT + 1), Var("v", NEXT)], "contains itself"),
        ([Array(NEXT + 1, U32, 1), Var("v", NEXT)], "has no end"),
        ([Var("v", NEXT), Struct("s", 4, (Member("a", NEXT, 0),))], "has no end"),
    ],
)
def test_what_no_compiler_lays_out_is_refused(types: list[Type], message: str) -> None:
    with pytest.raises(BtfError, match=message):
        make(*types)


def _chain(wrap: Callable[[int], Type], depth: int) -> list[Type]:
    return [struct_of(("a", U32, 0), size=4), *(wrap(NEXT + i) for i in range(depth))]


@pytest.mark.parametrize("name", ["", "a"])
def test_deep_nesting(name: str) -> None:
    assert make(*_chain(lambda i: Struct("s", 4, (Member(name, i, 0),)), 30)).size == 4
    with pytest.raises(BtfError, match="nest"):
        make(*_chain(lambda i: Struct("s", 4, (Member(name, i, 0),)), 2000))
    with pytest.raises(BtfError, match="has no end"):
        make(*_chain(lambda i: Array(i, U32, 1), 2000))


@pytest.mark.parametrize("names", [("a", "b"), ("", "")])
def test_what_doubles_at_each_level_is_refused(names: tuple[str, str]) -> None:
    seeds = Struct("s", 0, ()), struct_of(("x", U32, 0), size=4)
    for seed in seeds:
        types: list[Type] = [seed]
        for level in range(35):
            at = NEXT + level
            types.append(Union("u", seed.size, tuple(Member(name, at, 0) for name in names)))
        with pytest.raises(BtfError, match=r"would be|more than|several"):
            make(*types)
    with pytest.raises(BtfError, match="would be"):
        make(Struct("s", 0, ()), Array(NEXT, U32, 1 << 31))


def test_large_but_honest_types() -> None:
    members = tuple(Member(f"m{i}", U32, 32 * i) for i in range(5000))
    made = make(Struct("wide", 20000, members))
    data = bytes(range(250)) * 80
    assert made.decode(data) == struct.unpack("<5000I", data)
    assert made.encode(made.decode(data)) == data
    big = make(Array(U64, U32, 1 << 16))
    assert len(big.decode(bytes(1 << 19))) == 1 << 16


def test_large_structs_are_read_piece_by_piece() -> None:
    inner = Struct("inner", 400, tuple(Member(f"m{i}", U32, 32 * i) for i in range(100)))
    outer = struct_of(*((f"f{i}", NEXT, 400 * i) for i in range(8)), size=3200)
    made = make(inner, outer)
    data = struct.pack("<800I", *range(800))
    value = made.decode(data)
    assert [each.m99 for each in value] == [100 * i + 99 for i in range(8)]
    assert made.encode(value) == data
    with pytest.raises(ValueError, match="needs 3200 bytes, got 3199"):
        made.decode(data[:-1])


def test_a_refused_type_leaves_no_trace() -> None:
    types = [
        struct_of(("x", U32, 0), size=4, name="good"),
        struct_of(("", NEXT + 2, 0), ("a", NEXT, 0), size=4, name="bad"),
        struct_of(("b", NEXT + 3, 0), ("good", NEXT, 0), size=4, name="overlaps"),
        struct_of(("c", U32, 0), size=4, name="inner"),
    ]
    btf = Btf.from_types([*BASE, *types])
    for _ in range(2):
        with pytest.raises(BtfError, match="overlaps"):
            codec(btf, NEXT + 1)
        for type_id in (NEXT, NEXT + 3):
            assert codec(btf, type_id).decode(b"\1\0\0\0") == (1,)


def test_a_struct_is_of_one_class_wherever_it_lies() -> None:
    point = struct_of(("x", U32, 0), size=4, name="point")
    pair = struct_of(("first", NEXT, 0), ("second", NEXT, 4), size=8, name="pair")
    btf = Btf.from_types([*BASE, point, pair])
    first, second = codec(btf, NEXT + 1).decode(bytes(8))
    assert type(first) is type(second) is codec(btf, NEXT).python_type


def test_a_flexible_struct_within_another_is_flexible_only_at_the_end() -> None:
    made = make(
        Array(U8, U32, 0),
        struct_of(("n", U32, 0), ("rest", NEXT, 4), size=4, name="packet"),
        struct_of(("one", NEXT + 1, 0), ("two", NEXT + 1, 4), size=8),
    )
    value = made.decode(struct.pack("<II", 1, 2) + b"abc")
    assert value == ((1, b""), (2, b"abc"))
    assert made.encode(value) == struct.pack("<II", 1, 2) + b"abc"
    with pytest.raises(ValueError, match=r"event\.one\.rest: 1 bytes do not fit into 0"):
        made.encode(((1, b"x"), (2, b"")))


def test_views_upon_views_are_compiled_once() -> None:
    types: list[Type] = [struct_of(("x", U32, 0), size=4)]
    for level in range(16):
        at = NEXT + level
        types.append(Union(f"u{level}", 4, (Member("a", at, 0), Member("b", at, 0))))
    value = make(*types).decode(b"\7\0\0\0")
    for _ in range(16):
        value = value.b
    assert value == (7,)
