"""What both ways of writing a function have in common; see ``layout.py``."""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.registers import uses
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.emulator.vm.flow import Block, Flow
    from pylibbpf.engine.emulator.vm.known import Known
    from pylibbpf.engine.emulator.vm.statements import Statements
    from pylibbpf.isa.insn import Insn

__all__ = ["TooDeep", "Writer"]

_DEEPEST = 80  # levels of indentation: Python's parser allows 100
_INDENT = " " * _DEEPEST


class TooDeep(Exception):  # no error: the other way of writing is taken
    """The text would be nested deeper than Python can read it."""


class Writer:
    """Writes a function, block by block."""

    def __init__(self, flow: Flow, out: Statements) -> None:
        self.flow = flow
        self.out = out
        self.depth = 0
        self.start = out.indent

    def deeper(self, by: int) -> None:
        out = self.out
        if out.line or out.chained >= 0:
            out.end_line()
        self.depth += by
        if self.depth > _DEEPEST:
            raise TooDeep
        out.indent = self.start + _INDENT[: self.depth]

    def statements(self, block: Block) -> Insn:
        """Write what a block does, and give its last instruction."""
        out = self.out
        out.block(block.start, block.end)
        at = out.at = block.end - 1
        last = self.flow.insns[at]
        if out.loose:
            jumps = block.taken is not None or block.follows is None
            out.settle(block.live | uses(last) if jumps else block.live)
        return last

    def condition(self, last: Insn) -> tuple[str, str]:
        out = self.out
        if last.code == isa.JMP | isa.JCOND:
            out.calm("m-=1")
            return "m<0", "m>=0"
        return out.condition(last)

    def refine(self, known: Known, last: Insn, taken: bool) -> Known:
        if last.code != isa.JMP | isa.JCOND:
            known.refine(last, taken)
        return known

    def exit(self) -> None:
        out = self.out
        out.calm(f"return {out.whole(0)}")
