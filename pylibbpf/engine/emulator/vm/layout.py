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
``names.py``. It is charged the instructions that each way round runs at least.
"""

from __future__ import annotations

from pylibbpf.engine.emulator.vm.branches import Branches
from pylibbpf.engine.emulator.vm.loops import Changes, costs
from pylibbpf.engine.emulator.vm.writer import TooDeep, Writer
from pylibbpf.isa import insn as isa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pylibbpf.engine.emulator.vm.flow import Block, Flow
    from pylibbpf.engine.emulator.vm.known import Known
    from pylibbpf.engine.emulator.vm.statements import Statements
    from pylibbpf.isa.insn import Insn

__all__ = ["write"]

_LOOPS = 17  # Python allows 20 loops and the like in each other
_ONCE = 8  # from this depth on no loops that run once
_JOIN = 3  # so many ways to a place are worth one
_SMALL = 3  # so many instructions, with the exit, are repeated rather than jumped to

# A line that may become one; Python skips it.
NOTHING = ""
_MAY_GOTO = isa.JMP | isa.JCOND
# What cannot stand behind the colon of something else.
_COMPOUND = ("if ", "for ", "while ", "else:")


def write(flow: Flow, out: Statements, entry: Known) -> dict[int, int]:
    """Write the body of a function; give what a turn of each loop costs, by its first instruction.

    The loop that starts at instruction 7 takes its turns from the iterator ``g7``.
    """
    if flow.structured:
        mark = len(out.lines), out.indent
        tree = _Tree(flow, out, entry.copy())
        try:
            tree.write()
            return costs(flow)
        except TooDeep:
            out.drop(mark[0])
            out.indent = mark[1]
    Branches(flow, out).write()
    return {flow.start: 1}


def _inline(block: Block, target: Block) -> bool:
    """Whether a block is to be written right behind another: that is the only way to it."""
    return not target.placed and target.visit > block.visit


def _small(insns: tuple[Insn, ...], block: Block) -> bool:
    """Whether a block is an exit with little before it."""
    if block.end - block.start > _SMALL or insns[block.end - 1].code != isa.EXIT_CODE:
        return False
    return all(
        insn.code & isa.CLASS_MASK in (isa.ALU, isa.ALU64)
        for insn in insns[block.start : block.end - 1]
    )


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


class _Tree(Writer):
    """Writes a structured function.

    What a method returns says how control gets to the end of what it wrote: by having set ``t``
    to one of these numbers, or just so (the empty set); None: it never does.
    """

    def __init__(self, flow: Flow, out: Statements, entry: Known) -> None:
        super().__init__(flow, out)
        self.loops: list[_Loop] = []
        self.into: dict[Block, Known] = {flow.blocks[0]: entry}
        self.jumps = False  # whether t is used
        for block in flow.blocks[1:]:
            if not block.next and not block.back and _small(out.insns, block):
                block.small = True
        self.opened: set[Block] = set()
        self.changes = Changes(flow) if flow.loops else None

    def write(self) -> None:
        out = self.out
        out.at = self.flow.start
        mark = len(out.lines)
        out.header(NOTHING)
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
            if block.small and block.placed:
                continue  # it stands wherever something jumped to it
            assert pending is not None
            next_here = self._next(todo, next_) if todo else next_
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
            if not block.small or not block.placed:
                return block.number
        return next_

    def _loop(self, head: Block, next_: int) -> set[int]:
        out = self.out
        changes = self.changes
        assert changes is not None
        known = self.into[head]
        changes.enter(head, known)
        out.at = head.start
        for r, (least, read, write, only) in changes.bases(head, known, out).items():
            out.hold(known, r, least, read, write, only)
        after = self._next(head.after[::-1], next_)
        self.opened.add(head)
        out.at = head.start
        loop = _Loop(True, head.latch, after)
        mark = self._open(f"for _ in g{head.start}:", loop)
        jumps, self.jumps = self.jumps, False
        out.header(NOTHING)
        self.sequence([head], head.latch, set())
        if self.jumps:
            out.lines[mark] = f"{out.indent}t=0"
        self.jumps |= jumps
        return self._close(mark, loop)

    def _under(self, text: str) -> int:
        """Begin what is indented; give where."""
        out = self.out
        out.header(text)
        self.deeper(1)
        return len(out.lines)

    def _over(self, mark: int, short: bool = True) -> None:
        """End what is indented: Python wants one statement at least.

        ``short``: it may go where the colon is, if it is one line.
        """
        out = self.out
        out.end_line()
        lines = out.lines
        if short and len(lines) == mark + 1:
            line = lines[mark].lstrip()
            if not line.startswith(_COMPOUND):
                lines.pop()
                lines[mark - 1] += line
                out.places[mark - 1] = out.places.pop()
        elif not any(lines[at] for at in range(len(lines) - 1, mark - 1, -1)):
            out.calm("pass")
        self.deeper(-1)

    def _open(self, text: str, loop: _Loop) -> int:
        if len(self.loops) >= _LOOPS:
            raise TooDeep
        self.loops.append(loop)
        return self._under(text)

    def _close(self, mark: int, loop: _Loop) -> set[int]:
        """Go on behind a loop; give the places that it was left for, by ``t``."""
        self.loops.pop()
        self._over(mark, False)
        left = loop.left
        if left and self.loops:
            outer = self.loops[-1]
            further = {number for number in left if number > outer.limit}
            if further:
                self.out.header(f"if t>{outer.limit}:break")
                outer.left |= further - {outer.after}
                left -= further
        return left

    def _block(self, block: Block, next_: int) -> tuple[set[int] | None, list[Block]]:
        """Write a block, and give what is to be written behind it."""
        self.out.known = self.into.pop(block)
        last = self.statements(block)
        if not block.inner:
            fall, inline = self._end(block, last, next_)
            return fall, [] if inline is None else [inline]
        joins = [join for join in block.inner if not join.small]
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
                        self.out.calm("break")
                    return self._close(mark, loop), joins[place:]
        first = joins[0].number if joins else next_
        fall, inline = self._end(block, last, first)
        return fall, joins if inline is None else [inline, *joins]

    # ------------------------------------------------------------------------------ jumps

    def _arrive(self, target: Block, known: Known) -> None:
        there = self.into.get(target)
        if there is None:
            self.into[target] = known  # nobody else has it
        else:
            there.join(known)

    def _jump(self, block: Block, target: Block, next_: int, known: Known) -> set[int] | None:
        """Get to a block that is written elsewhere."""
        out = self.out
        if target.small:
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
                out.calm("continue")
                return None
            if number > loop.limit:
                if number != loop.after:
                    out.calm(f"t={number}")
                    self.jumps = True
                    loop.left.add(number)
                out.calm("break")
                return None
        out.calm(f"t={number}")
        self.jumps = True
        return {number}

    def _branch(
        self, block: Block, target: Block, inline: bool, next_: int, known: Known
    ) -> set[int] | None:
        """Write one side of a branch, whatever it is; ``inline``: this is the only way to it."""
        if not inline:
            return self._jump(block, target, next_, known)
        self.into[target] = known
        if target.back:
            return self.sequence([target], next_, set())
        fall, more = self._block(target, next_)
        return self.sequence(more, next_, fall) if more else fall

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
                out.calm("m-=1")
            return self._go(block, target, next_, out.known)
        yes, no = self.condition(last)
        known = out.known
        when = known.copy()
        otherwise = known
        if last.code != _MAY_GOTO:
            when.refine(last, True)
            known.refine(last, False)
        inline, other = _inline(block, taken), _inline(block, follows)
        # The shorter side first: if it ends there, the other needs no branch of its own.
        if inline and not other:
            yes, no = no, yes
            taken, follows = follows, taken
            when, otherwise = otherwise, when
            inline, other = other, inline
        leave = self._leave(next_) if self.loops else ""
        if not inline and self._runs_into(block, taken, next_):
            if taken.visit > block.visit:
                self._arrive(taken, when)
            if leave:
                out.header(f"if {yes}:{leave}")
                return self._go(block, follows, next_, otherwise)
            mark = self._under(f"if {no}:")
            fall = self._branch(block, follows, other, next_, otherwise)
            self._over(mark)
            return fall or set(), None
        mark = self._under(f"if {yes}:")
        fall = self._branch(block, taken, inline, next_, when)
        if fall is not None and leave and other:
            # It got to the end of the loop, then; the other side need not stand in a branch.
            out.calm(leave)
            fall = None
        self._over(mark)
        if fall is None:
            return self._go(block, follows, next_, otherwise)
        if not other and self._runs_into(block, follows, next_):
            if follows.visit > block.visit:
                self._arrive(follows, otherwise)
            return fall, None
        out.at = block.end - 1
        mark = self._under("else:")
        more = self._branch(block, follows, other, next_, otherwise)
        self._over(mark)
        return fall | more if more else fall, None

    def _go(
        self, block: Block, target: Block, next_: int, known: Known
    ) -> tuple[set[int] | None, Block | None]:
        if _inline(block, target):
            self.into[target] = known
            return set(), target
        return self._jump(block, target, next_, known), None

    def _runs_into(self, block: Block, target: Block, next_: int) -> bool:
        """Whether nothing needs to be done to get to a block that is written elsewhere."""
        if target.small:
            return False
        return next_ == (target.latch if target.visit <= block.visit else target.number)

    def _leave(self, next_: int) -> str:
        """The statement that gets to what comes next, where there is one: better than nesting."""
        loop = self.loops[-1] if self.loops else None
        if loop is None:
            return ""
        if loop.turns:
            return "continue" if next_ == loop.limit else ""
        return "break" if next_ == loop.after else ""
