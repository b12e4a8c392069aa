"""What the translator is measured against: BPF by decoding and dispatching, as plain as it gets.

It reads each instruction from its bytes, goes down a ladder of comparisons, and looks regions up
in a dictionary, checking their size. It knows only what the benchmarks need.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def execute(
    code: bytes,
    memory: dict[int, Any],
    r1: int,
    r10: int,
    helpers: dict[int, Callable[..., int]],
    run: Any,
) -> int:
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
        if kind == 7 or kind == 4:
            bits = 64 if kind == 7 else 32
            mask = M64 if kind == 7 else M32
            a = r[d] & mask
            b = r[s] & mask if op & 8 else imm & mask
            what = op & 0xF0
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
                a = r[d] & ((1 << imm) - 1)
                if op & 8 or kind == 7:
                    a = int.from_bytes(a.to_bytes(imm // 8, "little"), "big")
                mask = M64
            r[d] = a & mask
        elif kind == 5 or kind == 6:
            what = op & 0xF0
            if what == 0x80 and kind == 5:
                r[0] = helpers[imm](run, r[1], r[2], r[3], r[4], r[5]) & M64
                continue
            if what == 0x90:
                return r[0]
            if what == 0x00:
                pc += off if kind == 5 else imm
                continue
            bits = 64 if kind == 5 else 32
            mask = M64 if kind == 5 else M32
            a = r[d] & mask
            b = r[s] & mask if op & 8 else imm & mask
            if what == 0x10:
                taken = a == b
            elif what == 0x20:
                taken = a > b
            elif what == 0x30:
                taken = a >= b
            elif what == 0x40:
                taken = a & b != 0
            elif what == 0x50:
                taken = a != b
            elif what == 0x60:
                taken = signed(a, bits) > signed(b, bits)
            elif what == 0x70:
                taken = signed(a, bits) >= signed(b, bits)
            elif what == 0xA0:
                taken = a < b
            elif what == 0xB0:
                taken = a <= b
            elif what == 0xC0:
                taken = signed(a, bits) < signed(b, bits)
            else:
                taken = signed(a, bits) <= signed(b, bits)
            if taken:
                pc += off
        elif kind == 1:
            address = r[s] + off
            region = memory[address >> 32]
            at = address & M32
            size = SIZES[op & 0x18]
            if at + size > len(region):
                raise IndexError(address)
            value = int.from_bytes(region[at : at + size], "little")
            if op & 0xE0 == 0x80:
                value = signed(value, 8 * size) & M64
            r[d] = value
        elif kind == 2 or kind == 3:
            address = r[d] + off
            region = memory[address >> 32]
            at = address & M32
            size = SIZES[op & 0x18]
            if at + size > len(region):
                raise IndexError(address)
            value = r[s] if kind == 3 else imm
            if op & 0xE0 == 0xC0:  # of atomics, only the addition
                old = int.from_bytes(region[at : at + size], "little")
                value += old
                if imm & 1:
                    r[s] = old
            region[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        else:
            high = unpack("<i", code, pc * 8 + 4)[0]
            r[d] = imm & M32 | (high & M32) << 32
            pc += 1
