"""The text of a function: statements of blocks, put into loops and branches of Python.

Where the graph is structured (see ``flow.py``), a loop becomes a loop, a branch becomes an ``if``,
and what several ways lead to is written once, behind them. Ways to get there:

* Run into it: it is what comes next.
* ``continue`` or ``break``, where it is the start or the end of the innermost loop.
* Else ``t`` is set to its number and all that lies between is passed over: that stands in an
  ``if t<=number:``. Numbers grow in the order of the text, so ``t`` need not be set back, but at
  the start of a loop.
* Where three or more ways join, what is before stands in a loop that runs once: to leave it by
  ``break`` is to be there. (Chains of checks that all give up in one place, and switches.)
* A few instructions before an exit are repeated instead.

Otherwise, or if the text would be nested too deep, blocks are branches of a binary tree of
``if b<number:`` in one loop. Either way the text grows as the program does, and no faster.

Loops take their turns from an iterator that counts what they cost: see ``fuel`` in
``translator.py``. It is charged the instructions that each way round runs at least.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.flow import Block, Flow, defines, uses
from pylibbpf.engine.emulator.vm.statements import FULL, Known, Statements
from pylibbpf.isa import alu
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pylibbpf.isa.insn import Insn

__all__ = ["TURNS", "write"]

# Python's parser allows 100 levels of indentation, and 20 loops and the like in each other.
_DEEPEST = 80
_LOOPS = 17
_ONCE = 8  # from this depth on no loops that run once
_JOIN = 3  # so many ways to a place are worth one
_BRANCHES = 12  # blocks in branches deeper than this get a number of their own
_SMALL = 3  # so many instructions, with the exit, are repeated rather than jumped to

# No loop runs so often in one call of a function: that takes an hour. So a register to which
# a loop adds no more than _STEP at a time stays below 2**64.
TURNS = 1 << 36
_STEP = 1 << 24
LOWEST = 1 << 44  # no region lies below
_ANDS = (isa.ALU | isa.AND | isa.K, isa.ALU64 | isa.AND | isa.K)


# A line that may become one; Python skips it.
NOTHING = ""


class _TooDeep(Exception):  # no error: the other way of writing is taken
    """The text would be nested deeper than Python can read it."""


def write(flow: Flow, out: Statements, entry: Known) -> dict[int, int]:
    """Write the body of a function; give what a turn of each loop costs, by its first instruction.

    The loop that starts at instruction 7 takes its turns from the iterator ``g7``.
    """
    if flow.structured:
        mark = len(out.lines), out.indent
        tree = _Tree(flow, out, entry.copy())
        try:
            tree.write()
            return _costs(flow)
        except _TooDeep:
            del out.lines[mark[0] :], out.places[mark[0] :]
            out.indent = mark[1]
    _Branches(flow, out).write()
    return {flow.start: 1}


def _small(insns: tuple[Insn, ...], block: Block) -> bool:
    """Whether a block is an exit with little before it."""
    if block.end - block.start > _SMALL or insns[block.end - 1].code != isa.EXIT_CODE:
        return False
    return all(
        insn.code & isa.CLASS_MASK in (isa.ALU, isa.ALU64)
        for insn in insns[block.start : block.end - 1]
    )


class _Writer:
    """What both ways of writing have in common."""

    def __init__(self, flow: Flow, out: Statements) -> None:
        self.flow = flow
        self.out = out
        self.depth = 0
        self.start = out.indent

    def deeper(self, by: int) -> None:
        self.depth += by
        if self.depth > _DEEPEST:
            raise _TooDeep
        self.out.indent = self.start + " " * self.depth

    def statements(self, block: Block) -> Insn:
        """Write what a block does, and give its last instruction."""
        out = self.out
        out.block(block.start, block.end)
        last = self.flow.insns[block.end - 1]
        at = block.end - 1
        out.at = at
        if block.taken is None and block.follows is not None:
            out.settle(block.live)  # it just ends
        else:
            out.settle(block.live | uses(last))
        out.at = at
        return last

    def condition(self, last: Insn) -> tuple[str, str]:
        out = self.out
        if last.code == isa.JMP | isa.JCOND:
            out.put("m-=1")
            return "m<0", "m>=0"
        return out.condition(last)

    def refine(self, known: Known, last: Insn, taken: bool) -> Known:
        out = self.out
        known = known.copy()
        if last.code != isa.JMP | isa.JCOND:
            out.known = known
            out.refine(last, taken)
        return known

    def exit(self) -> None:
        out = self.out
        out.put(f"return {out.whole(0)}")


class _Loop:
    """What is around: a loop of the program, or one that runs once (``turns`` False).

    ``limit``: the number of its last place; those above are outside. ``after``: the number of
    the place that ``break`` gets to. ``left``: where else it is left for, by ``t`` and ``break``.
    """

    __slots__ = ("after", "left", "limit", "turns")

    def __init__(self, turns: bool, limit: int, after: int) -> None:
        self.turns = turns
        self.limit = limit
        self.after = after
        self.left: set[int] = set()


class _Tree(_Writer):
    """Writes a structured function.

    What a method returns says how control gets to the end of what it wrote: by having set ``t``
    to one of these numbers, or just so (the empty set); None: it never does.
    """

    def __init__(self, flow: Flow, out: Statements, entry: Known) -> None:
        super().__init__(flow, out)
        self.loops: list[_Loop] = []
        self.into: dict[Block, Known] = {flow.blocks[0]: entry}
        self.jumps = False  # whether t is used
        self.small = {
            block for block in flow.blocks[1:] if not block.back and _small(out.insns, block)
        }
        self.placed: set[Block] = set()
        for block in flow.blocks:
            self.placed.update(block.inner, block.after)
        self.opened: set[Block] = set()
        self.changes = _Changes(flow) if flow.loops else None

    def write(self) -> None:
        out = self.out
        out.at = self.flow.start
        mark = len(out.lines)
        out.put(NOTHING)
        self.sequence([self.flow.blocks[0]], 0, set())
        if self.jumps:
            out.lines[mark] = f"{self.start}t=0"

    def sequence(
        self, blocks: list[Block], next_: int, pending: set[int] | None
    ) -> set[int] | None:
        """Write blocks, and all that they dominate, one behind the other."""
        out = self.out
        todo = blocks[::-1]
        while todo:
            block = todo.pop()
            if block in self.small and block in self.placed:
                continue  # it stands wherever something jumped to it
            assert pending is not None
            next_here = self._next(todo, next_)
            pending.discard(block.number)
            if pending:
                out.at = block.start
                mark = self._under(f"if t<={block.number}:")
                fall = self.sequence([block], next_here, set())
                self._over(mark)
                if fall:
                    pending |= fall
            elif block.back and block not in self.opened:
                pending = self._loop(block, next_here)
                todo += block.after[::-1]
            else:
                pending, more = self._block(block, next_here)
                todo += more[::-1]
        return pending

    def _next(self, todo: list[Block], next_: int) -> int:
        for block in reversed(todo):
            if block not in self.small or block not in self.placed:
                return block.number
        return next_

    def _loop(self, head: Block, next_: int) -> set[int]:
        out = self.out
        changes = self.changes
        assert changes is not None
        known = self.into[head]
        changes.enter(head, known)
        out.at = head.start
        for r, (least, read, write) in changes.bases(head, known, out).items():
            out.hold(known, r, least, read, write)
        after = self._next(head.after[::-1], next_)
        self.opened.add(head)
        out.at = head.start
        loop = _Loop(True, head.latch, after)
        mark = self._open(f"for _ in g{head.start}:", loop)
        jumps, self.jumps = self.jumps, False
        out.put(NOTHING)
        self.sequence([head], head.latch, set())
        if self.jumps:
            out.lines[mark] = f"{out.indent}t=0"
        self.jumps |= jumps
        return self._close(mark, loop)

    def _under(self, text: str) -> int:
        """Begin what is indented; give where."""
        self.out.put(text)
        self.deeper(1)
        return len(self.out.lines)

    def _over(self, mark: int) -> None:
        """End what is indented: Python wants one statement at least."""
        out = self.out
        if not any(out.lines[at] for at in range(len(out.lines) - 1, mark - 1, -1)):
            out.put("pass")
        self.deeper(-1)

    def _open(self, text: str, loop: _Loop) -> int:
        if len(self.loops) >= _LOOPS:
            raise _TooDeep
        self.loops.append(loop)
        return self._under(text)

    def _close(self, mark: int, loop: _Loop) -> set[int]:
        """Go on behind a loop; give the places that it was left for, by ``t``."""
        self.loops.pop()
        self._over(mark)
        left = loop.left
        if left and self.loops:
            outer = self.loops[-1]
            further = {number for number in left if number > outer.limit}
            if further:
                self.out.put(f"if t>{outer.limit}:break")
                outer.left |= further - {outer.after}
                left -= further
        return left

    def _block(self, block: Block, next_: int) -> tuple[set[int] | None, list[Block]]:
        """Write a block, and give what is to be written behind it."""
        self.out.known = self.into.pop(block)
        last = self.statements(block)
        joins = [join for join in block.inner if join not in self.small]
        return self._before(block, last, joins, next_)

    def _before(
        self, block: Block, last: Insn, joins: list[Block], next_: int
    ) -> tuple[set[int] | None, list[Block]]:
        """Write the end of a block, before what several ways from there lead to."""
        if len(self.loops) < _ONCE:
            for place in range(len(joins) - 1, -1, -1):
                join = joins[place]
                if join.forward >= _JOIN:
                    loop = _Loop(False, join.number - 1, join.number)
                    mark = self._open("while True:", loop)
                    fall, more = self._before(block, last, joins[:place], join.number)
                    fall = self.sequence(more, join.number, fall)
                    if fall is not None:
                        loop.left |= {number for number in fall if number != join.number}
                        self.out.put("break")
                    return self._close(mark, loop), joins[place:]
        first = joins[0].number if joins else next_
        fall, inline = self._end(block, last, first)
        return fall, joins if inline is None else [inline, *joins]

    # ------------------------------------------------------------------------------ jumps

    def _arrive(self, target: Block, known: Known) -> None:
        there = self.into.get(target)
        if there is None:
            self.into[target] = known.copy()
        else:
            there.join(known)

    def _inline(self, block: Block, target: Block) -> bool:
        """Whether a block is to be written right here: this is the only way to it."""
        return target not in self.placed and target.visit > block.visit

    def _jump(self, block: Block, target: Block, next_: int, known: Known) -> set[int] | None:
        """Get to a block that is written elsewhere."""
        out = self.out
        if target in self.small:
            out.known = known
            at = out.at
            out.block(target.start, target.end)
            self.exit()
            out.at = at
            return None
        if target.visit <= block.visit:
            number = target.latch
        else:
            number = target.number
            self._arrive(target, known)
        if number == next_:
            return set()
        loop = self.loops[-1] if self.loops else None
        if loop is not None:
            if number == loop.limit and loop.turns:
                out.put("continue")
                return None
            if number > loop.limit:
                if number != loop.after:
                    out.put(f"t={number}")
                    self.jumps = True
                    loop.left.add(number)
                out.put("break")
                return None
        out.put(f"t={number}")
        self.jumps = True
        return {number}

    def _branch(self, block: Block, target: Block, next_: int, known: Known) -> set[int] | None:
        """Write one side of a branch, whatever it is."""
        if self._inline(block, target):
            self._arrive(target, known)
            return self.sequence([target], next_, set())
        return self._jump(block, target, next_, known)

    def _end(self, block: Block, last: Insn, next_: int) -> tuple[set[int] | None, Block | None]:
        """Write the end of a block; give the block to go on with right here, if there is one."""
        out = self.out
        taken, follows = block.taken, block.follows
        if taken is None and follows is None:
            self.exit()
            return None, None
        if taken is None or follows is None or taken is follows:
            target = taken or follows
            assert target is not None
            if taken is not None and taken is follows and last.code == isa.JMP | isa.JCOND:
                out.put("m-=1")
            return self._go(block, target, next_, out.known)
        yes, no = self.condition(last)
        known = out.known
        when, otherwise = self.refine(known, last, True), self.refine(known, last, False)
        # The shorter side first: if it ends there, the other needs no branch of its own.
        if self._inline(block, taken) and not self._inline(block, follows):
            yes, no = no, yes
            taken, follows = follows, taken
            when, otherwise = otherwise, when
        leave = self._leave(next_)
        if leave and self._runs_into(block, taken, next_):
            self._arrives(block, taken, when)
            out.put(f"if {yes}:{leave}")
            return self._go(block, follows, next_, otherwise)
        if self._runs_into(block, taken, next_):
            self._arrives(block, taken, when)
            mark = self._under(f"if {no}:")
            fall = self._branch(block, follows, next_, otherwise)
            self._over(mark)
            return fall or set(), None
        mark = self._under(f"if {yes}:")
        fall = self._branch(block, taken, next_, when)
        if fall is not None and leave and self._inline(block, follows):
            # It got to the end of the loop, then; the other side need not stand in a branch.
            self.out.put(leave)
            fall = None
        self._over(mark)
        if fall is None:
            return self._go(block, follows, next_, otherwise)
        if self._runs_into(block, follows, next_):
            self._arrives(block, follows, otherwise)
            return fall, None
        out.at = block.end - 1
        mark = self._under("else:")
        other = self._branch(block, follows, next_, otherwise)
        self._over(mark)
        return fall | (other or set()), None

    def _go(
        self, block: Block, target: Block, next_: int, known: Known
    ) -> tuple[set[int] | None, Block | None]:
        if self._inline(block, target):
            self._arrive(target, known)
            return set(), target
        return self._jump(block, target, next_, known), None

    def _runs_into(self, block: Block, target: Block, next_: int) -> bool:
        """Whether nothing needs to be done to get to a block."""
        if target in self.small or self._inline(block, target):
            return False
        number = target.latch if target.visit <= block.visit else target.number
        return number == next_

    def _leave(self, next_: int) -> str:
        """The statement that gets to what comes next, where there is one: better than nesting."""
        loop = self.loops[-1] if self.loops else None
        if loop is None:
            return ""
        if loop.turns:
            return "continue" if next_ == loop.limit else ""
        return "break" if next_ == loop.after else ""

    def _arrives(self, block: Block, target: Block, known: Known) -> None:
        if target.visit > block.visit:
            self._arrive(target, known)


def _costs(flow: Flow) -> dict[int, int]:
    """What a turn of each loop costs: no more than the instructions that it must have run.

    That are the blocks that all ways round pass. The last turn of an inner loop may end early,
    each time that the loop is entered: for that the loop around pays less.
    """
    heads = sorted((block for block in flow.blocks if block.back), key=_by_depth)
    inner: dict[Block, int] = {}
    for head in heads:
        if head.parent is not None:
            inner[head.parent] = inner.get(head.parent, 0) + 1
    costs: dict[Block, int] = {}
    for head in heads:
        cost = min(_way(head, latch) for latch in head.back)
        outer = head.parent
        if outer is not None:
            share = max(1, (costs[outer] - 1) // inner[outer])
            cost = min(cost, share)
            inner[outer] -= 1
            costs[outer] = max(1, costs[outer] - cost)
        costs[head] = cost
    return {head.start: cost for head, cost in costs.items()}


def _by_depth(head: Block) -> int:
    return head.deep


def _way(head: Block, latch: Block) -> int:
    cost = 0
    block = latch
    while True:
        cost += block.end - block.start
        if block is head:
            return cost
        block = block.idom


class _Changes:
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
            if step is None:
                known.held.pop(r, None)
            if step is not None and high + step * TURNS <= alu.U64:
                known.ranges[r] = (low, high + step * TURNS)
        known.root.clear()
        known.found.clear()
        if head in self.calling:
            known.held.clear()

    def bases(
        self, head: Block, known: Known, out: Statements
    ) -> dict[int, tuple[int, bool, bool]]:
        """Find registers that the loop only adds to, and reads or writes through.

        Of each: the least offset, and which of both.

        Each stays in its region, or gets out at the far end: so that is looked up before the loop.
        """
        found: dict[int, tuple[int, bool, bool]] = {}
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
                least, read_too, write_too = found.get(r, (0, False, False))
                found[r] = (min(least, off), read_too or not write, write_too or write)
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


class _Branches(_Writer):
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
        out.put("b=0")
        out.put(f"for _ in g{flow.start}:")
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
                out.put("m-=1")
            return self._go(target)
        yes, _ = self.condition(last)
        known = out.known
        otherwise = self.refine(known, last, False)
        out.known = self.refine(known, last, True)
        out.put(f"if {yes}:")
        self.deeper(1)
        if taken not in self.numbers and self.depth > _BRANCHES:
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
        self.out.put(f"b={self.numbers[target]}")
        self.out.put("continue")
        return None
