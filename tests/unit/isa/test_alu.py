"""Arithmetic where it is easy to be wrong: the values are worked out by hand from RFC 9669."""

from __future__ import annotations

import pytest

from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

MIN64, MIN32 = 1 << 63, 1 << 31
MINUS = alu.U64


@pytest.mark.parametrize(
    ("op", "off", "bits", "a", "b", "result"),
    [
        (isa.ADD, 0, 64, MINUS, 1, 0),
        (isa.ADD, 0, 32, 0xFFFFFFFF, 1, 0),
        (isa.ADD, 0, 32, 5 << 32 | 1, 7 << 32 | 2, 3),
        (isa.SUB, 0, 64, 0, 1, MINUS),
        (isa.SUB, 0, 32, 0, 1, 0xFFFFFFFF),
        (isa.MUL, 0, 64, MIN64, MINUS, MIN64),
        (isa.DIV, 0, 64, 7, 0, 0),
        (isa.DIV, 0, 64, MINUS, 2, MINUS >> 1),
        (isa.DIV, 0, 32, 7, 1 << 32, 0),
        (isa.DIV, 1, 64, -7 & MINUS, 2, -3 & MINUS),
        (isa.DIV, 1, 64, 7, -2 & MINUS, -3 & MINUS),
        (isa.DIV, 1, 64, MIN64, MINUS, MIN64),
        (isa.DIV, 1, 32, MIN32, 0xFFFFFFFF, MIN32),
        (isa.DIV, 1, 64, MINUS, 0, 0),
        (isa.MOD, 0, 64, 7, 0, 7),
        (isa.MOD, 0, 32, 9 << 32 | 7, 0, 7),
        (isa.MOD, 1, 64, -7 & MINUS, 2, MINUS),
        (isa.MOD, 1, 64, 7, -2 & MINUS, 1),
        (isa.MOD, 1, 64, MIN64, MINUS, 0),
        (isa.MOD, 1, 32, -7 & MINUS, 0, 0xFFFFFFF9),
        (isa.LSH, 0, 64, 1, 65, 2),
        (isa.LSH, 0, 32, 1, 33, 2),
        (isa.LSH, 0, 32, 1, 31, MIN32),
        (isa.RSH, 0, 64, MIN64, 63, 1),
        (isa.ARSH, 0, 64, MIN64, 63, MINUS),
        (isa.ARSH, 0, 32, MIN32, 31, 0xFFFFFFFF),
        (isa.ARSH, 0, 32, 0x7FFFFFFF, 64 + 30, 1),
        (isa.NEG, 0, 64, MIN64, 0, MIN64),
        (isa.NEG, 0, 32, 1, 0, 0xFFFFFFFF),
        (isa.MOV, 8, 64, 0, 0x180, -128 & MINUS),
        (isa.MOV, 8, 32, 0, 0x180, 0xFFFFFF80),
        (isa.MOV, 16, 64, 0, 0x7FFF, 0x7FFF),
        (isa.MOV, 32, 64, 0, 0x80000000, 0xFFFFFFFF80000000),
    ],
)
def test_binary(op: int, off: int, bits: int, a: int, b: int, result: int) -> None:
    assert alu.binary(op, off, a, b, bits) == result


@pytest.mark.parametrize(("bits", "a"), [(64, MINUS), (32, 0xFFFFFFFF)])
def test_signed_comparisons_read_the_sign_of_their_width(bits: int, a: int) -> None:
    assert alu.compare(isa.JSLT, a, 0, bits)
    assert not alu.compare(isa.JLT, a, 0, bits)
    assert alu.compare(isa.JSGT, 0, a, bits)
    assert alu.compare(isa.JSLE, a, a, bits)
    assert alu.compare(isa.JSGE, a, a, bits)


def test_32_bit_comparisons_leave_the_upper_half_out() -> None:
    assert alu.compare(isa.JEQ, 1 << 32, 0, 32)
    assert not alu.compare(isa.JEQ, 1 << 32, 0, 64)
    assert not alu.compare(isa.JSET, 1 << 32, 1 << 32, 32)
    assert alu.compare(isa.JSET, 1 << 32, 1 << 32, 64)


@pytest.mark.parametrize(("size", "result"), [(16, 0x8877), (32, 0x88776655)])
def test_swap_clears_what_is_above(size: int, result: int) -> None:
    assert alu.swap(0x1122334455667788, size) == result
    assert alu.swap(alu.swap(0x1122334455667788, 64), 64) == 0x1122334455667788


def test_atomics() -> None:
    assert alu.atomic(isa.ATOMIC_ADD, 0xFFFFFFFF, 1, 0, 32) == 0
    assert alu.atomic(isa.ATOMIC_AND, 0b1100, 0b1010, 0, 64) == 0b1000
    assert alu.atomic(isa.ATOMIC_XCHG, 1, 2 << 32 | 3, 0, 32) == 3
    # 32 bits of r0 are compared (RFC 9669, section 5.3).
    assert alu.atomic(isa.ATOMIC_CMPXCHG, 5, 9, 7 << 32 | 5, 32) == 9
    assert alu.atomic(isa.ATOMIC_CMPXCHG, 5, 9, 7 << 32 | 5, 64) == 5
