"""What loops cost, what they do to registers, and which of these stay in one region."""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.flow import Block, Flow
from pylibbpf.engine.emulator.vm.known import FULL, LOWEST, Known
from pylibbpf.engine.emulator.vm.registers import defines
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pylibbpf.engine.emulator.vm.statements import Statements
    from pylibbpf.isa.insn import Insn

__all__ = ["TURNS", "Changes", "costs"]

# No loop runs so often in one call of a function: that takes an hour. So a register to which
# a loop adds no more than _STEP at a time stays below 2**64.
TURNS = 1 << 36
_STEP = 1 << 24
_ANDS = (isa.ALU | isa.AND | isa.K, isa.ALU64 | isa.AND | isa.K)


def costs(flow: Flow) -> dict[int, int]:
    """What a turn of each loop costs: no more than the instructions that it must have run.

    That are the blocks that all ways round pass. The last turn of an inner loop may end early,
    each time that the loop is entered: for that the loop around pays less.
    """
    heads = sorted((block for block in flow.blocks if block.back), key=_by_depth)
    inner: dict[Block, int] = {}
    for head in heads:
        if head.parent is not None:
            inner[head.parent] = inner.get(head.parent, 0) + 1
    found: dict[Block, int] = {}
    for head in heads:
        cost = _way(head)
        outer = head.parent
        if outer is not None:
            share = max(1, (found[outer] - 1) // inner[outer])
            cost = min(cost, share)
            inner[outer] -= 1
            found[outer] = max(1, found[outer] - cost)
        found[head] = cost
    return {head.start: cost for head, cost in found.items()}


def _by_depth(head: Block) -> int:
    return head.deep


def _way(head: Block) -> int:
    """The instructions of the blocks that the shortest way round passes, whatever else it does."""
    ways = {head: head.end - head.start}
    for latch in head.back:
        passed = []
        block = latch
        while block not in ways:  # each block once: a loop may be jumped back in from everywhere
            passed.append(block)
            block = block.idom
        cost = ways[block]
        for block in reversed(passed):
            cost += block.end - block.start
            ways[block] = cost
    return min(ways[latch] for latch in head.back)


class Changes:
    """What loops do to registers."""

    def __init__(self, flow: Flow) -> None:
        self.insns = flow.insns
        self.loops: dict[Block, list[int | None]] = {}
        self.blocks: dict[Block, list[Block]] = {}
        self.calling: set[Block] = set()
        for block in flow.blocks:
            head = block.loop
            if head is None:
                continue
            steps = _steps(flow.insns, block)
            calls = _calls(flow.insns, block)
            while head is not None:
                self.blocks.setdefault(head, []).append(block)
                if calls:
                    self.calling.add(head)
                there = self.loops.setdefault(head, [0] * isa.R10)
                for r, step in enumerate(steps):
                    if step != 0:
                        mine = there[r]
                        there[r] = None if mine is None or step is None else mine + step
                head = head.parent

    def enter(self, head: Block, known: Known) -> None:
        """Know at the start of a loop only what all its turns leave as it is."""
        for r, step in enumerate(self.loops[head]):
            if step == 0:
                continue
            low, high = known.ranges[r]
            known.ranges[r] = FULL
            known.frame.pop(r, None)
            known.root.pop(r, None)
            if step is None:
                known.held.pop(r, None)
            if step is not None and high + step * TURNS <= alu.U64:
                known.ranges[r] = (low, high + step * TURNS)
        if head in self.calling:
            known.called()

    def bases(
        self, head: Block, known: Known, out: Statements
    ) -> dict[int, tuple[int, bool, bool, int | None]]:
        """Find registers that the loop only adds to, and reads or writes through.

        Of each: the least offset, which of both, and the offset if there is only one.

        Each stays in its region, or gets out at the far end: so that is looked up before the loop.
        """
        found: dict[int, tuple[int, bool, bool, int | None]] = {}
        if head in self.calling:
            return found
        steps = self.loops[head]
        may = {
            r
            for r in range(isa.R10)
            if steps[r] is not None
            and r not in known.frame
            and r not in known.held
            and known.ranges[r][1] >= LOWEST
        }
        if not may:
            return found
        for block in self.blocks[head]:
            for r, off, write in _accesses(self.insns, block, may, out):
                least, read_too, write_too, only = found.get(r, (0, False, False, off))
                if off != only:
                    only = None
                found[r] = (min(least, off), read_too or not write, write_too or write, only)
        return found


def _calls(insns: Sequence[Insn], block: Block) -> bool:
    """Whether anything in a block could take regions away."""
    for insn in insns[block.start : block.end]:
        code = insn.code
        kind = code & isa.CLASS_MASK
        if kind == isa.LD and code & isa.MODE_MASK in (isa.ABS, isa.IND):
            return True
        if kind == isa.JMP and code & isa.OP_MASK == isa.CALL:
            return True
    return False


def _accesses(
    insns: Sequence[Insn], block: Block, may: set[int], out: Statements
) -> Iterator[tuple[int, int, bool]]:
    """Go through the accesses of a block: from which of these registers, offset, if it writes."""
    origin = {r: r for r in may}
    at = block.start
    while at < block.end:
        insn = insns[at]
        code, dst = insn.code, insn.dst
        kind = code & isa.CLASS_MASK
        base = None
        if kind == isa.LDX:
            base = insn.src
        elif kind in (isa.ST, isa.STX) and code & isa.MODE_MASK == isa.MEM:
            base = dst
        if base in origin and at not in out.slow and at not in out.probes:
            yield origin[base], insn.off, kind != isa.LDX
        if code == isa.ALU64 | isa.MOV | isa.X and not insn.off and insn.src in origin:
            origin[dst] = origin[insn.src]
        elif code == isa.ALU64 | isa.ADD | isa.X:
            if dst not in origin and insn.src in origin:
                origin[dst] = origin[insn.src]
        elif code != isa.ALU64 | isa.ADD | isa.K or insn.imm < 0:
            written = defines(insn)
            for r in list(origin):
                if written >> r & 1:
                    del origin[r]
        at += 2 if code == isa.LD_IMM64 else 1


def _steps(insns: Sequence[Insn], block: Block) -> list[int | None]:
    """How much a block adds to each register at most; None: it does something else to it."""
    steps: list[int | None] = [0] * isa.REGISTERS
    small: dict[int, int] = {}  # registers that are known to hold no more than this
    at = block.start
    while at < block.end:
        insn = insns[at]
        written = defines(insn)
        if written:
            dst = insn.dst
            code = insn.code
            step: int | None = None
            if code == isa.ALU64 | isa.ADD | isa.K and 0 <= insn.imm < _STEP:
                step = insn.imm
            elif code == isa.ALU64 | isa.ADD | isa.X and insn.src != dst:
                step = small.get(insn.src)
            for r in range(isa.R10):
                if written >> r & 1:
                    mine = steps[r]
                    steps[r] = None if step is None or mine is None else mine + step
                    small.pop(r, None)
            if code == isa.LDX | isa.MEM | isa.B:
                small[dst] = 0xFF
            elif code == isa.LDX | isa.MEM | isa.H:
                small[dst] = 0xFFFF
            elif code in _ANDS and 0 <= insn.imm < _STEP:
                small[dst] = insn.imm
        at += 2 if insn.code == isa.LD_IMM64 else 1
    return steps
