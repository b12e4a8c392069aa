"""Put the answer to a CO-RE relocation into its instruction (libbpf 1.7: bpf_core_patch_insn)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pylibbpf.errors import CoreError
from pylibbpf.isa import insn as isa
from pylibbpf.isa.insn import Insn

if TYPE_CHECKING:
    from pylibbpf.btf.core import Resolution

__all__ = ["POISON", "patch"]

# 0xbad2310, "bad relo": the id of no helper. The verifier refuses a call of it where one can be
# reached, and libbpf knows the number when it explains that.
POISON = 195896080

_SIGNED_16 = (1 << 15) - 1
_CODES = {size: code for code, size in isa.SIZES.items()}


def patch(insns: list[Insn], at: int, resolution: Resolution) -> None:
    """Replace the instruction at ``at``, and of a 64-bit constant the slot behind it, too.

    Raises:
        CoreError: it is not the instruction that the relocation says, or the value does not fit.
    """
    if not 0 <= at < len(insns):
        raise _refused(resolution, f"there are only {len(insns)} instructions")
    if resolution.poison:
        _poison(insns, at)
        return
    operation = insns[at].code & isa.CLASS_MASK
    if operation in (isa.ALU, isa.ALU64):
        _constant(insns, at, resolution)
    elif operation in (isa.LDX, isa.ST, isa.STX):
        _offset(insns, at, resolution)
    elif operation == isa.LD:
        _wide_constant(insns, at, resolution)
    else:
        raise _refused(
            resolution, f"an instruction with opcode {insns[at].code:#04x} has no place for it"
        )


def _poison(insns: list[Insn], at: int) -> None:
    wide = isa.is_ld_imm64(insns[at])
    for slot in range(at, min(at + 1 + wide, len(insns))):
        insns[slot] = Insn(isa.CALL_CODE, imm=POISON)


def _constant(insns: list[Insn], at: int, resolution: Resolution) -> None:
    old = insns[at]
    if old.code & isa.X:
        raise _refused(resolution, "its operand is a register, not a constant")
    _check(resolution, old.imm)
    insns[at] = Insn(old.code, old.dst, old.src, old.off, _signed(resolution.value, 32))


def _offset(insns: list[Insn], at: int, resolution: Resolution) -> None:
    old = insns[at]
    _check(resolution, old.off)
    if resolution.value > _SIGNED_16:
        raise _refused(
            resolution,
            f"a load or store reaches {_SIGNED_16} bytes, the field is at {resolution.value}",
            errno.ERANGE,
        )
    if resolution.bad_size:
        _poison(insns, at)
        return
    code = old.code
    if resolution.size != resolution.original_size:
        size = isa.SIZES[code & isa.SIZE_MASK]
        if size != resolution.original_size:
            raise _refused(
                resolution,
                f"it accesses {size} bytes of a field that has {resolution.original_size}",
            )
        if resolution.size not in _CODES:
            raise _refused(
                resolution, f"the field has {resolution.size} bytes, which no instruction accesses"
            )
        code = code & ~isa.SIZE_MASK | _CODES[resolution.size]
    insns[at] = Insn(code, old.dst, old.src, resolution.value, old.imm)


def _wide_constant(insns: list[Insn], at: int, resolution: Resolution) -> None:
    old = insns[at]
    second = insns[at + 1] if at + 1 < len(insns) else None
    if (
        second is None
        or not isa.is_ld_imm64(old)
        or old.src
        or old.off
        or second.code
        or second.dst
        or second.src
        or second.off
    ):
        raise _refused(resolution, "it is no load of a 64-bit constant")
    _check(resolution, old.imm & 0xFFFFFFFF | second.imm << 32)
    value = resolution.value
    insns[at] = Insn(old.code, old.dst, old.src, old.off, _signed(value, 32))
    insns[at + 1] = Insn(0, imm=_signed(value >> 32, 32))


def _check(resolution: Resolution, number: int) -> None:
    """Raises: CoreError, where the compiler put another number there than its types say."""
    if resolution.validate and number & (1 << 64) - 1 != resolution.original:
        raise _refused(
            resolution,
            f"it holds {number}, where the object's own types say {resolution.original}",
        )


def _signed(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return (value + half & (1 << bits) - 1) - half


def _refused(resolution: Resolution, why: str, number: int = errno.EINVAL) -> CoreError:
    return CoreError(
        f"the instruction does not fit {resolution.asked}: {why}",
        errno=number,
        kind=resolution.kind.value,
    )
