"""Which registers instructions read and write: sets of them, as bits."""

from __future__ import annotations

from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import OPCODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.isa.insn import Insn
    from pylibbpf.isa.opcodes import Opcode

__all__ = [
    "ELSE",
    "READS_DST",
    "READS_SRC",
    "REGISTERS",
    "WRITES_DST",
    "defines",
    "is_tail_call",
    "uses",
]

_ARGUMENTS = 0b111110
READS_DST, READS_SRC, WRITES_DST, ELSE = 1, 2, 4, 8


def is_tail_call(insn: Insn) -> bool:
    """Tell whether an instruction calls bpf_tail_call."""
    return insn.code == isa.CALL_CODE and insn.src == isa.HELPER and insn.imm == isa.TAIL_CALL


def uses(insn: Insn) -> int:
    """The registers (bits) that an instruction reads."""
    what = REGISTERS[insn.code]
    if what & ELSE:
        return _uses_else(insn)
    reads = 1 << insn.dst if what & READS_DST else 0
    return reads | 1 << insn.src if what & READS_SRC else reads


def defines(insn: Insn) -> int:
    """The registers (bits) that an instruction writes, whatever happens."""
    what = REGISTERS[insn.code]
    if what & ELSE:
        return _defines_else(insn)
    return 1 << insn.dst if what & WRITES_DST else 0


def _uses_else(insn: Insn) -> int:
    code = insn.code
    dst, src = 1 << insn.dst, 1 << insn.src
    if code & isa.CLASS_MASK == isa.JMP:
        if code & isa.OP_MASK == isa.EXIT:
            return 1
        if code & isa.X:
            return _ARGUMENTS | dst
        # A tail call that goes nowhere leaves r0 as it was.
        return _ARGUMENTS | 1 if is_tail_call(insn) else _ARGUMENTS
    if code & isa.MODE_MASK == isa.ATOMIC:
        if insn.imm == isa.LOAD_ACQ:
            return src
        return dst | src | (1 if insn.imm == isa.ATOMIC_CMPXCHG else 0)
    return 1 << 6 | (src if code & isa.MODE_MASK == isa.IND else 0)


def _defines_else(insn: Insn) -> int:
    code = insn.code
    if code & isa.CLASS_MASK == isa.JMP:
        return 0 if is_tail_call(insn) else 1
    if code & isa.MODE_MASK == isa.ATOMIC:
        if insn.imm == isa.LOAD_ACQ:
            return 1 << insn.dst
        if insn.imm == isa.ATOMIC_CMPXCHG:
            return 1
        return 1 << insn.src if insn.imm & isa.FETCH and insn.imm != isa.STORE_REL else 0
    return 1  # of the packet


def _registers(row: Opcode) -> int:
    if row.kind in ("call", "exit", "atomic", "legacy"):
        return ELSE
    # NEG and the byte swaps have no second operand; MOV and LDX do not read their first.
    first = row.kind in ("st", "stx", "cond", "end") or (
        row.kind == "alu" and row.code & isa.OP_MASK != isa.MOV
    )
    second = row.kind in ("ldx", "stx", "cast") or (
        row.kind in ("alu", "cond") and row.code & isa.X
    )
    written = row.kind in ("alu", "end", "cast", "ldx", "const")
    return (
        (READS_DST if first else 0) | (READS_SRC if second else 0) | (WRITES_DST if written else 0)
    )


REGISTERS = [0] * 256
"""What instructions do with registers, by code; ELSE: that depends on more."""
for _row in OPCODES:
    REGISTERS[_row.code] = _registers(_row)
