"""What arithmetic, comparisons and atomic operations give: the one definition.

Executors, verifier and tests all take it from here. Values are unsigned: 0 <= x < 2**64.
Where RFC 9669 leaves a choice, this is what kernel 6.18 does (kernel/bpf/core.c, ___bpf_prog_run,
and what its verifier puts around divisions in do_misc_fixups).
"""

from __future__ import annotations

from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # Two operands below 2**bits and that width; the result is below 2**bits too.
    Binary = Callable[[int, int, int], int]
    Comparison = Callable[[int, int, int], bool]

__all__ = [
    "ATOMICS",
    "BINARY",
    "COMPARISONS",
    "U32",
    "U64",
    "atomic",
    "binary",
    "compare",
    "immediate",
    "signed",
    "swap",
]

U64 = (1 << 64) - 1
U32 = (1 << 32) - 1


def signed(value: int, bits: int) -> int:
    """Read the low ``bits`` of a value as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def immediate(imm: int, bits: int = 64) -> int:
    """Extend a signed 32-bit immediate to an unsigned operand of this width."""
    return imm & ((1 << bits) - 1)


def _div(a: int, b: int, bits: int) -> int:
    return a // b if b else 0


def _mod(a: int, b: int, bits: int) -> int:
    return a % b if b else a


def _sdiv(a: int, b: int, bits: int) -> int:
    """Towards zero; the smallest number by -1 is itself."""
    if not b:
        return 0
    a, b = signed(a, bits), signed(b, bits)
    quotient = abs(a) // abs(b)
    return (-quotient if (a < 0) != (b < 0) else quotient) & ((1 << bits) - 1)


def _smod(a: int, b: int, bits: int) -> int:
    """The sign is the dividend's; the smallest number by -1 leaves 0."""
    if not b:
        return a
    a, b = signed(a, bits), signed(b, bits)
    rest = abs(a) % abs(b)
    return (-rest if a < 0 else rest) & ((1 << bits) - 1)


def _movsx(width: int) -> Binary:
    def movsx(a: int, b: int, bits: int) -> int:
        return signed(b, width) & ((1 << bits) - 1)

    return movsx


# By operation and by what the instruction's off says besides (RFC 9669, section 4.1: signed
# division, sign-extending moves). Shift counts are masked, as no error can be raised at run time.
BINARY: dict[tuple[int, int], Binary] = {
    (isa.ADD, 0): lambda a, b, bits: (a + b) & ((1 << bits) - 1),
    (isa.SUB, 0): lambda a, b, bits: (a - b) & ((1 << bits) - 1),
    (isa.MUL, 0): lambda a, b, bits: (a * b) & ((1 << bits) - 1),
    (isa.DIV, 0): _div,
    (isa.DIV, 1): _sdiv,
    (isa.OR, 0): lambda a, b, bits: a | b,
    (isa.AND, 0): lambda a, b, bits: a & b,
    (isa.LSH, 0): lambda a, b, bits: (a << (b & (bits - 1))) & ((1 << bits) - 1),
    (isa.RSH, 0): lambda a, b, bits: a >> (b & (bits - 1)),
    (isa.NEG, 0): lambda a, b, bits: -a & ((1 << bits) - 1),
    (isa.MOD, 0): _mod,
    (isa.MOD, 1): _smod,
    (isa.XOR, 0): lambda a, b, bits: a ^ b,
    (isa.MOV, 0): lambda a, b, bits: b,
    (isa.MOV, 8): _movsx(8),
    (isa.MOV, 16): _movsx(16),
    (isa.MOV, 32): _movsx(32),
    (isa.ARSH, 0): lambda a, b, bits: (signed(a, bits) >> (b & (bits - 1))) & ((1 << bits) - 1),
}


def binary(op: int, off: int, a: int, b: int, bits: int) -> int:
    """Do an operation of class ALU (32 bits) or ALU64; ``a`` is dst, ``b`` src or the immediate.

    Operands may be wider: their low bits count. The result has zeros above, as a register gets it.

    Raises:
        KeyError: there is no such operation.
    """
    mask = (1 << bits) - 1
    return BINARY[op, off](a & mask, b & mask, bits)


def swap(value: int, size: int) -> int:
    """Turn the bytes of the low ``size`` bits around; the bits above become 0."""
    return int.from_bytes((value & ((1 << size) - 1)).to_bytes(size // 8, "little"), "big")


COMPARISONS: dict[int, Comparison] = {
    isa.JEQ: lambda a, b, bits: a == b,
    isa.JGT: lambda a, b, bits: a > b,
    isa.JGE: lambda a, b, bits: a >= b,
    isa.JSET: lambda a, b, bits: a & b != 0,
    isa.JNE: lambda a, b, bits: a != b,
    isa.JSGT: lambda a, b, bits: signed(a, bits) > signed(b, bits),
    isa.JSGE: lambda a, b, bits: signed(a, bits) >= signed(b, bits),
    isa.JLT: lambda a, b, bits: a < b,
    isa.JLE: lambda a, b, bits: a <= b,
    isa.JSLT: lambda a, b, bits: signed(a, bits) < signed(b, bits),
    isa.JSLE: lambda a, b, bits: signed(a, bits) <= signed(b, bits),
}


def compare(op: int, a: int, b: int, bits: int) -> bool:
    """Tell whether a conditional jump of class JMP (64 bits) or JMP32 is taken.

    Raises:
        KeyError: there is no such comparison.
    """
    mask = (1 << bits) - 1
    return COMPARISONS[op](a & mask, b & mask, bits)


# What an atomic operation stores, from what is there, src, and r0 (RFC 9669, section 5.3). With
# the FETCH bit src gets the old value, or r0 in the case of CMPXCHG.
ATOMICS: dict[int, Callable[[int, int, int], int]] = {
    isa.ATOMIC_ADD: lambda old, src, r0: old + src,
    isa.ATOMIC_OR: lambda old, src, r0: old | src,
    isa.ATOMIC_AND: lambda old, src, r0: old & src,
    isa.ATOMIC_XOR: lambda old, src, r0: old ^ src,
    isa.ATOMIC_XCHG: lambda old, src, r0: src,
    isa.ATOMIC_CMPXCHG: lambda old, src, r0: src if old == r0 else old,
}


def atomic(op: int, old: int, src: int, r0: int, bits: int) -> int:
    """What an atomic operation (``imm`` without the FETCH bit for the arithmetic ones) stores."""
    mask = (1 << bits) - 1
    return ATOMICS[op](old, src & mask, r0 & mask) & mask
