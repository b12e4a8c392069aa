"""Write instructions as the kernel's logs do."""

from __future__ import annotations

from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import find
from pylibbpf.isa.syntax import raw, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pylibbpf.isa.insn import Insn

__all__ = ["disassemble", "text"]


def text(insns: Sequence[Insn], at: int) -> str:
    """Write the instruction at an index; what is none is written as its bytes (``.8byte``)."""
    insn = insns[at]
    row = find(insn)
    if row is None:
        return raw(insn)
    if not row.wide:
        return write(row, insn)
    return write(row, insn, insns[at + 1].imm) if _whole(insns, at) else raw(insn)


def disassemble(insns: Sequence[Insn]) -> Iterator[tuple[int, str]]:
    """Give the index and the text of each instruction, in order.

    The assembler makes the same instructions of the texts, whatever they were.
    """
    at = 0
    while at < len(insns):
        yield at, text(insns, at)
        at += 2 if isa.is_ld_imm64(insns[at]) and _takes_two(insns, at) else 1


def _takes_two(insns: Sequence[Insn], at: int) -> bool:
    return find(insns[at]) is not None and _whole(insns, at)


def _whole(insns: Sequence[Insn], at: int) -> bool:
    """Whether what follows is the second half of an LD_IMM64."""
    if at + 1 >= len(insns):
        return False
    other = insns[at + 1]
    return not (other.code or other.dst or other.src or other.off)
