"""Types that users write, as BTF."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Struct
from pylibbpf.map.create import _Types

C = {f"u{bits}": getattr(ctypes, f"c_uint{bits}") for bits in (8, 16, 32, 64)}
C |= {f"s{bits}": getattr(ctypes, f"c_int{bits}") for bits in (8, 16, 32, 64)}
C |= {"bool": ctypes.c_bool, "char[5]": ctypes.c_char * 5, "u16[3]": ctypes.c_uint16 * 3}
C |= {"u64[2]": ctypes.c_uint64 * 2, "char": ctypes.c_char}

fields = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.recursive(
        st.sampled_from(sorted(C)),
        lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3),
        max_leaves=4,
    ),
    min_size=1,
    max_size=8,
)


def c_type(given):
    if isinstance(given, str):
        return C[given]
    members = [(name, c_type(each)) for name, each in given.items()]
    return type("Record", (ctypes.Structure,), {"_fields_": members})


@given(fields)
def test_records_are_laid_out_as_c_does(fields):
    types = _Types()
    type_id = types.add(fields, "value")
    btf = Btf.from_types(types.types)
    expected = c_type(fields)
    assert btf.sizeof(type_id) == ctypes.sizeof(expected)
    found = btf.type(type_id)
    assert isinstance(found, Struct)
    assert [(each.name, each.bit_offset // 8) for each in found.members] == [
        (name, getattr(expected, name).offset) for name in fields
    ]


@pytest.mark.parametrize("text", ["u32", " u32 ", "__u32", "u32[4]", "u8[2][3]", "s8"])
def test_spellings(text):
    types = _Types()
    assert types.add(text, "key")


@pytest.mark.parametrize("wrong", ["u31", "u8[", "u8[-1]", "int", "", "struct x", "u8[2", "__char"])
def test_no_type(wrong):
    with pytest.raises(ValueError, match="no type for a key"):
        _Types().add(wrong, "key")


@pytest.mark.parametrize("wrong", [True, 1.5, b"u8", [], {}, ("u8",)])
def test_no_description(wrong):
    with pytest.raises(TypeError, match="C type"):
        _Types().add(wrong, "key")


def test_one_type_once():
    types = _Types()
    types.add({"a": "u32", "b": "u32[2]", "c": {"d": "u32"}}, "key")
    assert [type(each).__name__ for each in types.types] == ["Int", "Array", "Struct", "Struct"]
