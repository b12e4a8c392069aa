"""What the translator is measured against: BPF by decoding and dispatching, as plain as it gets.

It reads each instruction from its bytes, goes down a ladder of comparisons, and looks regions up
in a dictionary, checking their size. It knows only what the benchmarks need.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from typing import Any

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
COMPARE = {0x10: operator.eq, 0x20: operator.gt, 0x30: operator.ge, 0x40: operator.and_}
COMPARE |= {0x50: operator.ne, 0x60: operator.gt, 0x70: operator.ge, 0xA0: operator.lt}
COMPARE |= {0xB0: operator.le, 0xC0: operator.lt, 0xD0: operator.le}
SIGNED = (0x60, 0x70, 0xC0, 0xD0)


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def execute(
    code: bytes, memory: dict[int, Any], r1: int, r10: int, helpers: dict[int, Callable[..., int]],
    run: Any,
) -> int:  # fmt: skip
    """Run a program; ``memory`` holds bytes by the upper half of their address."""
    r = [0, r1, 0, 0, 0, 0, 0, 0, 0, 0, r10]
    unpack = struct.unpack_from
    pc = 0
    while True:
        op, registers, off, imm = unpack("<BBhi", code, pc * 8)
        pc += 1
        d = registers & 15
        s = registers >> 4
        kind = op & 7
        what = op & 0xF0
        if kind == 7 or kind == 4:
            bits, mask = (64, M64) if kind == 7 else (32, M32)
            a = r[d] & mask
            b = r[s] & mask if op & 8 else imm & mask
            if what == 0x00:
                a += b
            elif what == 0x10:
                a -= b
            elif what == 0x20:
                a *= b
            elif what == 0x30:
                a = a // b if b else 0
            elif what == 0x40:
                a |= b
            elif what == 0x50:
                a &= b
            elif what == 0x60:
                a <<= b & (bits - 1)
            elif what == 0x70:
                a >>= b & (bits - 1)
            elif what == 0x80:
                a = -a
            elif what == 0x90:
                a = a % b if b else a
            elif what == 0xA0:
                a ^= b
            elif what == 0xB0:
                a = signed(b & ((1 << off) - 1), off) if off else b
            elif what == 0xC0:
                a = signed(a, bits) >> (b & (bits - 1))
            else:
                a, mask = r[d] & ((1 << imm) - 1), M64
                if op & 8 or kind == 7:
                    a = int.from_bytes(a.to_bytes(imm // 8, "little"), "big")
            r[d] = a & mask
        elif kind == 5 or kind == 6:
            if what == 0x80:
                r[0] = helpers[imm](run, r[1], r[2], r[3], r[4], r[5]) & M64
            elif what == 0x90:
                return r[0]
            elif what == 0x00:
                pc += off if kind == 5 else imm
            else:
                bits, mask = (64, M64) if kind == 5 else (32, M32)
                a = r[d] & mask
                b = r[s] & mask if op & 8 else imm & mask
                if what in SIGNED:
                    a, b = signed(a, bits), signed(b, bits)
                if COMPARE[what](a, b):
                    pc += off
        elif kind:
            address = (r[s] if kind == 1 else r[d]) + off
            region = memory[address >> 32]
            at = address & M32
            size = SIZES[op & 0x18]
            if at + size > len(region):
                raise IndexError(address)
            value = r[s] if kind == 3 else imm
            if kind == 1 or op & 0xE0 == 0xC0:  # of atomics, only the addition
                old = int.from_bytes(region[at : at + size], "little")
                if kind == 1:
                    r[d] = signed(old, 8 * size) & M64 if op & 0xE0 == 0x80 else old
                    continue
                value += old
                r[s] = old if imm & 1 else r[s]
            region[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        else:
            r[d] = imm & M32 | (unpack("<i", code, pc * 8 + 4)[0] & M32) << 32
            pc += 1
