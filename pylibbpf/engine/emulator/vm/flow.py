"""How control flows in a function: basic blocks, loops, and an order to write them in.

A graph is ``structured`` if every cycle has one entry, which dominates it (it is reducible), and
loops are not nested too deep for Python. Others are run block by block (see ``layout.py``).
All here is about linear in the number of instructions.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.registers import (
    ELSE,
    READS_DST,
    READS_SRC,
    REGISTERS,
    WRITES_DST,
    defines,
    uses,
)
from pylibbpf.isa import insn as isa
from pylibbpf.isa.opcodes import OPCODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylibbpf.isa.insn import Insn

__all__ = ["Block", "Flow"]

# Python 3.11 has 20 blocks in each other at most (CO_MAXBLOCKS); some are needed otherwise.
_DEEPEST = 12


# What most blocks have: none of those. It stays empty.
_NOTHING: list[Block] = []


class Block:
    """Instructions ``start`` to ``end`` (exclusive) that run one after the other.

    ``taken`` and ``follows`` are the blocks that come next: by the jump at the end, or without;
    None: no such way. ``next`` has both, once each. ``live``: registers (bits) that are read after
    the block. ``number`` is the place in the order of writing, from 1: jumps go up but for those
    back to the head of a loop. ``loop``: head of the innermost loop around. ``inner``, ``after``:
    blocks to be written behind this one, as the way to them joins from several sides; ``after``:
    behind the loop.
    """

    taken: Block | None = None
    follows: Block | None = None
    next: tuple[Block, ...] = ()
    live = 0
    visit = -1  # number in reverse postorder
    number = 0
    loop: Block | None = None
    first = last = 0  # numbering of the dominator tree
    placed = False  # it is in ``inner`` or ``after`` of another
    small = False  # it is repeated rather than jumped to
    # Of heads of loops:
    back: list[Block] = _NOTHING  # the blocks that jump back
    parent: Block | None = None  # the head of the loop around this loop
    deep = 0
    latch = 0  # number of the place at the end of the loop
    inner: list[Block] = _NOTHING
    after: list[Block] = _NOTHING

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.preds: list[Block] = []
        self.idom: Block = self

    def __repr__(self) -> str:
        return f"<Block {self.start} to {self.end - 1}>"

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
    """The blocks of the function in ``insns[start:end]``, if it is entered at ``entry``.

    Those that nothing reaches are left out. ``blocks`` is in reverse postorder, or where nothing
    jumps back in the order of instructions. ``structured`` is False where the graph is not; then
    blocks have no loops and no places. ``calls``, ``may_goto``: whether there are any.
    """

    def __init__(self, insns: Sequence[Insn], start: int, end: int, entry: int) -> None:
        self.insns = insns
        self.start = start
        self.end = end
        self.calls = self.may_goto = False
        blocks, first, upward = self._cut(entry)
        # Where all jumps go up, so do the numbers of the blocks.
        self.blocks = _reverse_postorder(first) if upward else _reachable(blocks, first)
        for block in self.blocks:
            for target in block.next:
                target.preds.append(block)  # so these are in order, too
        self.loops = upward and any(t.visit <= b.visit for b in self.blocks for t in b.next)
        self.with_r10: list[int] = []
        """The instructions that read r10."""
        self.liveness()
        self.structured = self._structure()

    def _cut(self, entry: int) -> tuple[list[Block], Block, bool]:
        """Make blocks, in the order of instructions; tell the first, and whether any jumps back."""
        insns, start, end = self.insns, self.start, self.end
        ends: list[tuple[int, int | None, int | None]] = []
        heads = {start, entry}
        upward = False
        for at, insn in enumerate(insns[start:end], start):
            what = _JUMPS[insn.code]
            if not what:
                continue
            if what == _CALL:
                self.calls = True
                continue
            after = at + 1
            heads.add(after)
            if what == _EXIT:
                ends.append((at, None, None))
                continue
            target = after + (insn.imm if what == _FAR else insn.off)
            heads.add(target)
            ends.append((at, target, after if what >= _CONDITION else None))
            if target <= at:
                upward = True
            if what == _MAY_GOTO:
                self.may_goto = True
        heads.discard(end)
        order = sorted(heads)
        blocks = [Block(head) for head in order]
        by_start = dict(zip(order, blocks, strict=True))
        order.append(end)
        stops = iter(ends)
        stop, taken, follows = next(stops)
        for place, block in enumerate(blocks, 1):
            block.end = limit = order[place]
            if stop < limit:
                if taken is not None:
                    block.taken = by_start[taken]
                    if follows is not None and follows != taken:
                        block.follows = by_start[follows]
                        block.next = (block.follows, block.taken)
                    else:
                        block.follows = None if follows is None else block.taken
                        block.next = (block.taken,)
                stop, taken, follows = next(stops, _NO_STOP)
            else:
                block.follows = blocks[place]
                block.next = (block.follows,)
        return blocks, by_start[entry], upward

    def liveness(self) -> None:
        """Find what registers are read after each block."""
        facts = {}
        before: dict[Block, int] = {}
        for block in reversed(self.blocks):
            read, written = facts[block] = self._summary(block)
            live = 0
            for target in block.next:
                live |= before.get(target, 0)
            block.live = live
            before[block] = read | (live & ~written)
        if self.loops:
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

    def _summary(self, block: Block) -> tuple[int, int]:
        """What a block reads before it writes it, and what it writes."""
        read = written = 0
        for at, insn in enumerate(self.insns[block.start : block.end], block.start):
            what = REGISTERS[insn.code]
            if what & ELSE:
                reads, writes = uses(insn), defines(insn)
            else:
                reads = 1 << insn.dst if what & READS_DST else 0
                if what & READS_SRC:
                    reads |= 1 << insn.src
                writes = 1 << insn.dst if what & WRITES_DST else 0
            if reads:
                if reads & _R10:
                    self.with_r10.append(at)
                read |= reads & ~written
            written |= writes
        return read, written

    def _structure(self) -> bool:
        _dominators(self.blocks, self.loops)
        backs: list[tuple[Block, Block]] = []
        for block in self.blocks if self.loops else ():
            for target in block.next:
                if target.visit <= block.visit:
                    if not target.dominates(block):
                        return False
                    backs.append((target, block))
        for head, block in backs:
            if not head.back:
                head.back = []
            head.back.append(block)
        if backs and not _loops(self.blocks):
            return False
        inline: dict[Block, list[Block]] = {}
        for block in self.blocks[1:]:
            parent = block.idom
            around = None  # the outermost loop that the parent is in and the block is not
            at = parent.loop
            if at is not None:
                home = block.home()
                while at is not None and at is not home:
                    around = at
                    at = at.parent
            if around is not None:
                if not around.after:
                    around.after = []
                around.after.append(block)
                block.placed = True
            elif len(block.preds) - len(block.back) > 1:
                if not parent.inner:
                    parent.inner = []
                parent.inner.append(block)
                block.placed = True
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
    for number, block in enumerate(order):
        block.visit = number
    return order


def _reachable(blocks: list[Block], first: Block) -> list[Block]:
    """The blocks that can be got to, where all ways go on to later ones."""
    reached = {first}
    found: list[Block] = []
    for block in blocks:
        if block in reached:
            block.visit = len(found)
            found.append(block)
            reached.update(block.next)
    return found


def _dominators(blocks: list[Block], loops: bool) -> None:
    """Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm.

    Jumps back are left out, so one pass does it. Where each of them goes to a block that dominates
    it all the same, they change nothing; where one does not, nobody wants to know: the graph is
    not structured.
    """
    entry = blocks[0]
    for block in blocks[1:]:
        preds = block.preds
        if loops:
            preds = [pred for pred in preds if pred.visit < block.visit]
        # The last first: then the walks up a chain of blocks that all leave for one are short.
        nearest = preds[-1]
        for other in preds[-2::-1]:
            while other is not nearest:
                while other.visit > nearest.visit:
                    other = other.idom
                while nearest.visit > other.visit:
                    nearest = nearest.idom
        block.idom = nearest
    if not loops:
        return
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
    work: list[Block] = [entry]
    ends: list[Block] = []  # heads of loops whose ends are in ``work``, as the entry
    while work:
        block = work.pop()
        clock += 1
        if block is entry and clock > 1 and ends:
            ends.pop().latch = clock
            continue
        block.number = clock
        # All these lists are in reverse postorder, as they were made in it.
        if block.back:
            work += block.after[::-1]
            work.append(entry)
            ends.append(block)
        if block.inner:
            work += block.inner[::-1]
        if block in inline:
            work += inline[block]


_EXIT, _CALL, _NEAR, _FAR, _CONDITION, _MAY_GOTO = range(1, 7)
_KINDS = {"exit": _EXIT, "call": _CALL, "legacy": _CALL, "cond": _CONDITION, "may_goto": _MAY_GOTO}
# What instructions do with the flow of control. Who reads the packet is called, too.
_JUMPS = [0] * 256
for _row in OPCODES:
    _JUMPS[_row.code] = _KINDS.get(_row.kind, 0)
_JUMPS[isa.JMP | isa.JA] = _NEAR
_JUMPS[isa.JMP32 | isa.JA] = _FAR
_NO_STOP: tuple[int, None, None] = (1 << 32, None, None)
_R10 = 1 << isa.R10
