"""What LLVM's assembler writes differently from the kernel's logs: inline assembly in C has it.

Most is the same. Where an access has 32 bits or less, LLVM calls the register by its low half; its
64-bit constants end in ``ll``, and its exchanges have names of their own
(llvm/lib/Target/BPF/BPFInstrInfo.td, 19). All this is read, and never written.
"""

from __future__ import annotations

from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pylibbpf.isa.opcodes import Opcode

__all__ = ["templates"]


def templates(row: Opcode) -> Iterator[str]:
    """Give the other ways to write an instruction, as templates of ``opcodes.py``."""
    first = row.syntax[0]
    if row.kind == "const" and row.src == 0:
        yield f"{first} ll"
    elif row.kind == "legacy" and row.code & isa.MODE_MASK == isa.IND:
        yield first.replace(" + {i}", "")
    elif row.kind == "cast":
        yield first.replace("0", "0x0").replace("1", "0x1")
    elif row.kind in ("ldx", "stx") and row.code & isa.MODE_MASK == isa.MEM:
        if row.code & isa.SIZE_MASK != isa.DW:
            yield _halved(first, "d" if row.kind == "ldx" else "s")
    elif row.kind == "atomic":
        yield from _atomic(row, first)


def _halved(template: str, slot: str) -> str:
    return template.replace(f"{{{slot}}}", f"{{{slot.upper()}}}")


def _atomic(row: Opcode, first: str) -> Iterator[str]:
    wide = row.code & isa.SIZE_MASK == isa.DW
    if row.imm in (isa.LOAD_ACQ, isa.STORE_REL):
        if not wide:
            yield _halved(first, "d" if row.imm == isa.LOAD_ACQ else "s")
        return
    r, source, name = ("r", "{s}", "xchg_64") if wide else ("w", "{S}", "xchg32_32")
    if row.imm == isa.ATOMIC_XCHG:
        yield f"{source} = {name}({{d}} {{o}}, {source})"
    elif row.imm == isa.ATOMIC_CMPXCHG:
        yield f"{r}0 = cmp{name}({{d}} {{o}}, {r}0, {source})"
    elif not wide:
        yield _halved(first, "s")
    elif isinstance(row.imm, int) and row.imm & isa.FETCH:
        yield first.replace("atomic64_", "atomic_")
