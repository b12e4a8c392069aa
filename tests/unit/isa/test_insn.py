from __future__ import annotations

import pytest

from pylibbpf.errors import InsnError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn, decode, encode, imm64


def test_fields_are_signed_and_registers_are_nibbles() -> None:
    assert decode(bytes.fromhex("7b1af8ff00000000")) == [Insn(0x7B, 10, 1, -8, 0)]
    assert decode(bytes.fromhex("b7020000ffffffff")) == [Insn(0xB7, 2, 0, 0, -1)]


def test_both_slots_of_a_64_bit_constant_are_kept() -> None:
    code = bytes.fromhex("1801000078563412 00000000f0debc9a")
    first, second = insns = decode(code)
    assert isa.is_ld_imm64(first)
    assert not isa.is_ld_imm64(second)
    assert imm64(insns, 0) == 0x9ABCDEF012345678
    assert imm64(insns[:1], 0) == 0x12345678


def test_encode_is_the_inverse() -> None:
    code = bytes(range(240))
    assert encode(decode(code)) == code


@pytest.mark.parametrize(
    "wrong", [(256, 0, 0, 0, 0), (7, 16, 0, 0, 0), (7, 0, 16, 0, 0), (7, 0, 0, 1 << 15, 0),
              (7, 0, 0, 0, 1 << 31), (7, -1, 0, 0, 0), (7, 0, -1, 0, 0)],
)  # fmt: skip
def test_fields_that_do_not_fit(wrong: tuple[int, ...]) -> None:
    with pytest.raises(InsnError, match=r"a field of Insn.* does not fit") as caught:
        encode([Insn(0x95), Insn(*wrong)])
    assert caught.value.insn == 1


def test_half_an_instruction() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        decode(bytes(12))


def test_numbers_agree_with_rfc_9669() -> None:
    assert isa.LD_IMM64 == 0x18
    assert isa.CALL_CODE == 0x85
    assert isa.EXIT_CODE == 0x95
    assert isa.STX | isa.MEM | isa.DW == 0x7B
    assert isa.ALU64 | isa.MOV | isa.X == 0xBF
    assert isa.JMP | isa.JSLE == 0xD5
    assert isa.ALU | isa.END == 0xD4
