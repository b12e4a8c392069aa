"""Answers put into instructions."""

from __future__ import annotations

import pytest

from pylibbpf.btf.core import CoreKind, Resolution
from pylibbpf.btf.core.access import Spec
from pylibbpf.btf.parse import Btf
from pylibbpf.btf.types import Struct
from pylibbpf.errors import CoreError
from pylibbpf.isa.insn import Insn, decode, encode
from pylibbpf.loader.patch import POISON, patch

SPEC = Spec(Btf.from_types([Struct("box", 8, ())]), 1, 8)
POISONED = Insn(0x85, imm=POISON)


def answer(original: int, value: int, **others: object) -> Resolution:
    fields = {
        "kind": CoreKind.FIELD_BYTE_OFFSET,
        "poison": False,
        "validate": True,
        "bad_size": False,
        "original_size": 0,
        "size": 0,
        "local": SPEC,
        "candidates": (),
        **others,
    }
    mask = (1 << 64) - 1
    return Resolution(original=original & mask, value=value & mask, **fields)  # type: ignore[arg-type]


def patched(code: bytes, resolution: Resolution) -> list[Insn]:
    insns = decode(code)
    patch(insns, 0, resolution)
    return insns


LOAD = encode([Insn(0x61, 1, 2, 8, 0)])  # r1 = *(u32 *)(r2 + 8)
SIGNED = encode([Insn(0x81, 1, 2, 8, 0)])
STORE = encode([Insn(0x62, 1, 0, 8, 5)])
MOVE = encode([Insn(0xB7, 1, 0, 0, 8)])
WIDE = encode([Insn(0x18, 1, 0, 0, 8), Insn(0, 0, 0, 0, 0)])


@pytest.mark.parametrize(
    ("code", "resolution", "expected"),
    [
        (LOAD, answer(8, 16), [Insn(0x61, 1, 2, 16, 0)]),
        (LOAD, answer(8, 16, original_size=4, size=4), [Insn(0x61, 1, 2, 16, 0)]),
        (LOAD, answer(8, 16, original_size=4, size=8), [Insn(0x79, 1, 2, 16, 0)]),
        (LOAD, answer(8, 16, original_size=4, size=1), [Insn(0x71, 1, 2, 16, 0)]),
        (SIGNED, answer(8, 16, original_size=4, size=2), [Insn(0x89, 1, 2, 16, 0)]),
        (STORE, answer(8, 16, original_size=4, size=8), [Insn(0x7A, 1, 0, 16, 5)]),
        (MOVE, answer(8, 16), [Insn(0xB7, 1, 0, 0, 16)]),
        (MOVE, answer(8, -2), [Insn(0xB7, 1, 0, 0, -2)]),
        (MOVE, answer(8, 1 << 40 | 3), [Insn(0xB7, 1, 0, 0, 3)]),  # cut off, as libbpf does
        (MOVE, answer(9, 16, validate=False), [Insn(0xB7, 1, 0, 0, 16)]),
        (MOVE, answer(8, 16, bad_size=True), [Insn(0xB7, 1, 0, 0, 16)]),
        (LOAD, answer(8, 16, bad_size=True), [POISONED]),
        (LOAD, answer(9, 16, poison=True), [POISONED]),
        (WIDE, answer(8, 16), [Insn(0x18, 1, 0, 0, 16), Insn(0)]),
        (WIDE, answer(8, -2), [Insn(0x18, 1, 0, 0, -2), Insn(0, imm=-1)]),
        (WIDE, answer(8, 1 << 63 | 7), [Insn(0x18, 1, 0, 0, 7), Insn(0, imm=-(1 << 31))]),
        (WIDE, answer(8, 16, poison=True), [POISONED, POISONED]),
    ],
)
def test_what_becomes_of_an_instruction(
    code: bytes, resolution: Resolution, expected: list[Insn]
) -> None:
    assert patched(code, resolution) == expected


@pytest.mark.parametrize(
    ("code", "resolution", "errno", "said"),
    [
        (LOAD, answer(9, 16), 22, "it holds 8, where the object's own types say 9"),
        (LOAD, answer(8, 40000), 34, "reaches 32767 bytes, the field is at 40000"),
        (LOAD, answer(8, 40000, bad_size=True), 34, "reaches"),
        (LOAD, answer(8, 16, original_size=8, size=4), 22, "4 bytes of a field that has 8"),
        (LOAD, answer(8, 16, original_size=4, size=3), 22, "3 bytes, which no instruction"),
        (MOVE, answer(9, 16), 22, "it holds 8"),
        (encode([Insn(0xBF, 1, 2, 0, 0)]), answer(0, 16), 22, "its operand is a register"),
        (WIDE, answer(9, 16), 22, "it holds 8"),
        (WIDE[:8], answer(8, 16), 22, "no load of a 64-bit constant"),
        (encode([Insn(0x18, 1, 1, 0, 8), Insn(0)]), answer(8, 1), 22, "no load of a 64-bit"),
        (encode([Insn(0x20, 0, 0, 0, 8)]), answer(8, 1), 22, "no load of a 64-bit constant"),
        (encode([Insn(0x95)]), answer(0, 1), 22, "opcode 0x95 has no place"),
        (b"", answer(0, 1), 22, "there are only 0 instructions"),
    ],
)
def test_what_is_refused(code: bytes, resolution: Resolution, errno: int, said: str) -> None:
    insns = decode(code)
    with pytest.raises(CoreError, match=said) as caught:
        patch(insns, 0, resolution)
    assert caught.value.errno == errno
    assert insns == decode(code)
