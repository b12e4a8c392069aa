"""How control flows in a function: basic blocks, loops, and an order to write them in.

A graph is ``structured`` if every cycle has one entry, which dominates it (it is reducible), and
loops are not nested too deep for Python. Others are run block by block (see ``layout.py``).
All here is about linear in the number of instructions.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.registers import defines, uses
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylibbpf.isa.insn import Insn

__all__ = ["Block", "Flow"]

# Python 3.11 has 20 blocks in each other at most (CO_MAXBLOCKS); some are needed otherwise.
_DEEPEST = 12


class Block:
    """Instructions ``start`` to ``end`` (exclusive) that run one after the other.

    ``taken`` and ``follows`` are the blocks that come next: by the jump at the end, or without;
    None: no such way. ``live``: registers (bits) that are read after the block. ``number`` is the
    place in the order of writing, from 1: jumps go up but for those back to the head of a loop.
    ``loop``: head of the innermost loop around. ``inner``, ``after``: blocks to be written
    behind this one, as the way to them joins from several sides; ``after``: behind the loop.
    """

    __slots__ = (
        "after",
        "back",
        "deep",
        "end",
        "first",
        "follows",
        "idom",
        "inner",
        "last",
        "latch",
        "live",
        "loop",
        "number",
        "parent",
        "preds",
        "start",
        "taken",
        "visit",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.taken: Block | None = None
        self.follows: Block | None = None
        self.preds: list[Block] = []
        self.live = 0
        self.visit = -1  # number in reverse postorder
        self.number = 0
        self.loop: Block | None = None
        self.idom: Block = self
        self.first = self.last = 0  # numbering of the dominator tree
        # Of heads of loops:
        self.back: list[Block] = []  # the blocks that jump back
        self.parent: Block | None = None  # the head of the loop around this loop
        self.deep = 0
        self.latch = 0  # number of the place at the end of the loop
        self.inner: list[Block] = []
        self.after: list[Block] = []

    def __repr__(self) -> str:
        return f"<Block {self.start} to {self.end - 1}>"

    @property
    def next(self) -> tuple[Block, ...]:
        """The blocks that come next."""
        taken, follows = self.taken, self.follows
        if taken is None:
            return () if follows is None else (follows,)
        return (taken,) if follows is None or follows is taken else (follows, taken)

    @property
    def forward(self) -> int:
        """In how many ways it is reached, but for jumps back."""
        return len(self.preds) - len(self.back)

    def dominates(self, other: Block) -> bool:
        return self.first <= other.first and other.last <= self.last

    def home(self) -> Block | None:
        """The head of the innermost loop that a jump here stays in: of the loop around a head."""
        return self.parent if self.back else self.loop


class Flow:
    """The blocks of the function in ``insns[start:end]``; those that nothing reaches are left out.

    ``blocks`` is in reverse postorder. ``structured`` is False where the graph is not; then
    blocks have no loops and no places. ``calls``, ``may_goto``: whether there are any.
    """

    def __init__(self, insns: Sequence[Insn], start: int, end: int) -> None:
        self.insns = insns
        self.start = start
        self.end = end
        entry = self._cut()
        self.blocks = _reverse_postorder(entry)
        for number, block in enumerate(self.blocks):
            block.visit = number
            for target in block.next:
                target.preds.append(block)
        self.liveness()
        self.loops = any(t.visit <= b.visit for b in self.blocks for t in b.next)
        self.structured = self._structure()

    def _cut(self) -> Block:
        insns, end = self.insns, self.end
        heads = {self.start}
        self.calls = self.may_goto = False
        at = self.start
        ends: dict[int, tuple[int | None, int | None]] = {}
        while at < end:
            code = insns[at].code
            kind = code & isa.CLASS_MASK
            if kind in (isa.JMP, isa.JMP32):
                op = code & isa.OP_MASK
                if op == isa.EXIT:
                    ends[at] = (None, None)
                    heads.add(at + 1)
                elif op == isa.CALL:
                    self.calls = True
                else:
                    self.may_goto = self.may_goto or op == isa.JCOND
                    target = (
                        at + 1 + (insns[at].imm if code == isa.JMP32 | isa.JA else insns[at].off)
                    )
                    ends[at] = (target, None if op == isa.JA else at + 1)
                    heads.add(target)
                    heads.add(at + 1)
            elif kind == isa.LD and code != isa.LD_IMM64:
                self.calls = True  # of who reads the packet
            at += 2 if code == isa.LD_IMM64 else 1
        order = sorted(head for head in heads if head < end)
        blocks = {head: Block(head) for head in order}
        stops = sorted(ends)
        stop = 0
        for place, head in enumerate(order):
            block = blocks[head]
            limit = order[place + 1] if place + 1 < len(order) else end
            while stop < len(stops) and stops[stop] < head:
                stop += 1
            block.end = limit
            if stop < len(stops) and stops[stop] < limit:
                block.end = stops[stop] + 1
                taken, follows = ends[stops[stop]]
                block.taken = None if taken is None else blocks[taken]
                block.follows = None if follows is None else blocks[follows]
            else:
                block.follows = blocks[limit]
        return blocks[self.start]

    def liveness(self) -> None:
        """Find what registers are read after each block."""
        facts = {block: _summary(self.insns, block) for block in self.blocks}
        self.with_r10 = [block for block in self.blocks if facts[block][0] >> isa.R10]
        """The blocks that read r10."""
        before: dict[Block, int] = dict.fromkeys(self.blocks, 0)
        work = list(self.blocks)  # popped from the end: the last first
        waiting = set(work)
        while work:
            block = work.pop()
            waiting.discard(block)
            live = 0
            for target in block.next:
                live |= before[target]
            block.live = live
            read, written = facts[block]
            live = read | (live & ~written)
            if live != before[block]:
                before[block] = live
                for pred in block.preds:
                    if pred not in waiting:
                        waiting.add(pred)
                        work.append(pred)
        self.entry_live = before[self.blocks[0]]
        """Registers that are read before they were written."""

    def _structure(self) -> bool:
        _dominators(self.blocks)
        backs = []
        for block in self.blocks:
            for target in block.next:
                if target.visit <= block.visit:
                    if not target.dominates(block):
                        return False
                    backs.append((target, block))
        for head, block in backs:
            head.back.append(block)
        if not _loops(self.blocks):
            return False
        inline: dict[Block, list[Block]] = {}
        for block in self.blocks[1:]:
            parent = block.idom
            home = block.home()
            around = None  # the outermost loop that the parent is in and the block is not
            at = parent.loop
            while at is not None and at is not home:
                around = at
                at = at.parent
            if around is not None:
                around.after.append(block)
            elif block.forward > 1:
                parent.inner.append(block)
            else:
                inline.setdefault(parent, []).append(block)
        _number(self.blocks[0], inline)
        return True


def _reverse_postorder(entry: Block) -> list[Block]:
    order: list[Block] = []
    seen = {entry}
    stack = [(entry, iter(entry.next))]
    while stack:
        block, targets = stack[-1]
        for target in targets:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(target.next)))
                break
        else:
            order.append(block)
            stack.pop()
    order.reverse()
    return order


def _dominators(blocks: list[Block]) -> None:
    """Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm."""
    entry = blocks[0]
    known = {entry}
    changed = True
    while changed:
        changed = False
        for block in blocks[1:]:
            idom: Block | None = None
            # The last first: then the walks up a chain of blocks that all leave for one are short.
            for pred in sorted(block.preds, key=_by_visit, reverse=True):
                if pred not in known:
                    continue
                if idom is None:
                    idom = pred
                    continue
                other = pred
                while other is not idom:
                    while other.visit > idom.visit:
                        other = other.idom
                    while idom.visit > other.visit:
                        idom = idom.idom
            assert idom is not None
            if block not in known or block.idom is not idom:
                known.add(block)
                block.idom = idom
                changed = True
        if all(pred.visit < block.visit for block in blocks for pred in block.preds):
            break  # no cycles: one pass does it
    children: dict[Block, list[Block]] = {block: [] for block in blocks}
    for block in blocks[1:]:
        children[block.idom].append(block)
    clock = 0
    stack = [(entry, iter(children[entry]))]
    entry.first = clock
    while stack:
        block, below = stack[-1]
        for child in below:
            clock += 1
            child.first = clock
            stack.append((child, iter(children[child])))
            break
        else:
            block.last = clock
            stack.pop()


def _by_visit(block: Block) -> int:
    return block.visit


def _loops(blocks: list[Block]) -> bool:
    """Tell which loop each block is in; the inner ones first. False: too deep."""
    into: dict[Block, Block] = {}  # blocks and inner loops by the head of what they were joined to

    def top(block: Block) -> Block:
        path = []
        while block in into:
            path.append(block)
            block = into[block]
        for passed in path:
            into[passed] = block
        return block

    heads = [block for block in reversed(blocks) if block.back]
    for head in heads:
        members: set[Block] = set()
        work = [top(block) for block in head.back]
        while work:
            block = work.pop()
            if block is head or block in members:
                continue
            members.add(block)
            if block.back:
                block.parent = head
            else:
                block.loop = head
            for pred in block.preds:
                if pred.visit < block.visit:  # not one of its own jumps back
                    work.append(top(pred))
        head.loop = head
        for block in members:
            into[block] = head
    for head in reversed(heads):  # outer ones first
        head.deep = 1 + (head.parent.deep if head.parent is not None else 0)
        if head.deep > _DEEPEST:
            return False
    return True


def _number(entry: Block, inline: dict[Block, list[Block]]) -> None:
    """Number blocks in the order of the text.

    What several ways lead to comes behind what dominates it and all that does besides, in an
    order in which jumps go up: reverse postorder is one.
    """
    clock = 0
    work: list[tuple[Block, bool]] = [(entry, False)]
    while work:
        block, end = work.pop()
        clock += 1
        if end:
            block.latch = clock
            continue
        block.number = clock
        block.inner.sort(key=_by_visit)
        if block.back:
            block.after.sort(key=_by_visit)
            work += [(after, False) for after in reversed(block.after)]
            work.append((block, True))
        work += [(join, False) for join in reversed(block.inner)]
        work += [(child, False) for child in inline.get(block, ())]


def _summary(insns: Sequence[Insn], block: Block) -> tuple[int, int]:
    """What a block reads before it writes it, and what it writes."""
    read = written = 0
    at = block.start
    while at < block.end:
        insn = insns[at]
        read |= uses(insn) & ~written
        written |= defines(insn)
        at += 2 if insn.code == isa.LD_IMM64 else 1
    return read, written
