"""The other way of writing a function: see ``layout.py``."""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.flow import Block
from pylibbpf.engine.emulator.vm.known import Known
from pylibbpf.engine.emulator.vm.writer import Writer
from pylibbpf.isa import insn as isa

__all__ = ["Branches"]

_DEEPEST = 12  # blocks in branches deeper than this get a number of their own


class Branches(Writer):
    """Writes any function: one loop, in which ``b`` says which block is next."""

    def write(self) -> None:
        flow, out = self.flow, self.out
        blocks = flow.blocks
        heads = [blocks[0]]
        heads += [
            block
            for block in blocks[1:]
            if len(block.preds) > 1 or any(p.visit >= block.visit for p in block.preds)
        ]
        self.numbers = {block: number for number, block in enumerate(heads)}
        self.heads = heads
        out.at = flow.start
        out.calm("b=0")
        out.header(f"for _ in g{flow.start}:")
        # Blocks that get a number on the way, as they are too deep where they would stand, come
        # behind: so the tree is written over the numbers that there are in the end.
        self.texts: list[tuple[list[str], list[int]]] = []
        lines, places, outside = out.lines, out.places, out.indent
        done = 0
        while done < len(self.heads):
            out.lines, out.places = [], []
            self.start = ""
            self.depth = 0
            self.deeper(0)
            self._head(self.heads[done])
            out.end_line()
            self.texts.append((out.lines, out.places))
            done += 1
        out.lines, out.places = lines, places
        self._tree(outside + " ")
        out.indent = outside

    def _tree(self, indent: str) -> None:
        """Write the binary tree over all that has a number."""
        out = self.out
        work = [(0, len(self.texts), indent, "")]
        while work:
            low, high, indent, line = work.pop()
            if line:
                out.lines.append(indent + line)
                out.places.append(self.flow.start)
            elif high - low == 1:
                lines, places = self.texts[low]
                out.lines += [indent + text for text in lines]
                out.places += places
            else:
                middle = (low + high) // 2
                work.append((middle, high, indent + " ", ""))
                work.append((0, 0, indent, "else:"))
                work.append((low, middle, indent + " ", ""))
                work.append((0, 0, indent, f"if b<{middle}:"))

    def _head(self, head: Block) -> None:
        out = self.out
        out.known = Known()
        block: Block | None = head
        while block is not None:
            block = self._block(block)

    def _block(self, block: Block) -> Block | None:
        """Write a block; give the one to go on with."""
        out = self.out
        last = self.statements(block)
        taken, follows = block.taken, block.follows
        if taken is None and follows is None:
            self.exit()
            return None
        if taken is None or follows is None or taken is follows:
            target = taken or follows
            assert target is not None
            if taken is not None and taken is follows and last.code == isa.JMP | isa.JCOND:
                out.calm("m-=1")
            return self._go(target)
        yes, _ = self.condition(last)
        known = out.known
        otherwise = self.refine(known.copy(), last, False)
        out.known = self.refine(known, last, True)
        out.header(f"if {yes}:")
        self.deeper(1)
        if taken not in self.numbers and self.depth > _DEEPEST:
            self.numbers[taken] = len(self.heads)
            self.heads.append(taken)
        there: Block | None = self._go(taken)
        while there is not None:
            there = self._block(there)
        self.deeper(-1)
        out.known = otherwise
        return self._go(follows)

    def _go(self, target: Block) -> Block | None:
        if target not in self.numbers:
            return target
        self.out.calm(f"b={self.numbers[target]}")
        self.out.calm("continue")
        return None
